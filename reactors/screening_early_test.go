package reactors_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/nsfw"
	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// handedOver is an Examiner that notes how many bytes it was given.
type handedOver struct{ bytes *atomic.Int64 }

// Examine implements reactors.Examiner.
func (h handedOver) Examine(_ context.Context, _ analyzers.Request, in io.Reader) (analyzers.Examination, error) {
	n, err := io.Copy(io.Discard, in)
	h.bytes.Store(n)
	return analyzers.Examination{}, err
}

// saying is a stage that says what it is told to, and notes that it was asked.
type saying struct {
	name  string
	found reactors.Finding
	asked *atomic.Int64
}

func (s saying) Name() string  { return s.name }
func (saying) Version() string { return "1" }
func (s saying) Look(context.Context, *reactors.Subject) (reactors.Finding, error) {
	s.asked.Add(1)
	return s.found, nil
}

func TestWhatIsRefusedCostsNoMoreThanItsFirstFailingStage(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	content := bytes.Repeat([]byte("some text "), 30_000)
	bad := reactors.Finding{Verdict: media.VerdictBlocked, Codes: []string{"bad"}}
	for name, c := range map[string]struct {
		first, last reactors.Finding
		decoded     bool
		stages      int // that said something
		asked       int64
	}{
		"what is well is looked at by all":          {reactors.Finding{}, reactors.Finding{}, true, 4, 1},
		"what the first stage refuses ends there":   {bad, reactors.Finding{}, false, 2, 0},
		"what a person is to see is looked at, too": {reactors.Finding{Verdict: media.VerdictReview}, reactors.Finding{}, true, 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var given, first, last atomic.Int64
			room := *d
			room.screening.Examiner = handedOver{&given}
			room.screening.Stages = []reactors.Stage{
				reactors.Integrity{}, saying{"first", c.first, &first}, reactors.Examined{Stage: analyzers.Content}, saying{"last", c.last, &last},
			}
			s := room.react(room.upload("a.txt", append(bytes.Clone(content), name...)))
			if got := len(s.Versions[0].Screened.Stages); got != c.stages || last.Load() != c.asked || first.Load() != 1 {
				t.Errorf("%d stages said something, the first was asked %d times, the last %d times", got, first.Load(), last.Load())
			}
			if whole := given.Load() == int64(len(content)+len(name)); whole != c.decoded {
				t.Errorf("the child was given %d bytes", given.Load())
			}
			if c.stages == 2 && (s.Deliverable(0) || s.Versions[0].Screened.Verdict != media.VerdictBlocked) {
				t.Errorf("got %+v", s.Versions[0].Screened)
			}
		})
	}
}

// nowhere is an index of findings that nobody can ask.
type nowhere struct{}

var errBehind = errors.New("the read model is behind")

func (nowhere) FindingsOf(context.Context, domain.MediaID) ([]domain.FindingID, error) {
	return nil, errBehind
}

func (nowhere) AllSharesOf(context.Context, domain.MediaID) ([]domain.ShareID, error) {
	return nil, errBehind
}

func TestScreeningRaisesPersonalDataWithoutAReadModel(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	patterns, err := pii.Default()
	must(t, err)
	findings := commands.NewFindings(commands.NewVault(d.store, media.DefaultPolicy()), nowhere{})
	d.screening.Stages = append(d.screening.Stages, reactors.PII{Findings: findings, Patterns: patterns})
	rec := d.upload("IBAN DE89370400440532013000.txt", []byte("nothing in it"))
	item := rec.Stream.ID()
	raised := func() (n int) {
		for batch, err := range d.store.Follow(t.Context(), 0, eventstore.Filter{}) {
			must(t, err)
			for _, rec := range batch.Events {
				switch e := rec.Event.(type) {
				case finding.Raised:
					if n++; e.Type != "iban" || e.Version != 1 || e.Exposure != finding.Private || string(e.Media) != item {
						t.Errorf("raised %+v", e)
					}
				case finding.StatusChanged:
					t.Errorf("%+v", e)
				}
			}
			break
		}
		return n
	}
	if s := d.react(rec); !strings.Contains(said(s), "pii_iban") || !s.Deliverable(0) || raised() != 1 {
		t.Errorf("got %s, %d raised", said(s), raised())
	}
	if d.react(rec); raised() != 1 {
		t.Errorf("%d raised when it was looked at again", raised())
	}
}

// counting is a Scorer to which only the second picture is unsafe.
type counting struct{ pictures *atomic.Int64 }

// Score implements reactors.Scorer.
func (c counting) Score(_ context.Context, picture []byte) (nsfw.Scored, error) {
	if !bytes.HasPrefix(picture, []byte("\xff\xd8\xff")) {
		return nsfw.Scored{}, errors.New("that is no JPEG")
	}
	unsafe := 0.1
	if c.pictures.Add(1) == 2 {
		unsafe = 0.9
	}
	return nsfw.Scored{Unsafe: unsafe, Model: "sha256:1", Classes: map[string]float64{"porn": unsafe}}, nil
}

func TestOfVideosSomeFramesAreScoredAndTheWorstCounts(t *testing.T) {
	t.Parallel()
	tools := analyzers.FindTools()
	var scored atomic.Int64
	d := newDarkroom(t)
	score := func(tools analyzers.Tools, name string, film []byte) string {
		room := *d
		room.screening.Tools = tools
		room.screening.Stages = append(room.screening.Stages[:len(room.screening.Stages):len(room.screening.Stages)],
			reactors.NSFW{Scorer: counting{&scored}, Review: 700, Tools: tools, Examiner: room.screening.Examiner})
		return said(room.react(room.upload(name, film)))
	}
	if got := score(analyzers.Tools{}, "film.mp4", []byte(mp4)); got != "clean no_picture no_scanner" || scored.Load() != 0 {
		t.Errorf("without ffmpeg: %s, %d scored", got, scored.Load())
	}
	if tools.FFmpeg != "" && tools.FFprobe != "" {
		if got := score(tools, "film.mov", filmed(t, tools)); got != "review no_scanner nsfw" || scored.Load() != 5 {
			t.Errorf("with ffmpeg: %s, %d scored", got, scored.Load())
		}
	}
}
