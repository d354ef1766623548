//go:build unix

package dev_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/internal/dev"
)

func TestMain(m *testing.M) {
	playPostgres()
	dev.MaybeChild()
	maybeOwner()
	os.Exit(m.Run())
}

// playPostgres answers for a copy of this binary that is named postgres: the made-up machines of the search need a server that
// is a program and not a script.
func playPostgres() {
	if filepath.Base(os.Args[0]) != "postgres" {
		return
	}
	major, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "major"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("postgres (PostgreSQL) %s.1\n", strings.TrimSpace(string(major)))
	os.Exit(0)
}
