//go:build unix

// Package s3test gives a test a private S3 server. It is for tests only. The package under test needs a TestMain that calls
// dev.MaybeChild first, because the server is a child of the test binary.
package s3test

import (
	"context"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/dev"
)

// New starts an empty S3 server that goes away with the test. It takes some 50 ms. What it acknowledges survives a killed
// process, not a power loss.
func New(t testing.TB) *dev.S3 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := dev.StartS3(ctx, dev.S3Options{Dir: t.TempDir(), Volatile: true})
	if err != nil {
		t.Fatalf("an S3 server for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop the test's S3 server: %v", err)
		}
	})
	return s
}
