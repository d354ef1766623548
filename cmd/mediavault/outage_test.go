package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A paused process is the worst neighbour: its addresses take connections, and nobody answers.

// answerTime is in what time an impatient vault has to answer, on a machine that is busy. By its defaults it would take longer.
const answerTime = 25 * time.Second

// impatient makes a vault give up soon on neighbours that do not answer.
func impatient() []string {
	return append(os.Environ(), "MEDIAVAULT_COMMAND_TIMEOUT=3s", "MEDIAVAULT_REQUEST_TIMEOUT=6s", "MEDIAVAULT_IDLE_TIMEOUT=6s", "MEDIAVAULT_S3_TIMEOUT=3s")
}

func startImpatient(t *testing.T) *vault {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(path, "dev", "--data", dir, "--addr", "127.0.0.1:0")
	cmd.Env = impatient()
	return startCommand(t, dir, cmd)
}

func TestAPausedPostgresIsA503EverywhereAndHeals(t *testing.T) {
	t.Parallel()
	v := startImpatient(t)
	alice, auditor := v.as("alice", "user"), v.as("audrey", "auditor")
	rnd := rand.New(rand.NewPCG(11, 11))
	item, second := available(t, alice, pdf(rnd)), available(t, alice, pdf(rnd))
	third := insist(t, upload(alice, "/v1/media", pdf(rnd))).ID
	heard := follow(t, auditor)
	pids := v.partPids()

	small, version, large := pdf(rnd), pdf(rnd), document(10<<20)
	writes := []asked{
		upload(alice, "/v1/media", small), upload(alice, "/v1/media/"+second+"/versions", version),
		writing(alice, http.MethodPatch, "/v1/media/"+item, `{"title":"while it was paused"}`),
		writing(alice, http.MethodPost, "/v1/shares", `{"media_id":"`+item+`","with":{"user":"friend"},"permissions":["view"]}`),
		writing(alice, http.MethodPost, "/v1/uploads", `{"filename":"a.pdf","size":10,"sha256":"`+sumOf(small)+`"}`),
		writing(alice, http.MethodDelete, "/v1/media/"+third, ""),
	}
	unkeyed := upload(alice, "/v1/media", large) // its bytes are all there when the database is asked
	unkeyed.key = ""
	asks := append(slices.Clone(writes), unkeyed)
	for _, path := range []string{"/v1/media", "/v1/media/" + item, "/v1/media/" + item + "/content", "/v1/media/" + item + "/history", "/v1/shares", "/v1/usage"} {
		asks = append(asks, reading(alice, path, ""))
	}
	for _, accept := range []string{"application/json", "application/x-ndjson", "text/event-stream"} {
		asks = append(asks, reading(auditor, "/v1/events", accept))
	}
	asks = append(asks, reading(auditor, "/v1/audit", "text/csv"), reading(auditor, "/v1/streams/media-"+item, "application/x-ndjson"))

	resume := pause(t, v.postgres)
	allUnavailable(t, v, asks, "")
	probe(t, v, "/healthz", http.StatusOK, "ok")
	probe(t, v, "/readyz", http.StatusServiceUnavailable, `"database":"failed"`)
	resume()

	probe(t, v, "/readyz", http.StatusOK, `"database":"ok"`)
	j := &journal{}
	for i, w := range writes {
		first := insist(t, w)
		if again := insist(t, w); again != first {
			t.Errorf("%s %s was answered with %+v, and then with %+v", w.method, w.path, first, again)
		}
		switch i {
		case 0:
			j.add(acked{Written: first, sha256: sumOf(small)})
		case 2:
			j.add(acked{Written: first, title: "while it was paused"})
		default:
			j.add(acked{Written: first})
		}
	}
	check(t, v, j)
	for _, what := range []string{sumOf(small), sumOf(version), "while it was paused", `"friend"`} {
		if n := said(t, auditor, what); n != 1 {
			t.Errorf("%q was said %d times", what, n)
		}
	}
	// Nobody knows whether it was taken; if it was, it is whole.
	if n := said(t, auditor, sumOf(large)); n > 1 {
		t.Errorf("one upload was said %d times", n)
	}
	heard(j.all()[len(writes)-1].Position)
	if now := v.partPids(); !slices.Equal(now, pids) {
		t.Errorf("a process was started again: %v, before %v", now, pids)
	}
	v.stop()
}

func TestAPausedStorageIsA503WhereBytesAreNeededAndHeals(t *testing.T) {
	t.Parallel()
	v := startImpatient(t)
	alice, auditor := v.as("alice", "user"), v.as("audrey", "auditor")
	rnd := rand.New(rand.NewPCG(12, 12))
	picture := noise(t)
	item, long := available(t, alice, pdf(rnd)), available(t, alice, picture)
	pids := v.partPids()
	small, large := pdf(rnd), document(10<<20)
	uploads := []asked{upload(alice, "/v1/media", small), upload(alice, "/v1/media", large), upload(alice, "/v1/media/"+item+"/versions", pdf(rnd))}
	underway := download(t, alice, "/v1/media/"+long+"/content")

	resume := pause(t, v.s3)
	cut := make(chan error, 1)
	go func() { // awaited below
		_, err := io.Copy(io.Discard, underway)
		cut <- err
	}()
	asks := append(slices.Clone(uploads), reading(alice, "/v1/media/"+item+"/content", ""), reading(alice, "/v1/media/"+item+"/content?download=1", ""))
	allUnavailable(t, v, asks, "storage_unavailable")
	select {
	case err := <-cut:
		if err == nil {
			t.Error("a download that was under way looks whole")
		}
	case <-time.After(answerTime):
		t.Errorf("a download that was under way does not end\n%s", v.log)
	}
	alice.After = insist(t, writing(alice, http.MethodPatch, "/v1/media/"+item, `{"title":"without bytes"}`)).Position
	var got struct {
		Title string `json:"title"`
	}
	if err := alice.Do(t.Context(), http.MethodGet, "/v1/media/"+item, nil, &got); err != nil || got.Title != "without bytes" {
		t.Errorf("what needs no bytes does not go on: %q, %v", got.Title, err)
	}
	probe(t, v, "/healthz", http.StatusOK, "ok")
	probe(t, v, "/readyz", http.StatusServiceUnavailable, `"storage":"failed"`)
	for _, up := range [][]byte{small, large} {
		if n := said(t, auditor, sumOf(up)); n != 0 {
			t.Errorf("an upload without bytes was said %d times", n)
		}
	}
	resume()

	probe(t, v, "/readyz", http.StatusOK, `"storage":"ok"`)
	j := &journal{}
	for i, up := range uploads {
		first := insist(t, up)
		if again := insist(t, up); again != first {
			t.Errorf("%s %s was answered with %+v, and then with %+v", up.method, up.path, first, again)
		}
		a := acked{Written: first}
		if i < 2 {
			a.sha256 = sumOf([][]byte{small, large}[i])
		}
		j.add(a)
	}
	check(t, v, j)
	if body := insistOn(t, reading(alice, "/v1/media/"+long+"/content", "")); !bytes.Equal(body, picture) {
		t.Error("the content is another than before")
	}
	if now := v.partPids(); !slices.Equal(now, pids) {
		t.Errorf("a process was started again: %v, before %v", now, pids)
	}
	v.stop()
}

// pause stops processes, those that they make meanwhile included, until resume is called or the test ends.
func pause(t *testing.T, find func() []int) (resume func()) {
	t.Helper()
	stopped := map[int]bool{}
	resume = sync.OnceFunc(func() {
		for pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	t.Cleanup(resume)
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		still := true
		for _, pid := range find() {
			if !stopped[pid] && syscall.Kill(pid, syscall.SIGSTOP) == nil {
				stopped[pid], still = true, false
			}
			still = still && (isStopped(pid) || !stopped[pid])
		}
		if still && len(stopped) > 0 {
			return resume
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("processes do not stop: %v", stopped)
		}
	}
}

// isStopped reports whether a process is stopped, or gone.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(stat), ") ")
	return err != nil || ok && (rest[0] == 'T' || rest[0] == 'Z')
}

// postgres are the processes of the vault's Postgres, the postmaster first.
func (v *vault) postgres() []int {
	for _, pid := range childrenOf(v.cmd.Process.Pid) {
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(cmdline, []byte("postgres")) {
			return append([]int{pid}, childrenOf(pid)...)
		}
	}
	return nil
}

// s3 is the process of the vault's S3 server.
func (v *vault) s3() []int {
	return slices.DeleteFunc(childrenOf(v.cmd.Process.Pid), func(pid int) bool {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return !bytes.Contains(environ, []byte("MEDIAVAULT_CHILD=s3\x00"))
	})
}

// partPids are the vault, the postmaster and the S3 server: they stay the same unless one was started again.
func (v *vault) partPids() []int {
	return slices.Concat([]int{v.cmd.Process.Pid}, v.postgres()[:1], v.s3())
}
