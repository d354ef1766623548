//go:build !unix

package dev

import (
	"context"
	"errors"
)

// ErrUnsupported is a system on which the vault cannot run its own surroundings; it serves there all the same.
var ErrUnsupported = errors.New("the vault runs its own Postgres and S3 on Linux and macOS; on Windows use WSL, or run both yourself " +
	"and name them in the environment of `mediavault serve`")

// Dev cannot be on this system.
type Dev struct {
	DatabaseURL string
	S3          S3Access
}

// MaybeChild does nothing on this system.
func MaybeChild() {}

// Start answers ErrUnsupported.
func Start(context.Context, Options) (*Dev, error) { return nil, ErrUnsupported }

// Failed never happens.
func (*Dev) Failed() <-chan struct{} { return nil }

// Err is nil.
func (*Dev) Err() error { return nil }

// Wait returns when ctx ends.
func (*Dev) Wait(ctx context.Context) error { <-ctx.Done(); return nil }

// Stop has nothing to stop.
func (*Dev) Stop(context.Context) error { return nil }
