package reactors

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/nsfw"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Scorer says how likely a picture is unsafe. It is given a small picture that the vault itself encoded as JPEG.
type Scorer interface {
	Score(ctx context.Context, picture []byte) (nsfw.Scored, error)
}

// NSFW has pictures scored, and a few frames of videos, of which the worst counts. A high score asks for a person to look; it never
// judges alone.
type NSFW struct {
	Scorer Scorer // nil: there is none
	// Review is the score, in thousandths, from which on a person has to look.
	Review int
	// Required makes pictures that could not be scored wait for a person; otherwise the stage says so and lets them pass.
	Required bool
	// Tools draw the frames of videos, and Examiner makes of them what is scored; without ffmpeg videos are not scored.
	Tools    analyzers.Tools
	Examiner Examiner
}

// Name implements Stage.
func (NSFW) Name() string { return "nsfw" }

// Version implements Stage.
func (NSFW) Version() string { return "2" }

// Look implements Stage.
func (n NSFW) Look(ctx context.Context, s *Subject) (Finding, error) {
	if s.Missing || !strings.HasPrefix(s.File.Type, "image/") && !strings.HasPrefix(s.File.Type, "video/") {
		return Finding{}, nil
	}
	if n.Scorer == nil {
		return n.unscored("not_available"), nil
	}
	pictures, err := n.pictures(ctx, s)
	if err != nil {
		return Finding{}, err
	}
	if len(pictures) == 0 {
		return n.unscored("no_picture"), nil
	}
	var scored nsfw.Scored
	for i, picture := range pictures {
		one, err := n.Scorer.Score(ctx, picture)
		if errors.Is(err, nsfw.ErrUnavailable) && !n.Required {
			return n.unscored("not_available"), nil
		}
		if err != nil {
			return Finding{}, err
		}
		if i == 0 || one.Unsafe > scored.Unsafe {
			scored = one
		}
	}
	found := Finding{Model: scored.Model, Measured: []media.Measure{{Name: "unsafe", Value: thousandths(scored.Unsafe), Limit: int64(n.Review)}}}
	for _, class := range slices.Sorted(maps.Keys(scored.Classes)) {
		found.Measured = append(found.Measured, media.Measure{Name: class, Value: thousandths(scored.Classes[class])})
	}
	if strings.HasPrefix(s.File.Type, "video/") {
		found.Measured = append(found.Measured, media.Measure{Name: "frames", Value: int64(len(pictures))})
	}
	if found.Measured[0].Value >= int64(n.Review) {
		found.Verdict, found.Codes = media.VerdictReview, []string{"nsfw"}
	}
	return found, nil
}

// pictures are what is scored: the small picture, or some frames of a video.
func (n NSFW) pictures(ctx context.Context, s *Subject) ([][]byte, error) {
	if p := smallOf(s.Examined.Report.Pictures); p != nil {
		return [][]byte{p}, nil
	}
	if !strings.HasPrefix(s.File.Type, "video/") || n.Tools.FFmpeg == "" || n.Examiner == nil {
		return nil, nil
	}
	in, err := spool(ctx, s)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var all [][]byte
	for _, at := range moments(s.stream.Length) {
		frame, err := n.Tools.Frame(ctx, in, at)
		if errors.Is(err, analyzers.ErrCannot) {
			continue
		}
		if err != nil {
			return nil, err
		}
		got, err := n.Examiner.Examine(ctx, analyzers.Request{Type: "image/png", Size: int64(len(frame))}, bytes.NewReader(frame))
		if err != nil {
			return nil, err
		}
		if p := smallOf(got.Report.Pictures); p != nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// moments are when the frames of a video are taken that are scored: of one whose length is not known, its first.
func moments(length time.Duration) []time.Duration {
	if length <= 0 {
		return []time.Duration{0}
	}
	var all []time.Duration
	for _, percent := range []time.Duration{5, 28, 50, 73, 95} {
		all = append(all, length*percent/100)
	}
	return all
}

// smallOf is the picture that is scored, which the vault itself encoded, so that it may be decoded in process; nil when there is
// none.
func smallOf(pictures []analyzers.Picture) []byte {
	for _, name := range []string{"400", "200"} {
		for _, p := range pictures {
			if p.Name == name {
				return p.Bytes
			}
		}
	}
	return nil
}

func (n NSFW) unscored(code string) Finding {
	if n.Required {
		return Finding{Verdict: media.VerdictReview, Codes: []string{code}}
	}
	return Finding{Codes: []string{code}}
}

func thousandths(likelihood float64) int64 { return int64(math.Round(likelihood * 1000)) }
