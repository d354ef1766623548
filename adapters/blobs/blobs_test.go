package blobs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/s3test"
)

func TestMain(m *testing.M) {
	dev.MaybeChild()
	os.Exit(m.Run())
}

func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, server *dev.S3) *blobs.S3 {
	t.Helper()
	s, err := blobs.Open(timeout(t), blobs.Config{
		Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey(), Bucket: "vault", Secret: []byte("secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noise is incompressible, and the same every time.
func noise(n int) []byte {
	content := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(content)
	return content
}

func digest(content []byte) domain.Digest {
	sum := sha256.Sum256(content)
	return domain.Digest(hex.EncodeToString(sum[:]))
}

// leftovers counts what is stored and what is half uploaded.
func leftovers(t *testing.T, server *dev.S3) int {
	t.Helper()
	c, err := minio.New(server.Endpoint(), &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey(), server.SecretKey(), "")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for object := range c.ListObjects(timeout(t), "vault", minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		n++
	}
	for upload := range c.ListIncompleteUploads(timeout(t), "vault", "", true) {
		if upload.Err != nil {
			t.Fatal(upload.Err)
		}
		n++
	}
	return n
}

func TestWhatIsPutComesBack(t *testing.T) {
	t.Parallel()
	s := open(t, s3test.New(t))
	for _, size := range []int{0, 1, 4095, 8<<20 - 1, 8 << 20, 8<<20 + 1, 16 << 20, 37<<20 + 11} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, size announced: %v", size, known), func(t *testing.T) {
				t.Parallel()
				ctx := timeout(t)
				content := noise(size)
				announced := int64(size)
				if !known {
					announced = -1
				}
				key := s.NewKey("alice")
				put, err := s.Put(ctx, key, iotest.HalfReader(bytes.NewReader(content)), announced, "image/png")
				if err != nil {
					t.Fatal(err)
				}
				if put.Digest != digest(content) || put.Size != int64(size) {
					t.Errorf("put says %d bytes, %s", put.Size, put.Digest)
				}
				hashed, head, err := s.Hash(ctx, key)
				if err != nil {
					t.Fatal(err)
				}
				if hashed.Digest != put.Digest || hashed.Size != put.Size || hashed.ContentType != "image/png" || hashed.ETag != put.ETag {
					t.Errorf("stored %+v, put said %+v", hashed, put)
				}
				if !bytes.Equal(head, content[:min(size, blobs.HeadSize)]) {
					t.Errorf("%d first bytes differ", len(head))
				}
			})
		}
	}
}

func TestAReaderThatFailsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	broken := errors.New("the client went away")
	for name, c := range map[string]struct {
		reader io.Reader
		size   int64
		want   error
	}{
		"short, in one part":          {bytes.NewReader(noise(100)), 101, blobs.ErrShort},
		"short, in several parts":     {bytes.NewReader(noise(20 << 20)), 20<<20 + 1, blobs.ErrShort},
		"empty, though announced":     {bytes.NewReader(nil), 1, blobs.ErrShort},
		"long, in one part":           {bytes.NewReader(noise(101)), 100, blobs.ErrLong},
		"long, though nothing":        {bytes.NewReader(noise(1)), 0, blobs.ErrLong},
		"long, in several parts":      {bytes.NewReader(noise(20<<20 + 1)), 20 << 20, blobs.ErrLong},
		"fails at once":               {iotest.ErrReader(broken), -1, broken},
		"fails in the middle":         {io.MultiReader(bytes.NewReader(noise(20<<20)), iotest.ErrReader(broken)), -1, broken},
		"a request body that ends":    {io.MultiReader(bytes.NewReader(noise(100)), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF},
		"a large body that ends":      {io.MultiReader(bytes.NewReader(noise(9<<20)), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF},
		"fails after the size is met": {io.MultiReader(bytes.NewReader(noise(100)), iotest.ErrReader(broken)), 100, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := s3test.New(t)
			s := open(t, server)
			_, err := s.Put(timeout(t), s.NewKey("alice"), c.reader, c.size, "")
			if !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if n := leftovers(t, server); n != 0 {
				t.Errorf("%d things are left", n)
			}
		})
	}
}

func TestACallerWhoGivesUpLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	server := s3test.New(t)
	s := open(t, server)
	ctx, cancel := context.WithCancel(timeout(t))
	content := io.MultiReader(bytes.NewReader(noise(20<<20)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, ctx.Err()
	}))
	if _, err := s.Put(ctx, s.NewKey("alice"), content, -1, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := leftovers(t, server); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestABlobIsServedInRanges(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	s := open(t, s3test.New(t))
	content := noise(12<<20 + 5)
	key := s.NewKey("alice")
	put, err := s.Put(ctx, key, bytes.NewReader(content), int64(len(content)), "video/mp4")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blob, err := s.Get(r.Context(), key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer blob.Close()
		w.Header().Set("ETag", `"`+string(put.Digest)+`"`)
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", blob.Info.Modified, blob)
	}))
	t.Cleanup(server.Close)
	for header, want := range map[string]struct {
		status int
		body   []byte
	}{
		"":                      {http.StatusOK, content},
		"bytes=0-0":             {http.StatusPartialContent, content[:1]},
		"bytes=5000000-9000000": {http.StatusPartialContent, content[5000000:9000001]},
		"bytes=-7":              {http.StatusPartialContent, content[len(content)-7:]},
		"bytes=1048576-":        {http.StatusPartialContent, content[1048576:]},
		"bytes=99999999-":       {http.StatusRequestedRangeNotSatisfiable, nil},
	} {
		t.Run("range "+header, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(timeout(t), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if header != "" {
				request.Header.Set("Range", header)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != want.status {
				t.Fatalf("status %d", response.StatusCode)
			}
			if want.body != nil && !bytes.Equal(body, want.body) {
				t.Errorf("%d bytes, wanted %d", len(body), len(want.body))
			}
		})
	}
}

func TestSeekingAndReadingIsWhatMemoryWouldDo(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	s := open(t, s3test.New(t))
	content := noise(3<<20 + 17)
	key := s.NewKey("alice")
	if _, err := s.Put(ctx, key, bytes.NewReader(content), -1, ""); err != nil {
		t.Fatal(err)
	}
	blob, err := s.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if err := iotest.TestReader(blob, content); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatVanishesIsUnavailableAndComesBack(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	server := s3test.New(t)
	s := open(t, server)
	content := noise(20 << 20)
	key := s.NewKey("alice")
	if _, err := s.Put(ctx, key, bytes.NewReader(content), -1, ""); err != nil {
		t.Fatal(err)
	}
	blob, err := s.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.CopyN(io.Discard, blob, 100); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(ctx); !errors.Is(err, blobs.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if _, err := s.Stat(ctx, key); !errors.Is(err, blobs.ErrUnavailable) {
		t.Errorf("stat: %v", err)
	}
	if _, err := s.Put(ctx, s.NewKey("bob"), bytes.NewReader(content), -1, ""); !errors.Is(err, blobs.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if _, err := io.Copy(io.Discard, blob); !errors.Is(err, blobs.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Error("other bytes came back")
	}
}

func TestAStoreThatVanishesInTheMiddleOfAnUploadIsUnavailable(t *testing.T) {
	t.Parallel()
	server := s3test.New(t)
	s := open(t, server)
	content := io.MultiReader(bytes.NewReader(noise(20<<20)), readerFunc(func([]byte) (int, error) {
		if err := server.Kill(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}), bytes.NewReader(noise(20<<20)))
	_, err := s.Put(timeout(t), s.NewKey("alice"), content, -1, "")
	if !errors.Is(err, blobs.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := server.Restart(timeout(t)); err != nil {
		t.Fatal(err)
	}
	// The S3 was not there to clean up after: that is what sweeping is for.
	if _, err := s.Sweep(timeout(t), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := leftovers(t, server); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestAMissingBlobIsNotFound(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	s := open(t, s3test.New(t))
	key := s.NewKey("alice")
	if _, err := s.Get(ctx, key); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := s.Delete(ctx, key); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.Put(ctx, key, strings.NewReader("x"), 1, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, key); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, _, err := s.Hash(ctx, key); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("hash after delete: %v", err)
	}
}

func TestKeysAreRandomAndIsolateOwners(t *testing.T) {
	t.Parallel()
	s := open(t, s3test.New(t))
	one, two, other := string(s.NewKey("alice")), string(s.NewKey("alice")), string(s.NewKey("bob"))
	prefix := func(key string) string { p, _, _ := strings.Cut(key, "/"); return p }
	if one == two || prefix(one) != prefix(two) || prefix(one) == prefix(other) || strings.Contains(one, "alice") {
		t.Errorf("keys %s, %s, %s", one, two, other)
	}
}
