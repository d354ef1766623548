package reactors

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Spent keeps account of the CPU time that stages take, in this process and in the children. The zero Spent is ready, and so is
// nil, which keeps none. It is safe for concurrent use.
type Spent struct {
	mu  sync.Mutex // guards all below
	cpu map[string]time.Duration
}

// CPU is what each stage has taken so far, by its name.
func (s *Spent) CPU() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.cpu)
}

// look has a stage look, and books what that took on this thread, and what the child took for it before.
func (s *Spent) look(ctx context.Context, stage Stage, subject *Subject) (Finding, error) {
	if s == nil {
		return stage.Look(ctx, subject)
	}
	var found Finding
	var err error
	took := threadTime(func() { found, err = stage.Look(ctx, subject) }) + childTime(stage, subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cpu == nil {
		s.cpu = map[string]time.Duration{}
	}
	s.cpu[stage.Name()] += took
	return found, err
}
