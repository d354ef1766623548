package reactors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Screening looks at the stored bytes of every new version, by type and size, and records what it saw. Until it has, nothing
// of that version is delivered.
type Screening struct {
	Media  *commands.Media
	Policy media.Policy
}

// Name implements Reactor.
func (Screening) Name() string { return "screening" }

// Types implements Reactor.
func (Screening) Types() []string {
	return []string{media.Uploaded{}.EventType(), media.VersionAdded{}.EventType()}
}

// React implements Reactor.
func (s Screening) React(ctx context.Context, rec eventstore.Recorded) error {
	id := domain.MediaID(rec.Stream.ID())
	switch e := rec.Event.(type) {
	case media.Uploaded:
		return s.screen(ctx, rec, id, 1, e.File)
	case media.VersionAdded:
		return s.screen(ctx, rec, id, e.Version, e.File)
	default:
		return fmt.Errorf("screening got a %s", rec.Type)
	}
}

// stageVersion changes when a stage would judge the same bytes otherwise.
const stageVersion = "1"

// The scores of this screening: it finds nothing wrong, something that a person has to see, or something that does not fit.
const (
	scoreClean   = 80 // a look at type and size earns no more
	scoreBlocked = 0
)

func (s Screening) screen(ctx context.Context, rec eventstore.Recorded, id domain.MediaID, version int, file media.File) error {
	began := time.Now()
	look, err := s.Media.Look(ctx, file.Object)
	if errors.Is(err, blobs.ErrNotFound) {
		return s.record(ctx, rec, id, commands.Screening{
			Version: version, Verdict: media.VerdictBlocked, Score: scoreBlocked,
			Stages: []media.Stage{stage("integrity", began, "missing")},
		})
	}
	if err != nil {
		return err
	}
	result := commands.Screening{Version: version, Verdict: media.VerdictClean, Score: scoreClean}
	var sizeCodes, typeCodes []string
	if look.Size != file.Size {
		sizeCodes = append(sizeCodes, "size_mismatch")
	}
	if canonical, err := media.Judge(file.Name.Text(), file.Type, look.Type, s.Policy); err != nil {
		refusal, ok := domain.AsRefusal(err)
		if !ok {
			return err
		}
		typeCodes = append(typeCodes, refusal.Code)
	} else if canonical != file.Type {
		typeCodes = append(typeCodes, "type_mismatch")
	}
	result.Stages = []media.Stage{stage("integrity", began, sizeCodes...), stage("type", began, typeCodes...)}
	for _, st := range result.Stages {
		if st.Verdict == media.VerdictBlocked {
			result.Verdict, result.Score = media.VerdictBlocked, scoreBlocked
		}
	}
	return s.record(ctx, rec, id, result)
}

func (s Screening) record(ctx context.Context, rec eventstore.Recorded, id domain.MediaID, result commands.Screening) error {
	_, err := s.Media.RecordScreening(ctx, because(s, rec), id, result)
	return err
}

func stage(name string, began time.Time, codes ...string) media.Stage {
	verdict := media.VerdictClean
	if len(codes) > 0 {
		verdict = media.VerdictBlocked
	}
	return media.Stage{Name: name, Version: stageVersion, Verdict: verdict, Codes: codes, Duration: time.Since(began)}
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
