package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/demo"
)

// moments are when the vault is killed while it forgets somebody: by what of his is in the database. $1 is who he is, $2 his stream and those
// of what he has and was given, $3 the end of the log before it was asked for.
func moments() []struct{ name, is string } {
	happened := func(typ string) string {
		return `SELECT EXISTS (SELECT FROM events WHERE position > $3 AND type = '` + typ + `' AND stream = ANY($2)) OR $1 = ''`
	}
	return []struct{ name, is string }{
		{"asked1", ""}, {"asked2", ""}, {"asked3", ""}, // a few milliseconds after it was asked for, whatever became of it
		{"recorded", happened("person.erasure_requested")},
		{"destroyed", `SELECT EXISTS (SELECT FROM subject_keys WHERE subject = $1 AND destroyed_at IS NOT NULL) OR $2 = '{}'::text[] OR $3 < 0`},
		{"revoked", happened("share.revoked")},
		{"refused", happened("media.upload_refused")},
		{"deleted", happened("media.deleted")},
		{"purged", happened("media.purged")},
		{"planned", `SELECT EXISTS (SELECT FROM reactor_timers WHERE reactor = 'erasure' AND about = $1) OR $2 = '{}'::text[] OR $3 < 0`},
		{"finished", happened("person.erased")},
	}
}

// leaving is somebody who is to be forgotten.
type leaving struct {
	name          string
	items, shares []string
	upload        string
	asked         bool
	messages      int // messages: how many had come to his webhook when it was acknowledged
}

func (l *leaving) streams() []string {
	all := []string{"person-" + domain.Derive("person", l.name).String(), "media-" + l.upload}
	for _, id := range l.items {
		all = append(all, "media-"+id)
	}
	for _, id := range l.shares {
		all = append(all, "share-"+id)
	}
	return all
}

// forgetful is a vault in which people are forgotten while it is killed.
type forgetful struct {
	*outside
	t    *testing.T
	v    *vault
	root *demo.Client
	bob  *demo.Client
	lent []string // items of bob
}

func (f *forgetful) start(dir string) {
	f.t.Helper()
	path, err := binary()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(path, "dev", "--data", dir, "--addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), f.environ()...)
	f.v = startCommand(f.t, dir, cmd)
	f.root, f.bob = f.v.as("root", "admin"), f.v.as("bob", "user")
}

func (f *forgetful) must(w demo.Written, err error) demo.Written {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

func (f *forgetful) uploaded(c *demo.Client, name string, n int) (ids []string) {
	f.t.Helper()
	for i := range n {
		w := f.must(c.Upload(f.t.Context(), "/v1/media", words+".pdf", "application/pdf", fmt.Appendf(nil, "%%PDF-1.4\n%% %s %d\n%%%%EOF\n", name, i), nil))
		ids = append(ids, w.ID)
	}
	return ids
}

// comes makes somebody with items, shares both ways, an upload that is announced, and a webhook.
func (f *forgetful) comes(name string) *leaving {
	f.t.Helper()
	ctx, c := f.t.Context(), f.v.as(name, "user")
	l := &leaving{name: name, items: f.uploaded(c, name, 12)}
	w := f.must(c.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": l.items[0], "with": map[string]any{"user": "bob"}}))
	l.shares = append(l.shares, w.ID)
	l.upload = f.must(c.Write(ctx, http.MethodPost, "/v1/uploads", map[string]any{
		"filename": words + ".pdf", "content_type": "application/pdf", "size": 10, "sha256": strings.Repeat("ab", 32),
	})).ID
	var added struct{ Secret string }
	if err := c.Do(ctx, http.MethodPost, "/v1/webhooks", map[string]any{"url": f.hooks.URL + "/" + name}, &added); err != nil {
		f.t.Fatal(err)
	}
	f.outside.mu.Lock()
	f.secrets["/"+name] = added.Secret
	f.outside.mu.Unlock()
	for _, id := range f.lent {
		w := f.must(f.bob.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": id, "with": map[string]any{"user": name}}))
		l.shares = append(l.shares, w.ID)
	}
	return l
}

func (f *forgetful) came(name string) int {
	f.outside.mu.Lock()
	defer f.outside.mu.Unlock()
	return len(f.posts["/"+name])
}

func (f *forgetful) ask(l *leaving) (demo.Written, error) {
	return f.root.Write(f.t.Context(), http.MethodPost, "/v1/people/"+l.name+"/erasure", map[string]any{"reason": "account_closed"})
}

// killAt asks for the person to be forgotten, and kills the vault when it is so.
func (f *forgetful) killAt(l *leaving, is string) {
	f.t.Helper()
	r, err := whereabouts(f.v.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, r.DatabaseURL)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var head int64
	if err := conn.QueryRow(ctx, `SELECT position FROM events_head`).Scan(&head); err != nil {
		f.t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { _, err := f.ask(l); answered <- err }()
	for so := false; is != "" && !so; {
		if err := conn.QueryRow(ctx, is, l.name, l.streams(), head).Scan(&so); err != nil {
			f.t.Fatalf("%s: %v\n%s", l.name, err, f.v.log)
		}
	}
	if is == "" {
		select {
		case <-time.After(time.Duration(rand.IntN(25_000)) * time.Microsecond): // the random moment of the kill, not a wait for anything
		case <-ctx.Done():
		}
	}
	f.v.kill()
	<-answered
}

// TestForgettingGoesOnWhereverItIsKilled kills the vault at every step of forgetting somebody. Who was to be forgotten is, as if
// nothing had happened, and each thing that follows is recorded once; for who was not yet, nothing has changed.
func TestForgettingGoesOnWhereverItIsKilled(t *testing.T) {
	t.Parallel()
	f := &forgetful{outside: newOutside(t), t: t}
	dir := t.TempDir()
	f.start(dir)
	f.lent = f.uploaded(f.bob, "bob", 4)
	var people []*leaving
	for _, m := range moments() {
		l := f.comes(m.name)
		people = append(people, l)
		f.killAt(l, m.is)
		f.start(dir)
		var begun struct {
			Items []struct{ Type string } `json:"items"`
		}
		if err := f.root.Do(t.Context(), http.MethodGet, "/v1/streams/"+l.streams()[0], nil, &begun); err != nil && !demo.Refused(err, http.StatusNotFound) {
			t.Fatal(err)
		}
		if l.asked = len(begun.Items) > 0; !l.asked {
			t.Logf("%s: it was killed before that was recorded", m.name)
			if m.is != "" {
				t.Errorf("%s: it is not recorded, and was", m.name)
			}
			continue
		}
		if again := f.must(f.ask(l)); again.Stream != l.streams()[0] {
			t.Errorf("%s: asked again: %+v", m.name, again)
		}
		l.messages = f.came(m.name)
		// To somebody who is forgotten nobody shares anything, and if it were so, nobody would tell him.
		_, _ = f.bob.Write(t.Context(), http.MethodPost, "/v1/shares", map[string]any{"media_id": f.lent[0], "with": map[string]any{"user": m.name}})
	}
	var all []storedEvent
	eventually(t, "all who were to be forgotten are", 5*time.Minute, func() bool {
		all = everything(t, f.root)
		done := 0
		for _, e := range all {
			if e.Type == "person.erased" {
				done++
			}
		}
		for _, l := range people {
			if l.asked {
				done--
			}
		}
		return done == 0
	})
	counts := map[string]int{}
	for _, e := range all {
		counts[e.Type+" "+e.Stream]++
	}
	for _, l := range people {
		f.check(l, counts)
	}
	if out, err := f.v.run("verify", "projections"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if t.Failed() {
		t.Logf("the vault said:\n%s", f.v.log)
	}
}

func (f *forgetful) check(l *leaving, counts map[string]int) {
	f.t.Helper()
	want := map[bool]int{true: 1}[l.asked]
	once := func(typ, stream string) {
		f.t.Helper()
		if got := counts[typ+" "+stream]; got != want {
			f.t.Errorf("%s: %s of %s is recorded %d times, not %d", l.name, typ, stream, got, want)
		}
	}
	streams := l.streams()
	once("person.erasure_requested", streams[0])
	once("person.erased", streams[0])
	once("media.upload_refused", streams[1])
	for _, id := range l.items {
		once("media.deleted", "media-"+id)
		once("media.purged", "media-"+id)
	}
	once("share.closed", "share-"+l.shares[0]) // of an item of his, with which it ends
	for _, id := range l.shares[1:] {
		once("share.revoked", "share-"+id)
	}
	if !l.asked {
		return
	}
	if n := f.came(l.name); n != l.messages {
		f.t.Errorf("%s: %d messages came after it was acknowledged", l.name, n-l.messages)
	}
	for _, id := range l.items {
		if _, err := f.bob.Get(f.t.Context(), "/v1/media/"+id+"/content"); err == nil {
			f.t.Errorf("%s: the bytes of %s are delivered", l.name, id)
		}
	}
}
