package projections

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// replay folds a model's events from the beginning of the log, in memory that is bounded by the number of keys it holds at
// once. When there are more, it lets half of them go and comes back for them in another pass.
type replay struct {
	source  Source
	m       *model
	through eventstore.Position // the last event to take in
	keys    int                 // how many to hold at most
	hash    func(key string) uint64
	// emit is given every version once, in no order: ended ones with their end, others with Forever.
	emit func(version) error
	// skip are keys with the position from which on they take no events: they are parked.
	skip map[string]eventstore.Position
	// chosen, when not nil, limits the replay to some keys.
	chosen func(key string) bool
	// progress is told how far the pass is and how many events it has seen.
	progress func(at eventstore.Position, events int)

	aside  []aside // what could not be processed, and what waits behind it
	events int
}

// pass is one way through the log, for the keys whose hash ends in these bits.
type pass struct {
	mask, bits uint64
	emitted    eventstore.Position // versions that ended up to here were emitted by the pass before
}

func (p pass) has(h uint64) bool { return h&p.mask == p.bits }

func hashKey(seed maphash.Seed) func(string) uint64 {
	return func(key string) uint64 { return maphash.String(seed, key) }
}

func (r *replay) run(ctx context.Context) error {
	todo := []pass{{}}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		more, err := r.pass(ctx, p)
		if err != nil {
			return fmt.Errorf("replay %s: %w", r.m.name, err)
		}
		todo = append(todo[:len(todo)-1], more...)
	}
	return nil
}

// pass goes through the log once and answers the passes that are needed for the keys it let go.
func (r *replay) pass(ctx context.Context, p pass) (more []pass, err error) {
	f := r.m.fold()
	parked := map[string]bool{}
	asides := map[string][]aside{}
	var failed error
	emit := func(v version) {
		if failed == nil && (v.until == Forever || v.until > p.emitted) {
			failed = r.emit(v)
		}
	}
	set := func(key string, rec *eventstore.Recorded, reason string) {
		parked[key] = true
		asides[key] = append(asides[key], asideOf(key, rec, reason))
	}
	err = r.read(ctx, func(events []eventstore.Recorded) error {
		for i := range events {
			rec := &events[i]
			keys, keyErr := r.m.keysOf(*rec)
			for _, key := range keys {
				from, skipped := r.skip[key]
				switch {
				case !p.has(r.hash(key)), r.chosen != nil && !r.chosen(key), skipped && rec.Position >= from:
				case keyErr != nil:
					set(key, rec, keyErr.Error())
				case key != "" && parked[key]:
					set(key, rec, "")
				default:
					if err := f.apply(key, *rec, emit); err != nil {
						set(key, rec, err.Error())
					}
				}
			}
			if f.size() > r.keys {
				bit := p.mask + 1
				p.mask |= bit
				more = append(more, pass{mask: p.mask, bits: p.bits | bit, emitted: max(p.emitted, rec.Position)})
				f.drop(func(key string) bool { return !p.has(r.hash(key)) })
			}
		}
		return failed
	})
	if err != nil {
		return nil, err
	}
	if !r.m.table.AppendOnly {
		f.each(emit)
	}
	for key, list := range asides {
		if p.has(r.hash(key)) {
			r.aside = append(r.aside, list...)
		}
	}
	return more, failed
}

// read hands over all events up to through, reading ahead of who takes them.
func (r *replay) read(ctx context.Context, take func([]eventstore.Recorded) error) error {
	return readThrough(ctx, r.source, 0, r.through, r.m.filter(), func(events []eventstore.Recorded, at eventstore.Position) error {
		r.events += len(events)
		if err := take(events); err != nil {
			return err
		}
		if r.progress != nil {
			r.progress(at, r.events)
		}
		return nil
	})
}

// readThrough hands over the events after a position up to another, in order, reading ahead of who takes them.
func readThrough(ctx context.Context, source Source, after, through eventstore.Position, filter eventstore.Filter,
	take func(events []eventstore.Recorded, at eventstore.Position) error,
) error {
	if after >= through {
		return nil
	}
	type batch = eventstore.Batch[eventstore.Recorded]
	batches := make(chan batch, 4)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		for b, err := range source.Follow(ctx, after, filter) {
			if err != nil {
				return err
			}
			for n := len(b.Events); n > 0 && b.Events[n-1].Position > through; n = len(b.Events) {
				b.Events = b.Events[:n-1]
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			if b.Through >= through {
				return nil
			}
		}
		return errors.New("the log's subscription ended")
	})
	group.Go(func() error {
		for b := range batches {
			if err := take(b.Events, min(b.Through, through)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return group.Wait()
}
