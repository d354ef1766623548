//go:build unix

package dev_test

import (
	"os"
	"testing"

	"github.com/mediavault-io/mediavault/internal/dev"
)

func TestMain(m *testing.M) {
	dev.MaybeChild()
	os.Exit(m.Run())
}
