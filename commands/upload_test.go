package commands_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

func pngFile(name string) commands.File {
	return commands.File{Name: name, Declared: "image/png", Size: -1, Way: media.WayBody}
}

// object is where version n's bytes are said to be.
func (v *vault) object(stream eventstore.Stream, n int) domain.ObjectKey {
	v.t.Helper()
	s := media.State{}
	for _, rec := range v.events(stream) {
		s = media.Evolve(s, rec.Event.(media.Event)) //nolint:forcetypeassert // its own stream
	}
	got, ok := s.Version(n)
	if !ok {
		v.t.Fatalf("%s has no version %d", stream, n)
	}
	return got.File.Object
}

func (v *vault) bytes(key domain.ObjectKey) []byte {
	v.t.Helper()
	b, err := v.blobs.Get(v.t.Context(), key)
	if err != nil {
		v.t.Fatal(err)
	}
	defer b.Close()
	all, err := io.ReadAll(b)
	if err != nil {
		v.t.Fatal(err)
	}
	return all
}

func TestUpload(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	pic := picture(t, 1)

	t.Run("bytes are stored, judged and compared, and then it is said that they are there", func(t *testing.T) {
		t.Parallel()
		f := pngFile("  Harbour 🌅.png ")
		f.Size, f.SHA256, f.Description, f.Tags = int64(len(pic)), digest(pic), "D", []string{"Sea"}
		got := must(v.media.Upload(t.Context(), by(alice), f, iotest.OneByteReader(bytes.NewReader(pic))))(t)
		if got.Version != 1 || got.Type != "image/png" || got.Size != int64(len(pic)) || got.SHA256 != digest(pic) {
			t.Errorf("got %+v", got)
		}
		if want := []string{"media.uploaded", "media.described"}; !slices.Equal(v.types(got.Stream), want) {
			t.Errorf("got %v", v.types(got.Stream))
		}
		if !bytes.Equal(v.bytes(v.object(got.Stream, 1)), pic) {
			t.Error("other bytes are stored")
		}
	})
	t.Run("what is refused leaves an event that says why, and no bytes", func(t *testing.T) {
		t.Parallel()
		erin := domain.Actor{ID: "erin", Roles: []domain.Role{domain.RoleUser}}
		html := []byte("<!DOCTYPE html><html><script>alert(1)</script></html>")
		for name, c := range map[string]struct {
			file commands.File
			body []byte
			want *domain.Refusal
		}{
			"a name":        {pngFile("../x.png"), pic, media.ErrName},
			"an extension":  {pngFile("x.php.png"), pic, media.ErrName},
			"a type":        {commands.File{Name: "x.png", Size: -1}, html, media.ErrType},
			"another type":  {commands.File{Name: "x.jpg", Size: -1}, pic, media.ErrType},
			"declared":      {commands.File{Name: "x.png", Declared: "image/gif", Size: -1}, pic, media.ErrType},
			"nothing":       {pngFile("x.png"), nil, media.ErrEmpty},
			"too short":     {commands.File{Name: "x.png", Size: int64(len(pic)) + 1}, pic, media.ErrSize},
			"too long":      {commands.File{Name: "x.png", Size: int64(len(pic)) - 1}, pic, media.ErrSize},
			"another hash":  {commands.File{Name: "x.png", Size: -1, SHA256: digest([]byte("x"))}, pic, media.ErrSHA256},
			"too large":     {commands.File{Name: "x.png", Size: 6 << 30}, pic, media.ErrTooLarge},
			"late mismatch": {commands.File{Name: "x.png", Size: -1, Late: late(commands.Late{SHA256: digest([]byte("x"))})}, pic, media.ErrSHA256},
		} {
			_, err := v.media.Upload(t.Context(), keyed(erin, name2key(name)), c.file, bytes.NewReader(c.body))
			if !errors.Is(err, c.want) {
				t.Errorf("%s: want %s, got %v", name, c.want.Code, err)
			}
			stream := eventstore.Stream("media-" + domain.Derive("media.upload", "erin", name2key(name)).String())
			recs := v.events(stream)
			if len(recs) != 1 || recs[0].Type != "media.upload_refused" {
				t.Fatalf("%s: %v", name, v.types(stream))
			}
			if e := recs[0].Event.(media.UploadRefused); e.Reasons[0] != c.want.Code || e.Owner != "erin" { //nolint:forcetypeassert // its type was compared
				t.Errorf("%s: %+v", name, e)
			}
			again := c.file
			_, err = v.media.Upload(t.Context(), keyed(erin, name2key(name)), again, bytes.NewReader(c.body))
			if !errors.Is(err, c.want) || len(v.events(stream)) != 1 {
				t.Errorf("%s, again: want %s, got %v", name, c.want.Code, err)
			}
		}
		prefix, _, _ := strings.Cut(string(v.blobs.NewKey("erin")), "/")
		if n := v.countObjects(prefix); n != 0 {
			t.Errorf("%d refused blobs are stored", n)
		}
	})
	t.Run("a client that goes away leaves nothing", func(t *testing.T) {
		t.Parallel()
		gone := errors.New("connection reset")
		_, err := v.media.Upload(t.Context(), keyed(alice, "gone"), pngFile("x.png"), io.MultiReader(bytes.NewReader(pic), iotest.ErrReader(gone)))
		if _, no := domain.AsRefusal(err); !errors.Is(err, gone) || no {
			t.Errorf("want a fault, got %v", err)
		}
		if n := len(v.events(eventstore.Stream("media-" + domain.Derive("media.upload", "alice", "gone").String()))); n != 0 {
			t.Errorf("%d events", n)
		}
		must(v.media.Upload(t.Context(), keyed(alice, "gone"), pngFile("x.png"), bytes.NewReader(pic)))(t)
	})
	t.Run("guests do not upload", func(t *testing.T) {
		t.Parallel()
		_, err := v.media.Upload(t.Context(), by(guest), pngFile("x.png"), bytes.NewReader(pic))
		refused(t, err, media.ErrMayNotUpload)
	})
	t.Run("many with one key at once make one item, one blob and one receipt", func(t *testing.T) {
		t.Parallel()
		dana := domain.Actor{ID: "dana", Roles: []domain.Role{domain.RoleUser}}
		var mu sync.Mutex
		var got []commands.UploadReceipt
		together(6, func(int) {
			r, err := v.media.Upload(t.Context(), keyed(dana, "one"), pngFile("x.png"), bytes.NewReader(pic))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r)
		})
		for _, r := range got {
			if r.ID != got[0].ID || r.Position != got[0].Position || r.SHA256 != digest(pic) {
				t.Errorf("%+v, %+v", r, got[0])
			}
		}
		if n := len(v.events(got[0].Stream)); n != 1 {
			t.Errorf("%d events", n)
		}
		prefix, _, _ := strings.Cut(string(v.object(got[0].Stream, 1)), "/")
		if n := v.countObjects(prefix); n != 1 {
			t.Errorf("%d blobs of hers are stored, want 1", n)
		}
		_, err := v.media.Upload(t.Context(), keyed(dana, "one"), pngFile("x.png"), bytes.NewReader(picture(t, 2)))
		refused(t, err, commands.ErrKeyReused)
		_, err = v.media.Upload(t.Context(), keyed(dana, "one"), pngFile("y.png"), bytes.NewReader(pic))
		refused(t, err, commands.ErrKeyReused)
	})
	t.Run("another version becomes current, and the same bytes again say nothing", func(t *testing.T) {
		t.Parallel()
		one := must(v.media.Upload(t.Context(), by(alice), pngFile("v.png"), bytes.NewReader(pic)))(t)
		id := domain.MediaID(one.ID)
		second := picture(t, 9)
		two := must(v.media.AddVersion(t.Context(), keyed(alice, "v2"), id, pngFile("v.png"), bytes.NewReader(second)))(t)
		if two.Version != 2 || two.SHA256 != digest(second) || two.Revision != 1 {
			t.Errorf("got %+v", two)
		}
		again := must(v.media.AddVersion(t.Context(), keyed(alice, "v2"), id, pngFile("v.png"), bytes.NewReader(second)))(t)
		if !again.Repeated || again.Version != 2 {
			t.Errorf("got %+v", again)
		}
		same := must(v.media.AddVersion(t.Context(), by(alice), id, pngFile("v.png"), bytes.NewReader(second)))(t)
		if !same.Silent || same.Version != 2 {
			t.Errorf("got %+v", same)
		}
		_, err := v.media.AddVersion(t.Context(), by(bob), id, pngFile("v.png"), bytes.NewReader(second))
		refused(t, err, media.ErrNotFound)
		must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "bob", Permissions: perms("edit")}))(t)
		must(v.media.AddVersion(t.Context(), by(bob), id, pngFile("w.png"), bytes.NewReader(picture(t, 10))))(t)
		back := must(v.media.RollBack(t.Context(), by(alice), id, 1))(t)
		if back.Revision != 3 {
			t.Errorf("got %+v", back)
		}
	})
	t.Run("office documents and transport streams are known by their content", func(t *testing.T) {
		t.Parallel()
		ts := bytes.Repeat(append([]byte{0x47}, make([]byte, 187)...), 10)
		got := must(v.media.Upload(t.Context(), by(alice), commands.File{Name: "a.mts", Size: -1}, bytes.NewReader(ts)))(t)
		if got.Type != "video/mp2t" {
			t.Errorf("got %s", got.Type)
		}
	})
}

func late(l commands.Late) func() (commands.Late, error) {
	return func() (commands.Late, error) { return l, nil }
}

func name2key(name string) string { return strings.ReplaceAll(name, " ", "-") }

// countObjects counts what is stored under an owner's prefix.
func (v *vault) countObjects(prefix string) int {
	v.t.Helper()
	n := 0
	for o := range v.s3.ListObjects(v.t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix + "/", Recursive: true}) {
		if o.Err != nil {
			v.t.Fatal(o.Err)
		}
		n++
	}
	return n
}

func put(t *testing.T, url string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("PUT: %s %s", res.Status, text)
	}
}

func TestSignedUpload(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	pic := picture(t, 1)
	announce := func(content []byte) commands.Announcement {
		return commands.Announcement{Name: "a.png", Declared: "image/png", Size: int64(len(content)), SHA256: digest(content)}
	}

	t.Run("announced, put and completed, by two at once as well", func(t *testing.T) {
		t.Parallel()
		ticket := must(v.media.RequestUpload(t.Context(), keyed(alice, "a"), announce(pic)))(t)
		again := must(v.media.RequestUpload(t.Context(), keyed(alice, "a"), announce(pic)))(t)
		if again.ID != ticket.ID || !again.Repeated || again.URL == "" {
			t.Errorf("again %+v", again)
		}
		id := domain.MediaID(ticket.ID)
		_, err := v.media.CompleteUpload(t.Context(), by(alice), id, nil)
		refused(t, err, commands.ErrNotThere)
		_, err = v.media.CompleteUpload(t.Context(), by(bob), id, nil)
		refused(t, err, media.ErrNotFound)
		put(t, ticket.URL, pic)
		together(4, func(int) {
			got, err := v.media.CompleteUpload(t.Context(), by(alice), id, nil)
			if err != nil || got.Version != 1 || got.SHA256 != digest(pic) || got.Revision != 1 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		if want := []string{"media.upload_requested", "media.uploaded"}; !slices.Equal(v.types(ticket.Stream), want) {
			t.Errorf("got %v", v.types(ticket.Stream))
		}
		t.Run("who still holds the URL cannot change what was accepted", func(t *testing.T) {
			put(t, ticket.URL, bytes.Repeat([]byte{0}, len(pic)))
			if !bytes.Equal(v.bytes(v.object(ticket.Stream, 1)), pic) {
				t.Error("the accepted bytes were changed")
			}
		})
	})
	t.Run("other bytes than announced are refused for good, and nothing of them is kept", func(t *testing.T) {
		t.Parallel()
		a := announce(pic)
		a.SHA256 = digest([]byte("x"))
		ticket := must(v.media.RequestUpload(t.Context(), by(alice), a))(t)
		put(t, ticket.URL, pic)
		for range 2 {
			_, err := v.media.CompleteUpload(t.Context(), by(alice), domain.MediaID(ticket.ID), nil)
			refused(t, err, media.ErrSHA256)
		}
		key := v.events(ticket.Stream)[0].Event.(media.UploadRequested).Object //nolint:forcetypeassert // it is
		if _, err := v.blobs.Stat(t.Context(), key); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("the refused bytes are still there: %v", err)
		}
	})
	t.Run("what cannot be accepted is not announced", func(t *testing.T) {
		t.Parallel()
		a := announce(pic)
		a.Name = "a.exe"
		_, err := v.media.RequestUpload(t.Context(), by(alice), a)
		refused(t, err, media.ErrName)
	})
	t.Run("large bytes go in parts", func(t *testing.T) {
		t.Parallel()
		large := make([]byte, 65<<20)
		_, _ = rand.Read(large)
		copy(large, "\xff\xd8\xff\xe0\x00\x10JFIF\x00")
		a := commands.Announcement{Name: "a.jpg", Size: int64(len(large)), SHA256: digest(large)}
		ticket := must(v.media.RequestUpload(t.Context(), keyed(alice, "parts"), a))(t)
		again := must(v.media.RequestUpload(t.Context(), keyed(alice, "parts"), a))(t)
		if len(ticket.Parts) < 2 || len(again.Parts) != len(ticket.Parts) || ticket.URL != "" {
			t.Fatalf("parts: %d, again %d", len(ticket.Parts), len(again.Parts))
		}
		id := domain.MediaID(ticket.ID)
		for i, p := range again.Parts[1:] {
			from := int64(i+1) * ticket.PartSize
			put(t, p.URL, large[from:min(from+ticket.PartSize, int64(len(large)))])
		}
		_, err := v.media.CompleteUpload(t.Context(), by(alice), id, nil)
		refused(t, err, commands.ErrIncomplete)
		put(t, ticket.Parts[0].URL, large[:ticket.PartSize])
		got := must(v.media.CompleteUpload(t.Context(), by(alice), id, nil))(t)
		if got.SHA256 != digest(large) || got.Type != "image/jpeg" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAnnouncementsExpire(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	pic := picture(t, 1)
	a := commands.Announcement{Name: "a.png", Size: int64(len(pic)), SHA256: digest(pic)}
	ticket := must(v.media.RequestUpload(t.Context(), by(alice), a))(t)
	other := must(v.media.RequestUpload(t.Context(), by(alice), a))(t)
	put(t, ticket.URL, pic)
	system := by(domain.System())
	if got := must(v.media.ExpireUpload(t.Context(), system, domain.MediaID(ticket.ID)))(t); !got.Silent {
		t.Errorf("expired before its time: %+v", got)
	}
	v.clock.pass(time.Hour + time.Second)
	_, err := v.media.CompleteUpload(t.Context(), by(alice), domain.MediaID(ticket.ID), nil)
	refused(t, err, media.ErrExpired)
	must(v.media.ExpireUpload(t.Context(), system, domain.MediaID(other.ID)))(t)
	for _, s := range []eventstore.Stream{ticket.Stream, other.Stream} {
		if want := []string{"media.upload_requested", "media.upload_refused"}; !slices.Equal(v.types(s), want) {
			t.Errorf("got %v", v.types(s))
		}
	}
}
