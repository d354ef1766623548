package reactors_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/reactors"
)

// vault is a log in memory with all events, real commands, a database for the reactors' marks, and a clock that stands.
type vault struct {
	*testing.T
	store *eventstore.Store
	pool  *pgxpool.Pool
	vault *commands.Vault
	clock atomic.Int64 // nanoseconds
}

func newVault(t *testing.T) *vault {
	t.Helper()
	codec, err := eventstore.NewCodec(storetest.Keys(), catalog.Types())
	if err != nil {
		t.Fatal(err)
	}
	log := memory.New()
	t.Cleanup(log.Close)
	v := &vault{T: t, store: eventstore.New(log, codec), pool: pgtest.New(t)}
	v.clock.Store(time.Now().UnixNano())
	v.vault = commands.NewVault(v.store, media.DefaultPolicy())
	v.vault.Now = v.now
	return v
}

func (v *vault) now() time.Time       { return time.Unix(0, v.clock.Load()).UTC() }
func (v *vault) pass(d time.Duration) { v.clock.Add(int64(d)) }

func (v *vault) quick() reactors.Options {
	o := quick()
	o.Poll, o.Now = 2*time.Millisecond, v.now
	return o
}

func (v *vault) react(rs ...reactors.Reactor) (stop func()) {
	v.Helper()
	return run(v.T, v.store, v.pool, v.quick(), rs...)
}

// by appends events as somebody.
func (v *vault) by(who domain.UserID, stream eventstore.Stream, events ...domain.Event) {
	v.Helper()
	meta := eventstore.Metadata{Command: uuid.New(), Actor: domain.Actor{ID: who, Roles: []domain.Role{domain.RoleUser}}, Correlation: uuid.New()}
	if _, err := v.store.Append(v.Context(), stream, eventstore.Any, meta, events...); err != nil {
		v.Fatal(err)
	}
}

// item is an item of alice's that was screened.
func (v *vault) item() domain.MediaID {
	v.Helper()
	id := domain.MediaID(uuid.NewString())
	v.by("alice", mediaStream(id),
		media.Uploaded{Media: id, Owner: "alice", Title: domain.NewPersonal("alice", "Harbour"), File: media.File{Type: "image/png", Size: 1, Object: "0f/1"}},
		media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 100})
	return id
}

func (v *vault) share(item domain.MediaID, terms share.Terms) domain.ShareID {
	v.Helper()
	id := domain.ShareID(uuid.NewString())
	terms.Permissions = []share.Permission{share.View}
	v.by("alice", shareStream(id), share.Granted{
		Share: id, Media: item, Owner: "alice", By: "alice", With: share.Grantee{Kind: share.WithUser, User: "bob"}, Terms: terms,
	})
	return id
}

func mediaStream(id domain.MediaID) eventstore.Stream { return eventstore.StreamOf(media.Category, id) }
func shareStream(id domain.ShareID) eventstore.Stream { return eventstore.StreamOf(share.Category, id) }

// said are the types of a stream's events.
func (v *vault) said(stream eventstore.Stream) []string {
	v.Helper()
	var all []string
	for rec, err := range v.store.Stream(context.WithoutCancel(v.Context()), stream, 0) {
		if err != nil {
			v.Fatal(err)
		}
		all = append(all, rec.Type)
	}
	return all
}

// says waits until a stream says this after its first event.
func (v *vault) says(stream eventstore.Stream, want ...string) {
	v.Helper()
	waitFor(v.T, func() bool { s := v.said(stream); return len(s) > len(want) })
	if got := v.said(stream)[1:]; !slices.Equal(got, want) {
		v.Fatalf("%s says %v, want %v", stream, got, want)
	}
}

// done waits until every reactor has come to the end of the log.
func (v *vault) done() {
	v.Helper()
	head, err := v.store.Head(v.Context())
	if err != nil {
		v.Fatal(err)
	}
	waitFor(v.T, func() bool {
		var least *eventstore.Position
		err := v.pool.QueryRow(v.Context(), `SELECT min(position) FROM reactor_checkpoints`).Scan(&least)
		return err == nil && least != nil && *least >= head
	})
}

func TestSharing(t *testing.T) {
	t.Parallel()
	sharing := func(v *vault) reactors.Reactor {
		return reactors.NewSharing(v.pool, commands.NewShares(v.vault), time.Hour)
	}

	t.Run("a share's end is announced in time and recorded when it comes, over a stop", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		long := v.share(v.item(), share.Terms{ExpiresAt: v.now().Add(3 * time.Hour)})
		short := v.share(v.item(), share.Terms{ExpiresAt: v.now().Add(10 * time.Minute)})
		stop := v.react(sharing(v))
		v.done()
		v.pass(11 * time.Minute)
		v.says(shareStream(short), "share.expired") // too short to be announced
		v.pass(110 * time.Minute)
		v.says(shareStream(long), "share.end_announced")
		stop()
		v.pass(time.Hour)
		v.react(sharing(v))
		v.says(shareStream(long), "share.end_announced", "share.expired")
		v.pass(100 * time.Hour)
		v.done()
		v.says(shareStream(long), "share.end_announced", "share.expired")
	})

	t.Run("timers that were lost come back from the events", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		id := v.share(v.item(), share.Terms{ExpiresAt: v.now().Add(10 * time.Minute)})
		stop := v.react(sharing(v))
		v.done()
		stop()
		for _, sql := range []string{`DELETE FROM reactor_timers`, `UPDATE reactor_checkpoints SET position = 0`} {
			if _, err := v.pool.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		v.react(sharing(v))
		v.pass(time.Hour)
		v.says(shareStream(id), "share.expired")
	})

	t.Run("a later end that is agreed on is the one that counts", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		id := v.share(v.item(), share.Terms{ExpiresAt: v.now().Add(10 * time.Minute)})
		v.by("alice", shareStream(id), share.Changed{By: "alice", Terms: share.Terms{Permissions: []share.Permission{share.View}, ExpiresAt: v.now().Add(30 * time.Minute)}})
		v.react(sharing(v))
		v.done()
		v.pass(20 * time.Minute)
		v.by("alice", mediaStream(v.item()), media.Described{}) // something to wait for
		v.done()
		if got := v.said(shareStream(id)); len(got) != 2 {
			t.Fatalf("said %v before its time", got)
		}
		v.pass(20 * time.Minute)
		v.says(shareStream(id), "share.changed", "share.expired")
	})

	t.Run("opens that run out are announced and recorded", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		item := v.item()
		id := v.share(item, share.Terms{MaxOpens: 5})
		v.react(sharing(v))
		for n := range 5 {
			v.by("bob", eventstore.StreamOf(access.Category, id), access.Served{Media: item, Version: 1, What: access.Content, Via: access.ViaShare, Share: id, Bytes: 1})
			v.done()
			if n == 3 {
				v.says(shareStream(id), "share.end_announced")
			}
		}
		v.says(shareStream(id), "share.end_announced", "share.exhausted")
	})

	t.Run("shares follow their item: suspended, resumed, closed", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		item := v.item()
		first, second := v.share(item, share.Terms{}), v.share(item, share.Terms{})
		v.react(sharing(v))
		v.done()
		v.by("alice", mediaStream(item), media.Deleted{By: "alice"})
		v.says(shareStream(first), "share.suspended")
		late := v.share(item, share.Terms{}) // granted by somebody who saw the item before it was deleted
		v.says(shareStream(late), "share.suspended")
		v.by("alice", mediaStream(item), media.Restored{By: "alice"})
		v.says(shareStream(late), "share.suspended", "share.resumed")
		v.by("mod", mediaStream(item), media.Quarantined{Source: media.Source{By: "mod"}, Code: media.CodeModeration})
		v.says(shareStream(second), "share.suspended", "share.resumed", "share.suspended")
		v.by("mod", mediaStream(item), media.Released{Source: media.Source{By: "mod"}})
		v.says(shareStream(second), "share.suspended", "share.resumed", "share.suspended", "share.resumed")
		v.by("alice", mediaStream(item), media.Deleted{By: "alice"})
		v.done()
		v.by("alice", mediaStream(item), media.Purged{By: "alice"})
		v.says(shareStream(first), "share.suspended", "share.resumed", "share.suspended", "share.resumed", "share.suspended", "share.closed")
	})
}

func TestSweeping(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	sweeper := &sweeps{before: make(chan time.Time, 8)}
	v.react(reactors.NewSweeping(v.pool, commands.NewMedia(v.vault, nil), sweeper, nil))
	if got := <-sweeper.before; got.After(v.now().Add(-47 * time.Hour)) {
		t.Errorf("swept what was begun before %v", got)
	}
	id, kept := domain.MediaID(uuid.NewString()), domain.MediaID(uuid.NewString())
	for _, item := range []domain.MediaID{id, kept} {
		v.by("alice", mediaStream(item), media.UploadRequested{Media: item, Owner: "alice", Size: 1, ExpiresAt: v.now().Add(time.Hour)})
	}
	v.by("alice", mediaStream(kept), media.Uploaded{Media: kept, Owner: "alice", File: media.File{Type: "image/png", Size: 1, Object: "0f/1"}})
	v.done()
	v.pass(2 * time.Hour)
	v.says(mediaStream(id), "media.upload_refused")
	v.says(mediaStream(kept), "media.uploaded")
	<-sweeper.before // an hour has passed
}

type sweeps struct{ before chan time.Time }

func (s *sweeps) Sweep(_ context.Context, before time.Time) (int, error) {
	s.before <- before
	return 0, nil
}
