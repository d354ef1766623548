package reactors

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/nsfw"
	"github.com/mediavault-io/mediavault/domain/media"
)

// says is a scorer that always says the same.
type says struct {
	scored nsfw.Scored
	err    error
}

// Score implements Scorer.
func (s says) Score(context.Context, []byte) (nsfw.Scored, error) { return s.scored, s.err }

func TestScoresAskForAPersonAndNeverJudge(t *testing.T) {
	t.Parallel()
	picture := &Subject{File: media.File{Type: "image/jpeg"}, Examined: analyzers.Examination{
		Report: analyzers.Report{Pictures: []analyzers.Picture{{Name: "400", Bytes: []byte("jpeg")}}},
	}}
	bare := &Subject{File: media.File{Type: "image/heic"}}
	text := &Subject{File: media.File{Type: "text/plain"}}
	scored := func(unsafe float64) says {
		return says{scored: nsfw.Scored{Unsafe: unsafe, Model: "sha256:1", Classes: map[string]float64{"porn": unsafe, "neutral": 1 - unsafe}}}
	}
	down := says{err: nsfw.ErrUnavailable}
	for name, c := range map[string]struct {
		stage   NSFW
		subject *Subject
		verdict media.Verdict
		codes   []string
	}{
		"a high score asks":                      {NSFW{Scorer: scored(0.7), Review: 700}, picture, media.VerdictReview, []string{"nsfw"}},
		"the highest score does no more":         {NSFW{Scorer: scored(1), Review: 700}, picture, media.VerdictReview, []string{"nsfw"}},
		"a low score passes":                     {NSFW{Scorer: scored(0.699), Review: 700}, picture, "", nil},
		"without a model it says so":             {NSFW{Review: 700}, picture, "", []string{"not_available"}},
		"unless one is required":                 {NSFW{Review: 700, Required: true}, picture, media.VerdictReview, []string{"not_available"}},
		"a picture that cannot be made says so":  {NSFW{Scorer: scored(1), Review: 700}, bare, "", []string{"no_picture"}},
		"unless a score is required":             {NSFW{Scorer: scored(0), Review: 700, Required: true}, bare, media.VerdictReview, []string{"no_picture"}},
		"a text is no picture":                   {NSFW{Review: 700, Required: true}, text, "", nil},
		"a model that does not answer is passed": {NSFW{Scorer: down, Review: 700}, picture, "", []string{"not_available"}},
	} {
		got, err := c.stage.Look(t.Context(), c.subject)
		if err != nil || got.Verdict != c.verdict || !slices.Equal(got.Codes, c.codes) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	got, err := NSFW{Scorer: scored(0.25), Review: 700}.Look(t.Context(), picture)
	want := []media.Measure{{Name: "unsafe", Value: 250, Limit: 700}, {Name: "neutral", Value: 750}, {Name: "porn", Value: 250}}
	if err != nil || got.Model != "sha256:1" || !slices.Equal(got.Measured, want) {
		t.Errorf("got %+v %v", got, err)
	}
	if _, err := (NSFW{Scorer: down, Review: 700, Required: true}).Look(t.Context(), picture); !errors.Is(err, nsfw.ErrUnavailable) {
		t.Errorf("a required model that does not answer: %v", err)
	}
}
