package reactors

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/mediavault-io/mediavault/adapters/analyzers/nsfw"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Scorer says how likely a picture is unsafe. It is given a small picture that the vault itself encoded as JPEG.
type Scorer interface {
	Score(ctx context.Context, picture []byte) (nsfw.Scored, error)
}

// NSFW has pictures scored, and the posters of videos. A high score asks for a person to look; it never judges alone.
type NSFW struct {
	Scorer Scorer // nil: there is none
	// Review is the score, in thousandths, from which on a person has to look.
	Review int
	// Required makes pictures that could not be scored wait for a person; otherwise the stage says so and lets them pass.
	Required bool
}

// Name implements Stage.
func (NSFW) Name() string { return "nsfw" }

// Version implements Stage.
func (NSFW) Version() string { return "1" }

// Look implements Stage.
func (n NSFW) Look(ctx context.Context, s *Subject) (Finding, error) {
	if s.Missing || !strings.HasPrefix(s.File.Type, "image/") && !strings.HasPrefix(s.File.Type, "video/") {
		return Finding{}, nil
	}
	picture := s.Picture("400")
	if picture == nil {
		picture = s.Picture("200")
	}
	switch {
	case n.Scorer == nil:
		return n.unscored("not_available"), nil
	case picture == nil:
		return n.unscored("no_picture"), nil
	}
	scored, err := n.Scorer.Score(ctx, picture)
	if errors.Is(err, nsfw.ErrUnavailable) && !n.Required {
		return n.unscored("not_available"), nil
	}
	if err != nil {
		return Finding{}, err
	}
	found := Finding{Model: scored.Model, Measured: []media.Measure{{Name: "unsafe", Value: thousandths(scored.Unsafe), Limit: int64(n.Review)}}}
	for _, class := range slices.Sorted(maps.Keys(scored.Classes)) {
		found.Measured = append(found.Measured, media.Measure{Name: class, Value: thousandths(scored.Classes[class])})
	}
	if found.Measured[0].Value >= int64(n.Review) {
		found.Verdict, found.Codes = media.VerdictReview, []string{"nsfw"}
	}
	return found, nil
}

func (n NSFW) unscored(code string) Finding {
	if n.Required {
		return Finding{Verdict: media.VerdictReview, Codes: []string{code}}
	}
	return Finding{Codes: []string{code}}
}

func thousandths(likelihood float64) int64 { return int64(math.Round(likelihood * 1000)) }
