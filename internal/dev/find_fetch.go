//go:build unix

package dev

import "context"

func fromNPM(ctx context.Context, o FindOptions) ([]Binaries, error) { return nil, nil }
func fromAPT(ctx context.Context, o FindOptions) ([]Binaries, error) { return nil, nil }
