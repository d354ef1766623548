package projections

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// drawEvent makes any event of media, share and access, for one of a few things, whether or not the domain would allow it now:
// a projection has to bear whatever is in the log.
func drawEvent(t *rapid.T) (eventstore.Stream, domain.Event) {
	id := domain.MediaID(fmt.Sprintf("00000000-0000-7000-8000-00000000000%d", rapid.IntRange(1, 3).Draw(t, "media")))
	text := func(label string) domain.Personal {
		return domain.NewPersonal("alice", rapid.SampledFrom([]string{"", "Hafen", "É́ \x00 日本", "a'b\"c\\d%_"}).Draw(t, label))
	}
	version := rapid.IntRange(1, 3).Draw(t, "version")
	file := media.File{Name: text("name"), Type: "image/png", Size: int64(version), Way: media.WayForm, Object: "o"}
	source := media.Source{By: "m", Case: domain.CaseID(rapid.SampledFrom([]string{"", "c"}).Draw(t, "case")), Number: 1, Version: version}
	shareID := domain.ShareID(fmt.Sprintf("00000000-0000-7000-8000-00000000010%d", rapid.IntRange(1, 2).Draw(t, "share")))
	terms := share.Terms{Permissions: []share.Permission{share.View}, MaxOpens: version}
	m, s := eventstore.StreamOf("media", id), eventstore.StreamOf("share", shareID)
	choices := []struct {
		stream eventstore.Stream
		event  domain.Event
	}{
		{m, media.UploadRequested{Media: id, Owner: "alice", Org: "acme", Name: text("name"), Title: text("title"), Size: 5}},
		{m, media.UploadRefused{Media: id, Owner: "alice", Reasons: []string{"too_large", "empty"}}},
		{m, media.Uploaded{Media: id, Owner: "alice", Org: "acme", Title: text("title"), File: file}},
		{m, media.VersionAdded{Version: version, File: file}},
		{m, media.RolledBack{Version: version, From: 1}},
		{m, media.Described{Title: text("title"), Description: text("text"), Tags: []domain.Personal{text("tag"), text("tag")}}},
		{m, media.Screened{Version: version, Verdict: rapid.SampledFrom([]media.Verdict{media.VerdictClean, media.VerdictReview, media.VerdictBlocked}).Draw(t, "verdict"), Score: 50}},
		{m, media.Restricted{Source: source}},
		{m, media.Quarantined{Source: source, Code: "moderation"}},
		{m, media.Released{Source: source}},
		{m, media.Removed{Source: source}},
		{m, media.Deleted{By: "alice"}},
		{m, media.Restored{By: "alice"}},
		{m, media.Purged{By: "alice", Objects: []domain.ObjectKey{"o"}}},
		{"object-1", object.Stored{Owner: "alice", Object: "o"}},
		{"object-1", object.Referenced{Upload: "o", Media: id}},
		{"object-1", object.Released{Media: id, Uploads: []domain.ObjectKey{"o"}}},
		{"object-1", object.Destroyed{Object: "o"}},
		{s, share.Granted{Share: shareID, Media: id, Owner: "alice", By: "alice", With: share.Grantee{Kind: share.WithUser, User: "bob"}, Terms: terms}},
		{s, share.Changed{By: "alice", Terms: terms}},
		{s, share.Revoked{By: "alice"}},
		{eventstore.StreamOf("access", id), access.Served{Media: id, Version: 1, What: "content", Via: access.ViaShare, Share: shareID, Bytes: 1}},
	}
	c := choices[rapid.IntRange(0, len(choices)-1).Draw(t, "event")]
	return c.stream, c.event
}

// anyHistory checks a read model against random histories in random batches: as of every position it is a fold from scratch,
// live as well as rebuilt.
func anyHistory[R any](t *testing.T, p Projection[R]) {
	t.Helper()
	pool := pgtest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		forget(t, pool)
		w := newWorld(t)
		o := Options{
			BatchSize:   rapid.IntRange(1, 9).Draw(rt, "batch"),
			CachedRows:  rapid.IntRange(1, 3).Draw(rt, "cached"),
			RebuildKeys: rapid.IntRange(1, 3).Draw(rt, "keys"),
		}
		for range rapid.IntRange(1, 30).Draw(rt, "events") {
			stream, event := drawEvent(rt)
			w.append(t, stream, event)
		}
		e := newEngine(t, pool, w, o, Define(p))
		caughtUp(t, e)
		sameAtEveryMoment(rapidTB{t, rt}, e, p)
		out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		if err != nil || out.Differences != 0 {
			rt.Fatalf("rebuild: %v, %v", out.Details, err)
		}
		sameAtEveryMoment(rapidTB{t, rt}, e, p)
	})
}

// rapidTB fails the property, so that the history is shrunk.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

// Fatalf implements testing.TB.
func (r rapidTB) Fatalf(format string, args ...any) { r.rt.Fatalf(format, args...) }

// Context implements testing.TB.
func (r rapidTB) Context() context.Context { return r.TB.Context() }

// forget drops every read model.
func forget(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	names, err := readMarks(t.Context(), pool)
	sure(t, err)
	for name := range names {
		for _, suffix := range []string{live, rebuilt, old} {
			_, err := pool.Exec(t.Context(), "drop table if exists "+name+suffix+" cascade")
			sure(t, err)
		}
	}
	_, err = pool.Exec(t.Context(), `truncate projections, projection_parked`)
	sure(t, err)
}

func TestEveryReadModelIsAFoldFromScratchAtEveryMoment(t *testing.T) {
	t.Parallel()
	t.Run("library", func(t *testing.T) { t.Parallel(); anyHistory(t, LibraryProjection()) })
	t.Run("shares", func(t *testing.T) { t.Parallel(); anyHistory(t, SharesProjection()) })
	t.Run("access", func(t *testing.T) { t.Parallel(); anyHistory(t, AccessProjection()) })
	t.Run("audit", func(t *testing.T) { t.Parallel(); anyHistory(t, AuditProjection()) })
	t.Run("objects", func(t *testing.T) { t.Parallel(); anyHistory(t, ObjectsProjection()) })
}

func TestEveryEventOfMediaIsTakenIn(t *testing.T) {
	t.Parallel()
	types := LibraryProjection().Types()
	for _, typ := range media.Types {
		if !slices.Contains(types, typ.Name) {
			t.Errorf("%s is not", typ.Name)
		}
	}
}
