package blobs_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/internal/s3test"
)

// send is what a client does with a signed request.
func send(t *testing.T, signed blobs.Signed, body []byte, change func(*http.Request)) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(timeout(t), signed.Method, signed.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range signed.Headers {
		if name == "Content-Length" {
			continue // net/http sends that of the body
		}
		request.Header.Set(name, value)
	}
	if change != nil {
		change(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// refused sends what has to be refused; the S3 may hang up on a large body instead of answering.
func refused(t *testing.T, signed blobs.Signed, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(timeout(t), signed.Method, signed.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestASignedPutTakesWhatWasAnnouncedAndNothingElse(t *testing.T) {
	t.Parallel()
	server := s3test.New(t)
	s := open(t, server)
	content := noise(10000)
	other := noise(10001)[1:]
	for name, c := range map[string]struct {
		body   []byte
		change func(*http.Request)
		status int
	}{
		"as announced":   {content, nil, http.StatusOK},
		"other bytes":    {other, nil, http.StatusBadRequest},
		"fewer bytes":    {content[:9999], nil, http.StatusForbidden},
		"more bytes":     {append([]byte("x"), content...), nil, http.StatusForbidden},
		"another type":   {content, func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }, http.StatusForbidden},
		"another sha256": {content, func(r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") }, http.StatusForbidden},
		"another method": {content, func(r *http.Request) { r.Method = http.MethodDelete }, http.StatusForbidden},
		"another key":    {content, func(r *http.Request) { r.URL.Path += "x" }, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := s.NewKey("alice")
			signed, err := s.SignPut(timeout(t), key, blobs.Upload{Size: 10000, ContentType: "image/png", Digest: digest(content)}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			response := send(t, signed, c.body, c.change)
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status {
				t.Errorf("status %d: %s", response.StatusCode, body)
			}
			_, _, err = s.Hash(timeout(t), key)
			if stored := err == nil; stored != (c.status == http.StatusOK) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

func TestASignedMultipartUploadIsPutTogether(t *testing.T) {
	t.Parallel()
	s := open(t, s3test.New(t))
	content := noise(40 << 20)
	for _, named := range []bool{true, false} {
		t.Run("the client names the parts: "+strconv.FormatBool(named), func(t *testing.T) {
			t.Parallel()
			ctx := timeout(t)
			key := s.NewKey("alice")
			upload, err := s.SignMultipart(ctx, key, blobs.Upload{Size: int64(len(content)), ContentType: "video/mp4"}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var parts []blobs.Part
			for i, part := range upload.Parts {
				from := int64(i) * upload.PartSize
				if i == 1 {
					if _, err := s.CompleteMultipart(ctx, key, upload.UploadID, nil, int64(len(content))); !errors.Is(err, blobs.ErrIncomplete) {
						t.Errorf("completed with one part of %d: %v", len(upload.Parts), err)
					}
					refused(t, part.Signed, content[from:from+part.Size-1])
				}
				response := send(t, part.Signed, content[from:from+part.Size], nil)
				if response.StatusCode != http.StatusOK {
					t.Fatalf("part %d: status %d", part.Number, response.StatusCode)
				}
				if named {
					parts = append([]blobs.Part{{Number: part.Number, ETag: response.Header.Get("ETag")}}, parts...)
				}
			}
			for _, again := range []string{"first", "again"} {
				info, err := s.CompleteMultipart(ctx, key, upload.UploadID, parts, int64(len(content)))
				if err != nil {
					t.Fatalf("%s: %v", again, err)
				}
				if info.Size != int64(len(content)) || info.ContentType != "video/mp4" {
					t.Errorf("%s: %+v", again, info)
				}
			}
			info, _, err := s.Hash(ctx, key)
			if err != nil || info.Digest != digest(content) {
				t.Errorf("%s, %v", info.Digest, err)
			}
		})
	}
}

func TestAnAbortedUploadCannotBeCompleted(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	server := s3test.New(t)
	s := open(t, server)
	key := s.NewKey("alice")
	upload, err := s.SignMultipart(ctx, key, blobs.Upload{Size: 100}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	send(t, upload.Parts[0].Signed, noise(100), nil)
	for range 2 {
		if err := s.AbortMultipart(ctx, key, upload.UploadID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CompleteMultipart(ctx, key, upload.UploadID, nil, 100); !errors.Is(err, blobs.ErrNoUpload) {
		t.Errorf("got %v", err)
	}
	if n := leftovers(t, server); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestSweepingAbortsWhatIsOldAlone(t *testing.T) {
	t.Parallel()
	ctx := timeout(t)
	s := open(t, s3test.New(t))
	for range 3 {
		if _, err := s.SignMultipart(ctx, s.NewKey("alice"), blobs.Upload{Size: 100}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 3}, {time.Now().Add(time.Hour), 0}} {
		if n, err := s.Sweep(ctx, c.before); err != nil || n != c.want {
			t.Errorf("swept %d, wanted %d: %v", n, c.want, err)
		}
	}
}
