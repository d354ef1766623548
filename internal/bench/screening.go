package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/demo"
)

// ScreeningOptions say what is measured, and how.
type ScreeningOptions struct {
	Store *eventstore.Store
	Media *commands.Media
	React func(context.Context) error     // runs the reactors until its context ends
	Spent func() map[string]time.Duration // the CPU time that each stage has taken so far
	// Photos of 12 megapixels that wait when the reactors start; 0: 60. Small files that come one by one; 0: 200.
	Photos, Small int
}

// Screening measures how fast photos of 12 megapixels that wait are screened, with their thumbnails and copies without place and
// names, what each stage takes of it, and how long after its upload a small file is deliverable when nothing else is to be done.
func Screening(ctx context.Context, w io.Writer, o ScreeningOptions) error {
	if o.Photos == 0 {
		o.Photos = 60
	}
	if o.Small == 0 {
		o.Small = 200
	}
	ids, size, err := o.photos(ctx)
	if err != nil {
		return err
	}
	reacting, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	began, cpu := time.Now(), newOwnCPUMeter()
	cpu.start()
	go func() { ended <- o.React(reacting) }() // awaited below
	memory := watchMemory(reacting)
	first, last, err := o.await(ctx, ids)
	if err != nil {
		return errors.Join(err, end(stop, ended))
	}
	// From the first result on: how long the reactors take to begin is measured below.
	rate := float64(len(ids)-1) / last.Sub(first).Seconds()
	fmt.Fprintf(w, "photos of 12 megapixels, %.1f MB each, %d waiting    %.1f images/s (all in %v), heap of the parent at most %d MiB\n",
		float64(size)/1e6, len(ids), rate, last.Sub(began).Round(10*time.Millisecond), memory.Load()>>20)
	each := cpu.per(len(ids))
	o.stages(w, len(ids))
	fmt.Fprintf(w, "  %s, for everything but the children\n", each)
	late, err := o.small(ctx)
	if err == nil {
		slices.Sort(late)
		fmt.Fprintf(w, "upload -> screened, small files one by one          p50 %v, p99 %v\n",
			late[len(late)/2].Round(100*time.Microsecond), late[len(late)*99/100].Round(100*time.Microsecond))
	}
	return errors.Join(err, end(stop, ended))
}

// stages prints the CPU time of the stages for each of n.
func (o ScreeningOptions) stages(w io.Writer, n int) {
	took, all := o.Spent(), time.Duration(0)
	for _, name := range slices.Sorted(mapsKeys(took)) {
		all += took[name]
		fmt.Fprintf(w, "  stage %-10s %6.3f CPU-seconds each\n", name, took[name].Seconds()/float64(n))
	}
	fmt.Fprintf(w, "  all stages       %6.3f CPU-seconds each, of the children's part and of the thread that looks\n", all.Seconds()/float64(n))
}

func end(stop func(), ended <-chan error) error {
	stop()
	return <-ended
}

func mapsKeys(m map[string]time.Duration) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// watchMemory answers the largest heap of this process so far.
func watchMemory(ctx context.Context) *atomic.Uint64 {
	var most atomic.Uint64
	go func() { // ends with ctx
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return &most
}

func (o ScreeningOptions) upload(ctx context.Context, name string, content []byte) (domain.MediaID, error) {
	env := commands.Envelope{Actor: domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}}
	got, err := o.Media.Upload(ctx, env, commands.File{Name: name, Size: int64(len(content)), Way: media.WayBody}, bytes.NewReader(content))
	return domain.MediaID(got.ID), err
}

// photos uploads the photos: a few different ones, each several times.
func (o ScreeningOptions) photos(ctx context.Context) (ids []domain.MediaID, size int, err error) {
	var different [][]byte
	for i := range 2 {
		p := demo.Picture{Name: "harbour.jpg", Taken: time.Date(2026, 5, 4, 6, 30, 0, 0, time.UTC), Lat: 53.55, Lon: 9.99, Seed: uint64(i), Grain: 26} //nolint:gosec // small
		content, err := p.JPEG(4000, 3000)
		if err != nil {
			return nil, 0, err
		}
		different = append(different, content)
	}
	for i := range o.Photos {
		id, err := o.upload(ctx, fmt.Sprintf("photo-%d.jpg", i), different[i%len(different)])
		if err != nil {
			return nil, 0, err
		}
		ids = append(ids, id)
	}
	return ids, len(different[0]), nil
}

// await waits until all are screened, and answers when the first and the last was.
func (o ScreeningOptions) await(ctx context.Context, ids []domain.MediaID) (first, last time.Time, err error) {
	err = o.drained(ctx, ids, func(at time.Time) {
		if first.IsZero() {
			first = at
		}
		last = at
	})
	return first, last, err
}

// drained tells of each upload when it was screened, until all are. What is not found clean is an error.
func (o ScreeningOptions) drained(ctx context.Context, ids []domain.MediaID, each func(at time.Time)) error {
	waiting := make(map[domain.MediaID]bool, len(ids))
	for _, id := range ids {
		waiting[id] = true
	}
	for batch, err := range o.Store.Follow(ctx, 0, eventstore.Filter{Types: []string{media.Screened{}.EventType()}}) {
		if err != nil {
			return err
		}
		for _, rec := range batch.Events {
			e, ok := rec.Event.(media.Screened)
			if id := domain.MediaID(rec.Stream.ID()); !ok || !waiting[id] {
				continue
			} else {
				delete(waiting, id)
			}
			if e.Verdict != media.VerdictClean {
				return fmt.Errorf("an upload was found %s: %+v", e.Verdict, e.Stages)
			}
			each(rec.At)
		}
		if len(waiting) == 0 {
			return nil
		}
	}
	return ctx.Err()
}

// small uploads small files one by one, each when the one before is screened.
func (o ScreeningOptions) small(ctx context.Context) ([]time.Duration, error) {
	var late []time.Duration
	for i := range o.Small {
		began := time.Now()
		id, err := o.upload(ctx, "note.txt", fmt.Appendf(nil, "note %d of the bench\n", i))
		if err != nil {
			return nil, err
		}
		uploaded := time.Now()
		for {
			s, err := o.Media.Facts(ctx, id)
			if err != nil {
				return nil, err
			}
			if s.Deliverable(0) {
				break
			}
			if time.Since(began) > time.Minute {
				return nil, errors.New("a small file was not screened within a minute")
			}
			time.Sleep(time.Millisecond)
		}
		late = append(late, time.Since(uploaded))
	}
	return late, nil
}
