package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// asked is a request that can be sent again.
type asked struct {
	by                   *demo.Client
	method, path, accept string
	key                  string // the Idempotency-Key
	kind                 string // Content-Type
	body                 []byte
}

func reading(by *demo.Client, path, accept string) asked {
	return asked{by: by, method: http.MethodGet, path: path, accept: accept}
}

func writing(by *demo.Client, method, path, body string) asked {
	a := asked{by: by, method: method, path: path, key: uuid.NewString()}
	if body != "" {
		a.kind, a.body = "application/json", []byte(body)
	}
	return a
}

func upload(by *demo.Client, path string, file []byte) asked {
	return asked{by: by, method: http.MethodPost, path: path, key: uuid.NewString(), kind: http.DetectContentType(file), body: file}
}

// answered is what became of a request; status 0: nothing did in answerTime.
type answered struct {
	status int
	header http.Header
	body   []byte
	err    error
	took   time.Duration
}

func (a asked) send(ctx context.Context) answered {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, a.method, a.by.Base+a.path, bytes.NewReader(a.body))
	if err != nil {
		return answered{err: err}
	}
	if a.by.Token != "" {
		r.Header.Set("Authorization", "Bearer "+a.by.Token)
	}
	for name, value := range map[string]string{"Accept": a.accept, "Idempotency-Key": a.key, "Content-Type": a.kind} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if a.kind != "" && a.kind != "application/json" {
		r.Header.Set("Content-Disposition", `attachment; filename="file`+map[string]string{"application/pdf": ".pdf", "image/png": ".png"}[a.kind]+`"`)
	}
	resp, err := a.by.HTTP.Do(r)
	if err != nil {
		return answered{err: err, took: time.Since(began)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answered{status: resp.StatusCode, header: resp.Header, body: body, err: err, took: time.Since(began)}
}

// allUnavailable sends requests at once; each has to be answered with 503, a code (that one, if one is given) and when to ask again.
func allUnavailable(t *testing.T, v *vault, asks []asked, code string) {
	t.Helper()
	var sending sync.WaitGroup
	for _, a := range asks {
		sending.Go(func() {
			got := a.send(t.Context())
			if why := refusedBy(got, http.StatusServiceUnavailable, code); why != "" {
				t.Errorf("%s %s %s: %s", a.method, a.path, a.accept, why)
			}
			t.Logf("%s %s %s: %d %s in %v", a.method, a.path, a.accept, got.status, codeOf(got.body), got.took.Round(time.Millisecond))
		})
	}
	sending.Wait()
	if t.Failed() {
		t.Log(v.log)
	}
}

// refusedBy says what is wrong with an answer that should be a problem document.
func refusedBy(got answered, status int, code string) string {
	after, err := strconv.Atoi(got.header.Get("Retry-After"))
	switch {
	case got.err != nil:
		return fmt.Sprintf("no answer in %v: %v", got.took, got.err)
	case got.status != status, codeOf(got.body) == "", code != "" && codeOf(got.body) != code:
		return fmt.Sprintf("%d %s, want %d %s", got.status, got.body, status, code)
	case got.header.Get("Content-Type") != "application/problem+json":
		return "it is no problem document"
	case err != nil || after < 1:
		return "nobody says when to ask again"
	}
	return ""
}

func codeOf(body []byte) string {
	var p demo.Problem
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return p.Code
}

// insist sends a write until it is done; a vault that cannot now may say so meanwhile.
func insist(t *testing.T, a asked) demo.Written {
	t.Helper()
	var w demo.Written
	if body := insistOn(t, a); json.Unmarshal(body, &w) != nil {
		t.Fatalf("%s %s: %s", a.method, a.path, body)
	}
	return w
}

// insistOn is insist for whatever is answered.
func insistOn(t *testing.T, a asked) []byte {
	t.Helper()
	return sendUntil(t, a, func(got answered) (done, wrong bool) {
		done = got.status >= 200 && got.status < 300
		return done, !done && got.status != http.StatusServiceUnavailable && got.status != http.StatusInsufficientStorage
	})
}

// sendUntil sends a request again and again until it is answered as is wanted.
func sendUntil(t *testing.T, a asked, want func(answered) (done, wrong bool)) []byte {
	t.Helper()
	deadline := time.After(startTime)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got := a.send(t.Context())
		done, wrong := want(got)
		if done && got.err == nil {
			return got.body
		}
		if got.err != nil || wrong {
			t.Fatalf("%s %s: %d %s, %v after %v", a.method, a.path, got.status, got.body, got.err, got.took)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s %s is still answered with %d %s", a.method, a.path, got.status, got.body)
		}
	}
}

// available uploads a file, waits until it may be delivered, and answers the item.
func available(t *testing.T, c *demo.Client, file []byte) string {
	t.Helper()
	id := insist(t, upload(c, "/v1/media", file)).ID
	body := sendUntil(t, reading(c, "/v1/media/"+id+"/content", ""), func(got answered) (done, wrong bool) {
		return got.status == http.StatusOK, false
	})
	if !bytes.Equal(body, file) {
		t.Fatal("other bytes are delivered than were uploaded")
	}
	return id
}

// probe asks until a probe answers so.
func probe(t *testing.T, v *vault, path string, status int, says string) {
	t.Helper()
	stranger := &demo.Client{Base: v.base, HTTP: http.DefaultClient}
	sendUntil(t, reading(stranger, path, ""), func(got answered) (done, wrong bool) {
		return got.status == status && strings.Contains(string(got.body), says), false
	})
}

// said counts the events by which somebody said something.
func said(t *testing.T, auditor *demo.Client, what string) int {
	t.Helper()
	n := 0
	for _, e := range everything(t, auditor) {
		switch e.Type {
		case "media.uploaded", "media.version_added", "media.described", "share.granted":
			if strings.Contains(string(e.Data), what) {
				n++
			}
		}
	}
	return n
}

// follow listens to the live stream, and goes on where it was when that ends. heard waits until a position came, and fails the test
// unless all came that are there, once and in order.
func follow(t *testing.T, auditor *demo.Client) (heard func(int64)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	positions := make(chan int64, 10_000)
	listening.Go(func() {
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for last := int64(0); ctx.Err() == nil; {
			last = hearLive(ctx, auditor, last, positions)
			select {
			case <-again.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { cancel(); listening.Wait() })
	return func(until int64) {
		t.Helper()
		deadline := time.After(startTime)
		for next := int64(1); next <= until; next++ {
			select {
			case p := <-positions:
				if p != next {
					t.Fatalf("position %d came where %d was due", p, next)
				}
			case <-deadline:
				t.Fatalf("position %d of %d did not come", next, until)
			}
		}
	}
}

// hearLive listens to one live stream until it ends, and answers how far it came.
func hearLive(ctx context.Context, c *demo.Client, last int64, positions chan<- int64) int64 {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+"/v1/events", nil)
	if err != nil {
		return last
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return last
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		id, ok := strings.CutPrefix(lines.Text(), "id: ")
		if !ok {
			continue
		}
		if last, err = strconv.ParseInt(id, 10, 64); err != nil {
			return last
		}
		select {
		case positions <- last:
		case <-ctx.Done():
		}
	}
	return last
}

// download begins to read and answers the rest. Little of it waits on its way here: most is still in storage.
func download(t *testing.T, c *demo.Client, path string) io.Reader {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, conn syscall.RawConn) error {
		var failed error
		err := conn.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
		if err == nil {
			err = failed
		}
		return err
	}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	t.Cleanup(func() { cancel(); transport.CloseIdleConnections() })
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return resp.Body
}

// noise is a picture of 27 MB.
func noise(t *testing.T) []byte {
	t.Helper()
	picture := image.NewNRGBA(image.Rect(0, 0, 3000, 3000))
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(picture.Pix) // it never fails
	for i := 3; i < len(picture.Pix); i += 4 {
		picture.Pix[i] = 255
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// document is a PDF of that size, like no other.
func document(size int) []byte {
	filling := bytes.Repeat([]byte("% nothing\n"), size/10)
	return fmt.Appendf(nil, "%%PDF-1.4\n%% %s\n%s1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n", uuid.NewString(), filling)
}

func sumOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// filesIn are the files below a folder, by size.
func filesIn(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files[path] = info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}
