package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/s3test"
)

// impatient is a bucket whose calls have so much time.
func impatient(t *testing.T, endpoint, accessKey, secretKey string, patience time.Duration) *blobs.S3 {
	t.Helper()
	s, err := blobs.Open(timeout(t), blobs.Config{
		Endpoint: endpoint, AccessKey: accessKey, SecretKey: secretKey, Bucket: "vault", Secret: []byte("secret"), Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAPausedServerIsUnavailableInTime(t *testing.T) {
	t.Parallel()
	ctx, server := timeout(t), s3test.New(t)
	setUp, s := open(t, server), impatient(t, server.Endpoint(), server.AccessKey(), server.SecretKey(), 1500*time.Millisecond)
	content := noise(40 << 20) // more than connections and their windows hold
	key := setUp.NewKey("alice")
	if _, err := setUp.Put(ctx, key, bytes.NewReader(content), int64(len(content)), ""); err != nil {
		t.Fatal(err)
	}
	underway, err := s.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer underway.Close()
	if _, err := io.ReadFull(underway, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	resume := func() { _ = syscall.Kill(server.Pid(), syscall.SIGCONT) }
	defer resume()
	if err := syscall.Kill(server.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	began := time.Now()
	for what, do := range map[string]func() error{
		"read":       func() error { _, err := io.Copy(io.Discard, underway); return err },
		"stat":       func() error { _, err := s.Stat(ctx, key); return err },
		"get":        func() error { _, err := s.Get(ctx, key); return err },
		"ping":       func() error { return s.Ping(ctx) },
		"list":       func() error { _, err := s.List(ctx, ""); return err },
		"delete":     func() error { return s.Delete(ctx, s.NewKey("alice")) },
		"put little": func() error { return put(ctx, s, content[:100]) },
		"put more":   func() error { return put(ctx, s, content[:1<<20]) },
		"put parts":  func() error { return put(ctx, s, content[:20<<20]) },
		"sign parts": func() error {
			_, err := s.SignMultipart(ctx, s.NewKey("alice"), blobs.Upload{Size: 1 << 30}, time.Hour)
			return err
		},
		"sweep parts": func() error { _, err := s.Sweep(ctx, time.Now()); return err },
	} {
		all.Go(func() {
			if err := do(); !errors.Is(err, blobs.ErrUnavailable) || errors.Is(err, blobs.ErrFull) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	resume()
	info, _, err := setUp.Hash(ctx, key)
	if err != nil || info.Digest != digest(content) {
		t.Errorf("afterwards: %+v %v", info, err)
	}
}

func put(ctx context.Context, s *blobs.S3, content []byte) error {
	_, err := s.Put(ctx, s.NewKey("alice"), bytes.NewReader(content), int64(len(content)), "")
	return err
}

// TestAStandInForServersWithoutRoom says what MinIO, Ceph and versitygw say then; a full versitygw itself is tried with the whole vault.
func TestAStandInForServersWithoutRoom(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{
		"XMinioStorageFull": 507, "QuotaExceeded": 403, "InsufficientStorage": 507, "XMinioAdminBucketQuotaExceeded": 400, "SomethingElse": 507,
	} {
		t.Run(code+strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			ctx, server := timeout(t), full(t, code, status)
			s := impatient(t, server.URL, "access", "secret", 5*time.Second)
			for what, do := range map[string]func() error{
				"put little": func() error { return put(ctx, s, noise(100)) },
				"put parts":  func() error { return put(ctx, s, noise(20<<20)) },
			} {
				if err := do(); !errors.Is(err, blobs.ErrFull) || !errors.Is(err, blobs.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// full is a server that takes nothing, and has nothing.
func full(t *testing.T, code string, status int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.Method {
		case http.MethodHead: // of the bucket
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+`</Code><Message>no room</Message></Error>`)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// dripping yields its bytes slowly, as a client behind a bad line does.
type dripping struct {
	left  int
	pause <-chan time.Time
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	<-d.pause
	d.left--
	return copy(p[:1], "x"), nil
}

func TestASlowSenderIsNotASilentServer(t *testing.T) {
	t.Parallel()
	ctx, server := timeout(t), s3test.New(t)
	s := impatient(t, server.Endpoint(), server.AccessKey(), server.SecretKey(), 1500*time.Millisecond)
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	info, err := s.Put(ctx, s.NewKey("alice"), &dripping{left: 10, pause: tick.C}, 10, "")
	if err != nil || info.Digest != digest(bytes.Repeat([]byte("x"), 10)) || info.Key == domain.ObjectKey("") {
		t.Errorf("%+v %v", info, err)
	}
}
