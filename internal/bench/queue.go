package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/demo"
)

// Queue measures how uploads that wait are screened, and whether memory grows meanwhile: half of them photos of 0.5 megapixels, half notes,
// each with bytes of its own. It prints the rate and the memory of each tenth of them. o.Photos is how many wait; 0: 10,000.
func Queue(ctx context.Context, w io.Writer, o ScreeningOptions) error {
	if o.Photos == 0 {
		o.Photos = 10_000
	}
	ids, err := o.queue(ctx)
	if err != nil {
		return err
	}
	reacting, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	began, tenth := time.Now(), max(o.Photos/10, 1)
	go func() { ended <- o.React(reacting) }() // awaited below
	peak, last, screened := restPeak(), began, 0
	err = o.drained(ctx, ids, func(time.Time) {
		if screened++; screened%tenth > 0 {
			return
		}
		now := time.Now()
		fmt.Fprintf(w, "%6d of %d screened    %5.1f a second, resident memory of the vault at most %d MiB\n",
			screened, o.Photos, float64(tenth)/now.Sub(last).Seconds(), peak()>>20)
		peak, last = restPeak(), now
	})
	if err == nil {
		fmt.Fprintf(w, "all in %v\n", time.Since(began).Round(100*time.Millisecond))
		o.stages(w, o.Photos)
	}
	return errors.Join(err, end(stop, ended))
}

// queue uploads what waits, several at once.
func (o ScreeningOptions) queue(ctx context.Context) ([]domain.MediaID, error) {
	photo := demo.Picture{Name: "harbour.jpg", Taken: time.Date(2026, 5, 4, 6, 30, 0, 0, time.UTC), Lat: 53.55, Lon: 9.99, Seed: 1, Grain: 26}
	content, err := photo.JPEG(800, 600)
	if err != nil {
		return nil, err
	}
	ids := make([]domain.MediaID, o.Photos)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range ids {
		group.Go(func() (err error) {
			if i%2 == 0 {
				ids[i], err = o.upload(ctx, fmt.Sprintf("photo-%d.jpg", i), commented(content, fmt.Sprintf("copy %08d", i)))
			} else {
				ids[i], err = o.upload(ctx, fmt.Sprintf("note-%d.txt", i), fmt.Appendf(nil, "note %d of the bench\n", i))
			}
			return err
		})
	}
	return ids, group.Wait()
}

// commented puts a comment into a JPEG, behind its first marker (ITU-T T.81, B.2.4.5).
func commented(jpeg []byte, text string) []byte {
	out := append([]byte{}, jpeg[:2]...)
	out = append(out, 0xff, 0xfe, byte((len(text)+2)>>8), byte(len(text)+2)) //nolint:gosec // a few bytes
	return append(append(out, text...), jpeg[2:]...)
}
