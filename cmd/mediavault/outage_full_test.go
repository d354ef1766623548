package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// crowded is a vault of which a part can be filled up.
type crowded struct {
	*vault
	root string // under which the test finds the vault's folder; "": it is where the vault finds it
	fill func() // so that nothing fits any more
	room func()
}

func TestAFullStorageIsA507AndKeepsNothing(t *testing.T) {
	t.Parallel()
	if mayMount(t) {
		t.Run("on a small file system", func(t *testing.T) { storageFull(t, onSmallDisk(t, "s3", "128m")) })
		return
	}
	t.Run("behind a stand-in that answers as a full MinIO does", func(t *testing.T) { storageFull(t, behindStandIn(t)) })
}

func TestAFullDatabaseIsA507AndHeals(t *testing.T) {
	t.Parallel()
	if mayMount(t) {
		t.Run("on a small file system", func(t *testing.T) {
			v := onSmallDisk(t, "postgres", "256m")
			j := databaseFull(t, v)
			databaseWithoutLog(t, v, j)
		})
		return
	}
	t.Run("with a stand-in that answers as a full Postgres does", func(t *testing.T) { databaseFull(t, withTrigger(t)) })
}

func storageFull(t *testing.T, v crowded) {
	alice, auditor := v.as("alice", "user"), v.as("audrey", "auditor")
	rnd := rand.New(rand.NewPCG(13, 13))
	kept := pdf(rnd)
	item := available(t, alice, kept)
	files := [][]byte{pdf(rnd), document(2 << 20), document(12 << 20)}
	uploads := []asked{upload(alice, "/v1/media", files[0]), upload(alice, "/v1/media", files[1]), upload(alice, "/v1/media", files[2])}
	uploads = append(uploads, upload(alice, "/v1/media/"+item+"/versions", pdf(rnd)))
	usage := usageOf(t, alice, auditor)
	objects := v.objects()

	v.fill()
	for _, up := range uploads {
		if why := refusedBy(up.send(t.Context()), http.StatusInsufficientStorage, "storage_full"); why != "" {
			t.Errorf("%d bytes to %s: %s\n%s", len(up.body), up.path, why, v.log)
		}
	}
	said := tally(t, auditor)
	for what, want := range map[string]int{"media.uploaded": 1, "object.stored": 1, "object.referenced": 1, "media.version_added": 0, "media.upload_refused": 0} {
		if said[what] != want {
			t.Errorf("%d %s, want %d", said[what], what, want)
		}
	}
	if now := v.objects(); !maps.Equal(now, objects) {
		t.Errorf("in storage are %v, before %v", now, objects)
	}
	if now := usageOf(t, alice, auditor); now != usage {
		t.Errorf("the usage is %s, before %s", now, usage)
	}
	if body := insistOn(t, reading(alice, "/v1/media/"+item+"/content", "")); !bytes.Equal(body, kept) {
		t.Error("what was there before is delivered as something else")
	}
	insist(t, writing(alice, http.MethodPatch, "/v1/media/"+item, `{"title":"needs no room there"}`))

	v.room()
	j := &journal{}
	for i, up := range uploads {
		a := acked{Written: insist(t, up)}
		if i < len(files) {
			a.sha256 = sumOf(files[i])
		}
		j.add(a)
	}
	check(t, v.vault, j)
	v.stop()
}

func databaseFull(t *testing.T, v crowded) *journal {
	alice := v.as("alice", "user")
	rnd := rand.New(rand.NewPCG(14, 14))
	item := available(t, alice, pdf(rnd))
	j := &journal{}
	// It has room in pages that are there; the journal holds what fits.
	describe := func(n int) (asked, string) {
		noise := make([]byte, 3000)
		for i := range noise {
			noise[i] = byte(rnd.Uint32())
		}
		title := fmt.Sprintf("title %d of %d", n, rnd.Uint64())
		return writing(alice, http.MethodPatch, "/v1/media/"+item, fmt.Sprintf(`{"title":%q,"description":%q}`, title, base64.StdEncoding.EncodeToString(noise))), title
	}
	v.fill()
	var last asked
	var title string
	for n, full := 0, false; !full; n++ {
		last, title = describe(n)
		got := last.send(t.Context())
		switch {
		case got.status == http.StatusOK:
			var w demo.Written
			if err := json.Unmarshal(got.body, &w); err != nil {
				t.Fatal(err)
			}
			j.add(acked{Written: w, title: title})
		case refusedBy(got, http.StatusInsufficientStorage, "database_full") == "":
			full = true
		case refusedBy(got, http.StatusServiceUnavailable, "") != "":
			t.Fatalf("neither done nor refused: %d %s %v\n%s", got.status, got.body, got.err, v.log)
		}
		if n == 2000 {
			t.Fatalf("after %d descriptions it is not full", n)
		}
	}
	before := v.objects()
	auditor := v.as("audrey", "auditor")
	stored := tally(t, auditor)["object.stored"]
	fresh := upload(alice, "/v1/media", pdf(rnd))
	switch got := fresh.send(t.Context()); {
	case got.status == http.StatusCreated: // its events are smaller, and still fitted
	case refusedBy(got, http.StatusInsufficientStorage, "database_full") == "":
		// Where the room ended between the fact about its bytes and the one about the item, they stay until they are swept.
		if now := v.objects(); !maps.Equal(now, before) && tally(t, auditor)["object.stored"] == stored {
			t.Errorf("in storage are %v, before %v", now, before)
		}
	case refusedBy(got, http.StatusServiceUnavailable, "") != "":
		t.Errorf("an upload: %d %s %v", got.status, got.body, got.err)
	}
	insistOn(t, reading(alice, "/v1/media/"+item, "")) // what is there can be read

	v.room()
	j.add(acked{Written: insist(t, last), title: title})
	j.add(acked{Written: insist(t, fresh), sha256: sumOf(fresh.body)})
	check(t, v.vault, j)
	return j
}

// databaseWithoutLog fills the disk again and has Postgres ask for a new file of its log of changes: without room for that it does not go on.
func databaseWithoutLog(t *testing.T, v crowded, j *journal) {
	alice := v.as("alice", "user")
	item := j.all()[0].ID
	v.fill()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for n := 0; ; n++ {
		if n == 1000 {
			t.Fatal("there is room for 1,000 files of 16 MiB")
		}
		if err := v.sql(ctx, `SELECT pg_logical_emit_message(false, 'test', 'x')`, `SELECT pg_switch_wal()`); err != nil {
			break
		}
	}
	last := writing(alice, http.MethodPatch, "/v1/media/"+item, `{"title":"without a log"}`)
	if got := last.send(ctx); refusedBy(got, http.StatusServiceUnavailable, "") != "" && refusedBy(got, http.StatusInsufficientStorage, "database_full") != "" {
		t.Errorf("without a log: %d %s %v", got.status, got.body, got.err)
	}
	v.room()
	j.add(acked{Written: insist(t, last), title: "without a log"})
	check(t, v.vault, j)
	v.stop()
}

// mayMount reports whether a test may mount a file system that nobody else sees.
func mayMount(t *testing.T) bool {
	t.Helper()
	if os.Getenv("MEDIAVAULT_TEST_NO_MOUNT") != "" {
		return false
	}
	return exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs vault "$0"`, t.TempDir()).Run() == nil
}

// onSmallDisk is a vault that has a part of its data on a file system of that size. Only the vault and its children see it: it goes
// with them, however they end.
func onSmallDisk(t *testing.T, part, size string) crowded {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vault-") // short, as the path of a socket has to be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	small := filepath.Join(dir, part)
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mkdir -p "$0" && mount -t tmpfs -o mode=700,size="$1" vault "$0" && shift && exec "$@"`,
		small, size, path, "dev", "--data", dir, "--addr", "127.0.0.1:0")
	cmd.Env = impatient()
	v := crowded{vault: startCommand(t, dir, cmd)}
	pid := strconv.Itoa(v.cmd.Process.Pid)
	v.enter = []string{"nsenter", "--mount", "--target", pid, "--"}
	v.root = "/proc/" + pid + "/root"
	ballast := v.root + filepath.Join(small, "ballast")
	v.fill = func() { fillUp(t, ballast) }
	v.room = func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// fillUp writes a file until there is no room for another byte.
func fillUp(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		_, err := file.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
}

// behindStandIn is a vault whose S3 says, when it is told to be full, what a MinIO says then.
func behindStandIn(t *testing.T) crowded {
	t.Helper()
	inner := startImpatient(t)
	where, err := whereabouts(inner.dir)
	if err != nil {
		t.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: where.S3.Endpoint}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
	}}
	var full atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !full.Load() || r.Method != http.MethodPut && r.Method != http.MethodPost {
			proxy.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>XMinioStorageFull</Code>`+
			`<Message>Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed.</Message></Error>`)
	}))
	t.Cleanup(server.Close)
	v := crowded{vault: serveBeside(t, inner, "MEDIAVAULT_S3_ENDPOINT="+server.Listener.Addr().String())}
	v.fill, v.room = func() { full.Store(true) }, func() { full.Store(false) }
	return v
}

// withTrigger is a vault whose Postgres says, when it is told to be full, what a full one says.
func withTrigger(t *testing.T) crowded {
	t.Helper()
	v := crowded{vault: startImpatient(t)}
	do := func(sql ...string) {
		if err := v.sql(t.Context(), sql...); err != nil {
			t.Fatal(err)
		}
	}
	v.fill = func() {
		do(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`,
			`CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION full_disk()`)
	}
	v.room = func() { do(`DROP TRIGGER full_disk ON events`, `DROP FUNCTION full_disk`) }
	return v
}

// sql runs statements in the vault's database.
func (v crowded) sql(ctx context.Context, statements ...string) error {
	where, err := whereabouts(v.dir)
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(where.DatabaseURL)
	if err != nil {
		return err
	}
	config.Host, config.Fallbacks, config.ConnectTimeout = v.root+config.Host, nil, 10*time.Second
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// objects are the files of the vault's storage, by size; previews, which are made when there is time, and
// the S3 server's own files are left out.
func (v crowded) objects() map[string]int64 {
	files := filesIn(v.t, v.root+filepath.Join(v.dir, "s3", "objects"))
	maps.DeleteFunc(files, func(path string, _ int64) bool {
		return strings.Contains(filepath.Base(path), "-") || strings.Contains(path, "/.")
	})
	return files
}

// tally counts the events of each type.
func tally(t *testing.T, auditor *demo.Client) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, e := range everything(t, auditor) {
		n[e.Type]++
	}
	return n
}

// usageOf is what somebody uses, as of the end of the log.
func usageOf(t *testing.T, c, auditor *demo.Client) string {
	t.Helper()
	mine := *c
	events := everything(t, auditor)
	mine.After = events[len(events)-1].Position
	var usage struct {
		Totals json.RawMessage `json:"totals"`
	}
	if err := mine.Do(t.Context(), http.MethodGet, "/v1/usage", nil, &usage); err != nil {
		t.Fatal(err)
	}
	return string(usage.Totals)
}
