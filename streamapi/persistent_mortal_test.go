package streamapi_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/mediavault-io/mediavault/adapters/subscriptions"
)

// mortal is a store to which nothing gets through any more once its process was killed.
type mortal struct {
	*subscriptions.Store
	dead atomic.Bool
}

var errKilled = errors.New("this process was killed")

func (m *mortal) Lead(ctx context.Context, server, at string, lasts time.Duration) (int64, string, int64, error) {
	if m.dead.Load() {
		return 0, "", 0, errKilled
	}
	return m.Store.Lead(ctx, server, at, lasts)
}

func (m *mortal) Resign(ctx context.Context, server string) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Resign(ctx, server)
}

func (m *mortal) Checkpoint(ctx context.Context, fence int64, source, name, incarnation string, done int64) (bool, error) {
	if m.dead.Load() {
		return false, errKilled
	}
	return m.Store.Checkpoint(ctx, fence, source, name, incarnation, done)
}
