//go:build unix

package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Dev is the running surroundings. Children that die are started again; addresses stay the same meanwhile, so clients that try
// again find them. A child that keeps dying ends Dev.
type Dev struct {
	DatabaseURL string
	S3          S3Access

	postgres *Postgres // nil when DatabaseURL was given
	s3       *S3
	log      *slog.Logger

	watch  context.CancelFunc
	wait   sync.WaitGroup // for the watchers
	failed chan struct{}  // closed when a part could not be kept running
	once   sync.Once      // for what follows
	err    error          // why; read after failed
}

// Start starts what is missing and returns when it all answers.
func Start(ctx context.Context, o Options) (*Dev, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Database == "" {
		o.Database = "mediavault"
	}
	if o.Bucket == "" {
		o.Bucket = "mediavault"
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start: data folder: %w", err)
	}
	d := &Dev{DatabaseURL: o.DatabaseURL, log: o.Log, failed: make(chan struct{})}
	// Without the group's context: what one has started is stopped in order, not by the other's failure.
	var group errgroup.Group
	group.Go(func() error {
		if o.DatabaseURL != "" {
			return nil
		}
		var err error
		if d.postgres, err = StartPostgres(ctx, PostgresOptions{Dir: filepath.Join(o.Dir, "postgres"), Volatile: o.Volatile, Log: o.Log}); err != nil {
			return err
		}
		d.DatabaseURL, err = d.postgres.Ensure(ctx, o.Database)
		return err
	})
	group.Go(func() error {
		var err error
		d.s3, err = StartS3(ctx, S3Options{Dir: filepath.Join(o.Dir, "s3"), Volatile: o.Volatile, Log: o.Log})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, d.stopParts(context.WithoutCancel(ctx)))
	}
	d.S3 = S3Access{
		Endpoint: d.s3.Endpoint(), AccessKey: d.s3.AccessKey(), SecretKey: d.s3.SecretKey(),
		Region: d.s3.Region(), Bucket: o.Bucket,
	}
	var watching context.Context
	watching, d.watch = context.WithCancel(context.WithoutCancel(ctx))
	if d.postgres != nil {
		d.wait.Go(func() { d.keep(watching, "postgres", d.postgres) })
	}
	d.wait.Go(func() { d.keep(watching, "s3", d.s3) })
	return d, nil
}

// part is a child that can be kept running.
type part interface {
	Done() <-chan struct{}
	Restart(context.Context) error
}

const (
	wellAfter   = 10 * time.Second // a part that has lived this long is well
	maxDeaths   = 10               // of one part that was not well, in a row, before it is given up
	restartTime = 5 * time.Minute  // for one restart: recovery of a large log takes its time
	restartWait = 100 * time.Millisecond
	restartMost = 5 * time.Second // between two tries
)

// keep starts the part again whenever it dies, until ctx ends, it dies too often or cannot be started.
func (d *Dev) keep(ctx context.Context, name string, p part) {
	deaths, born := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(born) > wellAfter {
			deaths = 0
		}
		if deaths++; deaths > maxDeaths {
			d.fail(fmt.Errorf("%s ended %d times in a row within %s of its start and was given up", name, deaths, wellAfter))
			return
		}
		d.log.Warn("a part of the surroundings ended unexpectedly and is started again", "part", name, "deaths", deaths)
		if err := d.restart(ctx, name, p); err != nil {
			d.fail(err)
			return
		}
		born = time.Now()
	}
}

// restart tries until it succeeds or restartTime is over: a port or a lock may need a moment to be free.
func (d *Dev) restart(ctx context.Context, name string, p part) error {
	within, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	for wait := restartWait; ; wait = min(2*wait, restartMost) {
		err := p.Restart(within)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		d.log.Warn("a part of the surroundings did not start again", "part", name, "error", err)
		select {
		case <-within.Done():
			return fmt.Errorf("%s did not start again within %s and was given up: %w", name, restartTime, err)
		case <-time.After(wait):
		}
	}
}

func (d *Dev) fail(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.failed)
	})
}

// Failed is closed when a part could not be kept running; Err says why.
func (d *Dev) Failed() <-chan struct{} { return d.failed }

// Err says why Dev failed; nil as long as it has not.
func (d *Dev) Err() error {
	select {
	case <-d.failed:
		return d.err
	default:
		return nil
	}
}

// Wait returns when ctx ends (nil), or when a part could not be kept running (why).
func (d *Dev) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.failed:
		return d.err
	}
}

// Postgres is the private cluster; nil when another server is used.
func (d *Dev) Postgres() *Postgres { return d.postgres }

// S3Server is the private S3 server.
func (d *Dev) S3Server() *S3 { return d.s3 }

// Stop stops the S3 server, then Postgres. Whoever uses them has to be stopped before. It may be called more than once.
func (d *Dev) Stop(ctx context.Context) error {
	d.watch()
	d.wait.Wait()
	return d.stopParts(ctx)
}

func (d *Dev) stopParts(ctx context.Context) error {
	var failures []error
	if d.s3 != nil {
		failures = append(failures, d.s3.Stop(ctx))
	}
	if d.postgres != nil {
		failures = append(failures, d.postgres.Stop(ctx))
	}
	return errors.Join(failures...)
}
