package projections

import "context"

// RebuildOptions say how to rebuild.
type RebuildOptions struct{}

// Rebuilt is what a rebuild did.
type Rebuilt struct{}

// Rebuild builds beside.
func (e *Engine) Rebuild(ctx context.Context, name string, o RebuildOptions) (Rebuilt, error) {
	return Rebuilt{}, nil
}
