package commands_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/projections"
)

// named is the real read model of what the log names, and a moment before it is asked.
type named struct {
	objects *projections.Objects
	before  func()
}

// NamesOf implements commands.ObjectIndex.
func (n named) NamesOf(ctx context.Context, keys []domain.ObjectKey) ([]commands.Naming, error) {
	if n.before != nil {
		n.before()
	}
	found, err := n.objects.NamesOf(ctx, keys)
	var all []commands.Naming
	for _, f := range found {
		all = append(all, commands.Naming{
			Object: f.Object, Media: f.Media, Needed: f.Kind == projections.ObjectNeeded, Purged: f.Kind == projections.ObjectPurged,
			Until: f.Until, Content: f.Content,
		})
	}
	return all, err
}

// names projects what the log names.
func (v *vault) names() named {
	v.t.Helper()
	engine, err := projections.New(pgtest.New(v.t), v.store, projections.Options{}, projections.Define(projections.ObjectsProjection()))
	if err != nil {
		v.t.Fatal(err)
	}
	objects, err := projections.NewObjects(engine)
	if err == nil {
		err = engine.Prepare(v.t.Context())
	}
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	v.t.Cleanup(func() { cancel(); <-done })
	return named{objects: objects}
}

// sweeps sweeps as of a day later, and answers what went.
func (v *vault) sweeps(names named, dry bool) map[domain.ObjectKey]object.Why {
	v.t.Helper()
	went := map[domain.ObjectKey]object.Why{}
	swept, err := v.media.Sweep(v.t.Context(), commands.Envelope{Actor: domain.System()}, names, commands.Sweep{
		Age: 24 * time.Hour, DryRun: dry, Found: func(l object.Litter) { went[l.Object] = l.Why },
	})
	if err != nil || swept.Litter != len(went) {
		v.t.Fatalf("%+v, %v", swept, err)
	}
	return went
}

func (v *vault) there(key domain.ObjectKey) bool {
	v.t.Helper()
	_, err := v.blobs.Stat(v.t.Context(), key)
	if err != nil && !errors.Is(err, blobs.ErrNotFound) {
		v.t.Fatal(err)
	}
	return err == nil
}

// putAlone stores bytes as an upload does that is cut off before it says anything.
func (v *vault) putAlone(who domain.UserID, content []byte) domain.ObjectKey {
	v.t.Helper()
	key := v.blobs.NewKey(who)
	if _, err := v.blobs.Put(v.t.Context(), key, bytes.NewReader(content), int64(len(content)), "image/png"); err != nil {
		v.t.Fatal(err)
	}
	return key
}

// says appends events as a process does that is cut off behind them.
func (v *vault) says(stream eventstore.Stream, events ...domain.Event) {
	v.t.Helper()
	meta := eventstore.Metadata{Command: uuid.New(), Actor: domain.Actor{ID: "alice"}, Correlation: uuid.New()}
	if _, err := v.store.Append(v.t.Context(), stream, eventstore.Any, meta, events...); err != nil {
		v.t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	names := v.names()
	contentOf := func(digest domain.Digest) eventstore.Stream {
		return eventstore.StreamOf(object.Category, domain.ObjectKey(domain.Derive("object", "alice", string(digest)).String()))
	}
	digest := func(c string) domain.Digest { return domain.Digest(strings.Repeat(c, 64)) }

	// What is needed.
	one, twin := v.uploads(alice, picture(t, 1)), v.uploads(alice, picture(t, 1))
	purged := v.uploads(alice, picture(t, 2))
	kept := append(v.stored(one), v.stored(twin)...)
	kept = append(kept, v.stored(purged)...)
	// An upload that was cut off before it said anything; after it said that it needs the bytes; a second copy of bytes that its item has;
	// and bytes at an announced place.
	unnamed := v.putAlone("alice", []byte("unnamed"))
	abandoned := v.putAlone("alice", []byte("abandoned"))
	v.says(contentOf(digest("a")), object.Stored{Owner: "alice", SHA256: digest("a"), Size: 9, Object: abandoned},
		object.Referenced{Upload: abandoned, Media: domain.MediaID(uuid.NewString())})
	second := v.putAlone("alice", picture(t, 1))
	v.says(contentOf(v.digestOf(one)), object.Referenced{Upload: second, Media: one})
	ticket, err := v.media.RequestUpload(t.Context(), by(alice), commands.Announcement{Name: "a.png", Declared: "image/png", Size: 9, SHA256: digest("b")})
	if err != nil {
		t.Fatal(err)
	}
	announced := v.announced(domain.MediaID(ticket.ID))
	if _, err := v.blobs.Put(t.Context(), announced, strings.NewReader("announced"), 9, "image/png"); err != nil {
		t.Fatal(err)
	}

	if went := v.sweeps(names, false); len(went) != 0 {
		t.Fatalf("of bytes that may be on their way: %v", went)
	}
	v.clock.pass(24*time.Hour + time.Minute) // the announcement ended less than a day ago
	want := map[domain.ObjectKey]object.Why{unnamed: object.Unnamed, abandoned: object.Abandoned, second: object.Abandoned}
	before := v.position()
	if went := v.sweeps(names, true); !maps.Equal(went, want) {
		t.Fatalf("would go: %v, wanted %v", went, want)
	}
	if v.position() != before || !v.there(unnamed) {
		t.Error("a dry run does something")
	}
	late := v.putAlone("alice", []byte("finishes while it is looked at"))
	finishing := names
	finishing.before = sync.OnceFunc(func() {
		id := domain.MediaID(uuid.NewString())
		v.says(eventstore.StreamOf(media.Category, id), media.Uploaded{Media: id, Owner: "alice", File: media.File{Type: "image/png", Size: 1, Object: late, Way: media.WayForm}})
	})
	if went := v.sweeps(finishing, false); !maps.Equal(went, want) {
		t.Fatalf("went: %v, wanted %v", went, want)
	}
	for key := range want {
		if v.there(key) {
			t.Errorf("%s is still there", key)
		}
	}
	for _, key := range append(kept, late, announced) {
		if !v.there(key) {
			t.Errorf("%s is gone", key)
		}
	}
	recorded := map[domain.ObjectKey]object.Why{}
	for _, rec := range v.events("object-swept") {
		for _, l := range rec.Event.(object.Swept).Objects { //nolint:forcetypeassert // its stream
			recorded[l.Object] = l.Why
		}
	}
	if !maps.Equal(recorded, want) {
		t.Errorf("recorded: %v", recorded)
	}
	// The item that used one copy still has its reference: the bytes stay when its twin is purged, and go with the last of them.
	v.purges(alice, twin)
	if !v.there(v.stored(one)[0]) {
		t.Error("the sweep took an item's reference")
	}

	// A purge that was cut off before its bytes were destroyed is finished.
	v.says(eventstore.StreamOf(media.Category, purged), media.Deleted{By: "alice"}, media.Purged{By: "alice", Objects: v.stored(purged)})
	v.clock.pass(24 * time.Hour)
	if went := v.sweeps(names, false); !maps.Equal(went, map[domain.ObjectKey]object.Why{announced: object.Announced}) {
		t.Errorf("a day later went: %v", went)
	}
	if v.there(v.stored(purged)[0]) {
		t.Error("a purge that was cut off is not finished")
	}
	if went := v.sweeps(names, false); len(went) != 0 {
		t.Errorf("the second time went: %v", went)
	}
}

func TestSweepGoesThroughManyPages(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	names := v.names()
	needed := v.uploads(alice, picture(t, 1))
	var group errgroup.Group
	group.SetLimit(16)
	for i := range 2100 {
		group.Go(func() error {
			_, err := v.blobs.Put(t.Context(), v.blobs.NewKey("alice"), strings.NewReader(fmt.Sprint(i)), -1, "image/png")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	v.clock.pass(25 * time.Hour)
	if went := v.sweeps(names, false); len(went) != 2100 {
		t.Errorf("%d went", len(went))
	}
	if !v.there(v.stored(needed)[0]) {
		t.Error("what is needed went, too")
	}
}

// position is the head of the log.
func (v *vault) position() eventstore.Position {
	v.t.Helper()
	p, err := v.store.Head(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

// digestOf is that of an item's first version.
func (v *vault) digestOf(id domain.MediaID) domain.Digest {
	v.t.Helper()
	for _, rec := range v.events(eventstore.StreamOf(media.Category, id)) {
		if e, ok := rec.Event.(media.Uploaded); ok {
			return e.File.SHA256
		}
	}
	v.t.Fatalf("%s was not uploaded", id)
	return ""
}

// announced is the place to which an upload may be put.
func (v *vault) announced(id domain.MediaID) domain.ObjectKey {
	v.t.Helper()
	for _, rec := range v.events(eventstore.StreamOf(media.Category, id)) {
		if e, ok := rec.Event.(media.UploadRequested); ok {
			return e.Object
		}
	}
	v.t.Fatalf("%s was not announced", id)
	return ""
}
