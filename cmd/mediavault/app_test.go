package main

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// tellsItsStory holds what the demo prints to what it is to have done.
func tellsItsStory(t *testing.T, v *vault) {
	t.Helper()
	waitForLog(t, v, "now                    ")
	for _, says := range []string{
		"media.uploaded", "media.version_added", "share.granted", "moderation.opened", "moderation.decided", "media.removed",
		"moderation.appealed", "moderation.appeal_decided", "media.released", "403 decided_first",
		`before the new title   "Harbour at dusk"              version 1, available`,
		`while it was removed   "Sydney harbour, last light"   version 2, removed`,
		`now                    "Sydney harbour, last light"   version 2, available`,
	} {
		if !strings.Contains(v.log.String(), says) {
			t.Errorf("the demo does not say %q:\n%s", says, v.log)
		}
	}
}

func TestDemoDoesTheMainJobAndShowsItsHistory(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir(), "--demo")
	tellsItsStory(t, v)
	t.Run("the command line reads the same history while the vault runs", func(t *testing.T) {
		id := firstItem(t, v)
		out, err := v.run("history", id)
		if err != nil || !strings.Contains(out, "media.uploaded") || !strings.Contains(out, "alice") {
			t.Errorf("history: %v\n%s", err, out)
		}
		first := strings.Fields(out)[0] // the position of its first event
		out, err = v.run("history", id, "--as-of", first)
		if err != nil || strings.Count(out, "\n") != 1 {
			t.Errorf("history as of position %s: %v\n%s", first, err, out)
		}
		out, err = v.run("events", "--category", "moderation", "--limit", "2")
		if err != nil || strings.Count(out, `"type":"moderation.`) != 2 {
			t.Errorf("events: %v\n%s", err, out)
		}
	})
	t.Run("read models are rebuilt while they are read, and equal what they replace", func(t *testing.T) {
		for _, name := range []string{"library", "shares", "access", "review", "audit", "usage"} {
			out, err := v.run("rebuild", name)
			if err != nil || !strings.Contains(out, "it equals the one that it replaced") {
				t.Errorf("rebuild %s: %v\n%s", name, err, out)
			}
		}
		if out, err := v.run("rebuild", "library", "--back"); err != nil {
			t.Errorf("one step back: %v\n%s", err, out)
		}
		if out, err := v.run("verify", "projections"); err != nil {
			t.Errorf("verify: %v\n%s", err, out)
		}
	})
	t.Run("a read model that does not exist is named in the refusal", func(t *testing.T) {
		if out, err := v.run("rebuild", "nonsense"); err == nil || !strings.Contains(out, "nonsense") {
			t.Errorf("rebuild nonsense: %v\n%s", err, out)
		}
	})
	v.stop()
}

func TestStoppingKeepsTheDataAndStartingGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := startVault(t, dir)
	alice := v.as("alice", "user")
	file := pdf(rand.New(rand.NewPCG(1, 1)))
	w, err := alice.Upload(t.Context(), "/v1/media", "paper.pdf", "application/pdf", file, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.stop()
	if out, err := v.run("history", w.ID); err != nil || !strings.Contains(out, "media.uploaded") {
		t.Errorf("history of a vault that does not run: %v\n%s", err, out)
	}
	v = startVault(t, dir)
	alice = v.as("alice", "user")
	alice.After = w.Position
	if got := content(t, alice, w.ID, v.as("audrey", "auditor")); string(got) != string(file) {
		t.Error("the bytes are not those that were uploaded before the stop")
	}
	v.stop()
}

func TestASecondVaultOnTheSameFolderSaysSo(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "dev", "--data", v.dir, "--addr", "127.0.0.1:0").CombinedOutput()
	if err == nil || strings.Contains(string(out), "panic") || !strings.Contains(string(out), v.dir) {
		t.Errorf("it should end with an error that names the folder: %v\n%s", err, out)
	}
	v.stop()
}

func TestTwoProcessesWriteProjectAndReactAtOnce(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	second := serveBeside(t, v)
	clients := []*demo.Client{v.as("alice", "user"), v.as("alice", "user")}
	clients[1].Base = second.base
	j := &journal{}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(w)))
			for range 25 {
				writeOnce(t.Context(), clients[w%2], j, rnd)
			}
		})
	}
	writers.Wait()
	if n := len(j.all()); n < 190 {
		t.Errorf("of 200 writes %d were acknowledged", n)
	}
	check(t, v, j)
	second.kill() // what it led, the other takes over
	for range 20 {
		writeOnce(t.Context(), clients[0], j, rand.New(rand.NewPCG(9, uint64(len(j.all())))))
	}
	check(t, v, j)
	v.stop()
}

func TestSomebodyWithoutRightsOfRootCanRunIt(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "mediavault-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	cmd := exec.Command(path, "dev", "--data", filepath.Join(home, "data"), "--addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "HOME="+home)
	if os.Getuid() == 0 { // else this test is one of the others
		const nobody = 65534
		if err := errors.Join(os.Chown(home, nobody, nobody), os.Chmod(filepath.Dir(path), 0o755)); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	v := startCommand(t, filepath.Join(home, "data"), cmd)
	resp, err := http.Get(v.base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Errorf("readyz: %s %s", resp.Status, body)
	}
	v.stop()
}

func TestProbesMetricsAndDescriptionsAreServed(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	for path, says := range map[string]string{
		"/healthz": `"status":"ok"`, "/readyz": `"models":"ok"`, "/health": `"storage":"ok"`, "/health/db": `"database":"ok"`,
		"/metrics": "mediavault_events_appended_total", "/openapi.json": `"/v1/media/{id}"`, "/docs": "Media Vault",
		"/.well-known/openid-configuration": "jwks_uri", "/.well-known/jwks.json": `"keys"`,
	} {
		resp, err := http.Get(v.base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), says) {
			t.Errorf("%s: %s, and does not say %q", path, resp.Status, says)
		}
	}
	v.stop()
}

func TestBadConfigurationIsToldAllAtOnce(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve")
	cmd.Env = []string{"MEDIAVAULT_DATABASE_URL=nonsense", "MEDIAVAULT_PAGE_SIZE=-1", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
	for _, name := range []string{"MEDIAVAULT_DATABASE_URL", "MEDIAVAULT_PAGE_SIZE", "MEDIAVAULT_S3_ENDPOINT", "MEDIAVAULT_OIDC_ISSUER", "MEDIAVAULT_MASTER_KEY"} {
		if !strings.Contains(string(out), name) {
			t.Errorf("%s is not named:\n%s", name, out)
		}
	}
}

// beside is the environment of another process of a dev vault.
func beside(t *testing.T, v *vault) []string {
	t.Helper()
	raw, err := os.ReadFile(runningFile(v.dir))
	if err != nil {
		t.Fatal(err)
	}
	var r running
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	key, err := devMasterKey(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(),
		"MEDIAVAULT_ADDR=127.0.0.1:0", "MEDIAVAULT_DATABASE_URL="+r.DatabaseURL, "MEDIAVAULT_MASTER_KEY="+key,
		"MEDIAVAULT_S3_ENDPOINT="+strings.TrimPrefix(r.S3.Endpoint, "http://"), "MEDIAVAULT_S3_TLS=false", "MEDIAVAULT_S3_BUCKET="+r.S3.Bucket,
		"MEDIAVAULT_S3_REGION="+r.S3.Region, "MEDIAVAULT_S3_ACCESS_KEY="+r.S3.AccessKey, "MEDIAVAULT_S3_SECRET_KEY="+r.S3.SecretKey,
		"MEDIAVAULT_OIDC_ISSUER="+r.BaseURL, "MEDIAVAULT_LIMIT_PER_PRINCIPAL=0", "MEDIAVAULT_LIMIT_PER_IP=0",
	)
}

// serveBeside runs `mediavault serve` on what a dev vault uses: a second process of the same vault. more is added to its environment.
func serveBeside(t *testing.T, v *vault, more ...string) *vault {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve")
	cmd.Env = append(beside(t, v), more...)
	return startCommand(t, v.dir, cmd)
}

func firstItem(t *testing.T, v *vault) string {
	t.Helper()
	var list struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := v.as("alice", "user").Do(t.Context(), http.MethodGet, "/v1/media?sort=created_at", nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatal("there is no item")
	}
	return list.Items[0].ID
}

func waitForLog(t *testing.T, v *vault, says string) {
	t.Helper()
	deadline := time.After(startTime)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(v.log.String(), says) {
		select {
		case <-v.done:
			t.Fatalf("the vault ended:\n%s", v.log)
		case <-deadline:
			t.Fatalf("the vault did not say %q:\n%s", says, v.log)
		case <-tick.C:
		}
	}
}
