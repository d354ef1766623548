package bench

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// young is the log that a full one is compared with.
const young = 1_000_000

// filled measures appending to a log of 1 M events and to one of b.Fill, in the same run.
func (b *storeBench) filled(prepared []eventstore.Entry) error {
	var before [2]figures
	for i, size := range []int{min(young, b.Fill), b.Fill} {
		if err := b.fillTo(prepared, size); err != nil {
			return err
		}
		var disk string
		if err := b.pool.QueryRow(b.ctx, `SELECT pg_size_pretty(pg_total_relation_size('events')) || ', of it indexes ' || pg_size_pretty(pg_indexes_size('events'))`).
			Scan(&disk); err != nil {
			return err
		}
		fmt.Fprintf(b.w, "a log of %d events, %s:\n", size, disk)
		for j, each := range []int{1, 10} {
			f, err := b.appends(prepared, each)
			if err != nil {
				return err
			}
			if i == 0 {
				before[j] = f
			} else {
				fmt.Fprintf(b.w, "    that is %+.1f %% against the log of %d\n", 100*(f.perSecond/before[j].perSecond-1), young)
			}
		}
	}
	return nil
}

// fillTo appends until the log has n events, in streams of 200, and has Postgres write out what it owes the disk: what is
// measured next begins with files that are there and memory that was used, as in a vault that has been at work for a while.
func (b *storeBench) fillTo(prepared []eventstore.Entry, n int) error {
	const each = 200
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(n) - int64(head))
	if left.Load() <= 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(b.ctx)
	start := time.Now()
	for c := range 16 {
		g.Go(func() error {
			rnd := rand.New(rand.NewPCG(uint64(start.UnixNano()), uint64(c))) //nolint:gosec // a load needs no secrets
			entries := make([]eventstore.Entry, each)
			for {
				mine := min(each, left.Add(-each)+each)
				if mine <= 0 {
					return nil
				}
				for i := range mine {
					entries[i] = prepared[rnd.IntN(len(prepared))]
					entries[i].ID = newID(rnd)
				}
				if _, err := b.log.Append(ctx, newStream(), eventstore.NoStream, entries[:mine]...); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	appended, took := n-int(head), time.Since(start)
	start = time.Now()
	if _, err := b.pool.Exec(b.ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_ = exec.CommandContext(b.ctx, "sync").Run() // so that what is measured does not wait for the fill's pages; where there is none, it may
	fmt.Fprintf(b.w, "filled with %d events in %.1f s (%.0f ev/s), checkpoint %.1f s\n",
		appended, took.Seconds(), float64(appended)/took.Seconds(), time.Since(start).Seconds())
	return nil
}
