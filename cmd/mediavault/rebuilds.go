package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/projections"
)

// rebuilds runs the rebuilds that were asked for over HTTP. It owns their goroutines and waits for them when the vault ends.
type rebuilds struct {
	engine *projections.Engine
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // of the work, not of a request
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards running
	running map[string]bool
}

func newRebuilds(engine *projections.Engine, log *slog.Logger) *rebuilds {
	ctx, cancel := context.WithCancel(context.Background())
	return &rebuilds{engine: engine, log: log, ctx: ctx, cancel: cancel, running: map[string]bool{}}
}

// Rebuild starts a rebuild and answers at once.
func (r *rebuilds) Rebuild(_ context.Context, name string, by domain.Actor) error {
	if !slices.Contains(r.engine.Names(), name) {
		return projections.ErrUnknown
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[name] || r.ctx.Err() != nil {
		return projections.ErrRebuilding
	}
	r.running[name] = true
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.running, name)
		}()
		r.log.Info("rebuild begins", "projection", name, "by", by.ID)
		done, err := r.engine.Rebuild(r.ctx, name, projections.RebuildOptions{})
		if err != nil {
			r.log.Error("rebuild failed", "projection", name, "error", err)
			return
		}
		r.log.Info("rebuild ended", "projection", name, "events", done.Events, "rows", done.Rows, "differences", done.Differences, "took", done.Took)
	})
	return nil
}

// stop ends what runs and waits for it.
func (r *rebuilds) stop() {
	r.cancel()
	r.wg.Wait()
}
