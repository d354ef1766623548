package reactors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Screening looks at the stored bytes of every new version, stage by stage, and records what each stage said. Until it has,
// nothing of that version is delivered; what the owner and others need to see of it (size, thumbnails, a copy without place and
// names) is recorded with the result, so that what is deliverable has them.
type Screening struct {
	Media *commands.Media
	// Examiner decodes the bytes, somewhere where it does no harm when they turn out to be hostile.
	Examiner Examiner
	// Stages look in this order, and the first that blocks ends it: bytes that are refused cost no more. Those before the first
	// Examined look at what the child has not decoded yet, and does not when one of them blocks.
	Stages     []Stage
	Thresholds analyzers.Thresholds
	Tools      analyzers.Tools // for formats that the child does not know; the zero Tools has none
	MinScore   int             // a version with a lower security score is looked at by a person; 0: no score is too low
	Spent      *Spent          // what stages cost; nil: nobody wants to know
}

// Examiner has untrusted bytes looked at. It reads all of them, also those that it does not need. An error is that of the
// bytes' source; what hostile bytes do to it is a failure in its answer.
type Examiner interface {
	Examine(ctx context.Context, r analyzers.Request, in io.Reader) (analyzers.Examination, error)
}

// Stage looks at one version and says what it found. It is used from several goroutines at once.
type Stage interface {
	// Name is the stage's in media.screened. It never changes.
	Name() string
	// Version changes when the stage would judge the same bytes otherwise.
	Version() string
	// Look says what it found. An error means that it could not look (a neighbour does not answer, say): the whole screening is
	// tried again, and nothing is delivered until then.
	Look(ctx context.Context, s *Subject) (Finding, error)
}

// Finding is what a stage found; the zero Finding is nothing.
type Finding struct {
	Verdict  media.Verdict // empty: clean
	Codes    []string      // why; of a clean verdict: what is worth knowing all the same
	Measured []media.Measure
	Model    string // the hash of the model that judged, when one did
}

// Subject is the version that is looked at.
type Subject struct {
	Media   domain.MediaID
	Owner   domain.UserID
	Version int // from 1
	File    media.File
	Title   domain.Personal

	// Size, SHA256 and Sniffed are those of the bytes as they are stored; Missing: there are none.
	Size    int64
	SHA256  domain.Digest
	Sniffed string
	Missing bool
	EICAR   bool // the test file of virus scanners is in it
	Located bool // a video or sound in which a place is marked
	// Examined is what the child saw: a report, or how it failed.
	Examined analyzers.Examination

	media  *commands.Media
	stream analyzers.Stream // of a video or sound, where there is a tool that reads it

	noPicture string // why no tool drew a small picture
}

// Open opens the stored bytes once more, from their beginning. They are untrusted: decode them in a child only. The caller closes
// it.
func (s *Subject) Open(ctx context.Context) (*blobs.Blob, error) {
	return s.media.Open(ctx, s.File.Object)
}

// Name implements Reactor.
func (Screening) Name() string { return "screening" }

// Tuning implements Tuned: the largest file has to be read whole in one attempt.
func (Screening) Tuning() Tuning {
	return Tuning{Timeout: 15 * time.Minute, Neighbours: []string{Storage, VirusScanner}}
}

// Types implements Reactor.
func (Screening) Types() []string {
	return []string{media.Uploaded{}.EventType(), media.VersionAdded{}.EventType()}
}

// React implements Reactor.
func (s Screening) React(ctx context.Context, rec eventstore.Recorded) error {
	subject := &Subject{Media: domain.MediaID(rec.Stream.ID()), media: s.Media}
	switch e := rec.Event.(type) {
	case media.Uploaded:
		subject.Version, subject.File, subject.Owner, subject.Title = 1, e.File, e.Owner, e.Title
	case media.VersionAdded:
		item, err := s.Media.Facts(ctx, subject.Media)
		if err != nil {
			return err
		}
		subject.Version, subject.File, subject.Owner, subject.Title = e.Version, e.File, item.Owner, item.Title
	default:
		return fmt.Errorf("screening got a %s", rec.Type)
	}
	return s.screen(ctx, rec, subject)
}

func (s Screening) screen(ctx context.Context, rec eventstore.Recorded, subject *Subject) error {
	first := slices.IndexFunc(s.Stages, func(stage Stage) bool { _, ok := stage.(Examined); return ok })
	if first < 0 {
		first = len(s.Stages)
	}
	result := commands.Screening{Version: subject.Version, MinScore: s.MinScore}
	err := s.examine(ctx, subject, func() (bool, error) {
		result.Stages = nil // asked again when the bytes are read again
		return s.look(ctx, s.Stages[:first], subject, &result)
	})
	if err != nil {
		return err
	}
	if !blocks(result.Stages) {
		if _, err := s.look(ctx, s.Stages[first:], subject, &result); err != nil {
			return err
		}
	}
	result.Verdict, result.Score = media.Verdicts(result.Stages, s.MinScore), media.Score(result.Stages)
	if err := s.describe(ctx, subject, &result); err != nil {
		return err
	}
	_, err = s.Media.RecordScreening(ctx, because(s, rec), subject.Media, result)
	if errors.Is(err, media.ErrPurged) {
		return s.Media.DestroyDerived(ctx, subject.Owner, subject.Media)
	}
	return err
}

// look has stages look, until one of them blocks, and answers whether none did.
func (s Screening) look(ctx context.Context, stages []Stage, subject *Subject, result *commands.Screening) (bool, error) {
	for _, stage := range stages {
		began := time.Now()
		found, err := s.Spent.look(ctx, stage, subject)
		if err != nil {
			return false, fmt.Errorf("stage %s: %w", stage.Name(), err)
		}
		if found.Verdict == "" {
			found.Verdict = media.VerdictClean
		}
		result.Stages = append(result.Stages, media.Stage{
			Name: stage.Name(), Version: stage.Version(), Verdict: found.Verdict, Codes: found.Codes, Duration: took(stage, subject, began),
			Measured: found.Measured, Model: found.Model,
		})
		if found.Verdict == media.VerdictBlocked {
			return false, nil
		}
	}
	return true, nil
}

func blocks(stages []media.Stage) bool {
	return slices.ContainsFunc(stages, func(s media.Stage) bool { return s.Verdict == media.VerdictBlocked })
}

// describe adds what the bytes say about themselves, and stores what was made of them. Of bytes that are blocked nothing is made.
func (s Screening) describe(ctx context.Context, subject *Subject, result *commands.Screening) error {
	if subject.Missing || result.Verdict == media.VerdictBlocked {
		return nil
	}
	result.Inspected = inspected(subject)
	derived, err := s.derive(ctx, subject)
	if err != nil {
		if errors.Is(err, blobs.ErrNotFound) {
			return nil // destroyed meanwhile; recording says so
		}
		return err
	}
	derived.NoPicture = s.whyNoPicture(subject)
	if len(derived.Derivatives) > 0 || derived.Blurhash != "" || derived.NoPicture != "" {
		result.Derived = &derived
	}
	return nil
}

// because is the envelope of what follows from an event: the vault itself acts, and the event's position is the key under which
// the effect counts once.
func because(r Reactor, rec eventstore.Recorded) commands.Envelope {
	return commands.Envelope{
		Actor:          domain.System(),
		Correlation:    rec.Metadata.Correlation,
		Causation:      rec.ID,
		IdempotencyKey: r.Name() + "-" + strconv.FormatInt(int64(rec.Position), 10),
	}
}
