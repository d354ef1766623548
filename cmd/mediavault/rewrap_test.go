package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/keys"
)

func TestAMasterKeyIsReplaced(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	if _, err := v.as("alice", "user").Upload(t.Context(), "/v1/media", "a.txt", "text/plain", []byte("kept"), map[string]string{"title": "Harbour"}); err != nil {
		t.Fatal(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	old, err := devMasterKey(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	next := keys.NewMaster()
	run := func(masters string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), startTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Env = append(beside(t, v), "MEDIAVAULT_MASTER_KEY="+masters)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(next+","+old, "rewrap"); err != nil || strings.HasPrefix(out, "0 keys") || !strings.Contains(out, "wrapped anew") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(next, "events", "--category", "media"); err != nil || !strings.Contains(out, "Harbour") {
		t.Errorf("with the new one alone: %v: %s", err, out)
	}
	if out, err := run(next, "rewrap"); err != nil || !strings.Contains(out, "0 keys") {
		t.Errorf("again: %v: %s", err, out)
	}
	if out, err := run(old, "events"); err == nil {
		t.Errorf("with the old one alone: %s", out)
	}
}
