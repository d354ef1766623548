package projections

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	people "github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// drawItem makes a plausible history of one item of a person, all of whose texts hold the person's id.
func drawItem(t *rapid.T, id domain.MediaID, owner domain.UserID) []domain.Event {
	text := func(what string) domain.Personal { return domain.NewPersonal(owner, what+" of "+string(owner)) }
	file := media.File{Name: text("name"), Type: "image/png", Size: 1, Way: media.WayForm, Object: "o"}
	if rapid.IntRange(0, 5).Draw(t, "begin") == 0 {
		requested := media.UploadRequested{Media: id, Owner: owner, Name: text("name"), Title: text("title"), Size: 1}
		return []domain.Event{requested, media.UploadRefused{Media: id, Owner: owner, Name: text("name"), Reasons: []string{"empty"}}}[:rapid.IntRange(1, 2).Draw(t, "refused")]
	}
	all := []domain.Event{media.Uploaded{Media: id, Owner: owner, Title: text("title"), File: file}}
	for range rapid.IntRange(0, 8).Draw(t, "events") {
		version := rapid.IntRange(1, 3).Draw(t, "version")
		choices := []domain.Event{
			media.VersionAdded{Version: version, File: file},
			media.RolledBack{Version: 1, From: version},
			media.Described{Title: text("another title"), Description: text("words"), Tags: []domain.Personal{text("tag"), text("mark")}},
			media.Described{Title: text("another title")},
			media.Inspected{Version: version, Width: 3, Place: text("place"), Author: text("author"), Telling: true},
			media.Screened{Version: version, Verdict: media.VerdictClean, Score: 50},
			media.Deleted{By: owner}, media.Restored{By: owner},
			media.Purged{By: owner},
		}
		all = append(all, choices[rapid.IntRange(0, len(choices)-1).Draw(t, "event")])
	}
	return all
}

func TestWhatIsLeftOfAPersonIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		forget(t, pool)
		w := newWorld(t)
		var script []func()
		add := func(stream eventstore.Stream, event domain.Event) {
			script = append(script, func() { w.append(t, stream, event) })
		}
		for i, owner := range []domain.UserID{"alice", "bob", "alice"} {
			id := domain.MediaID(fmt.Sprintf("00000000-0000-7000-8000-00000000000%d", i))
			for _, e := range drawItem(rt, id, owner) {
				add(eventstore.StreamOf("media", id), e)
			}
		}
		asked := rapid.IntRange(0, len(script)).Draw(rt, "asked")
		for i, step := range script {
			if i == asked {
				w.append(t, "person-1", people.ErasureRequested{Subject: "alice", By: "root", Ground: people.Withdrawn})
			}
			step()
		}
		e := newEngine(t, pool, w, Options{BatchSize: rapid.IntRange(1, 9).Draw(rt, "batch"), CachedRows: 2, RebuildKeys: 2}, Define(LibraryProjection()))
		if rapid.Bool().Draw(rt, "while it runs") {
			caughtUp(t, e) // it holds texts, and maybe remembers rows
		}
		sure(t, w.keys.Destroy(t.Context(), "alice"))
		// The world's own appends are by alice: what is sealed for her is nothing any more.
		w.append(t, "person-1", people.Erased{Subject: "alice"})
		caughtUp(t, e)
		agrees(rapidTB{t, rt}, e)
		if n := textsOf(t, pool, "library", "alice"); n != 0 {
			rt.Fatalf("%d versions of rows hold her texts", n)
		}
		out, err := e.Rebuild(t.Context(), LibraryName, RebuildOptions{})
		if err != nil || out.Differences != 0 || !out.Compared {
			rt.Fatalf("rebuild: %v, %v", out.Details, err)
		}
		agrees(rapidTB{t, rt}, e)
	})
}

func agrees(t rapidTB, e *Engine) {
	t.Helper()
	all, err := e.Verify(t.Context(), VerifyOptions{})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	for _, v := range all {
		if v.Differences != 0 {
			t.Fatalf("%s differs: %v", v.Name, v.Details)
		}
	}
}

// textsOf counts the versions of rows of a table, whatever the column, that hold texts of a person.
func textsOf(t testing.TB, x executor, table, person string) (n int) {
	t.Helper()
	sure(t, x.QueryRow(t.Context(), `select count(*) from `+table+` r where r::text like $1`, "% of "+person+"%").Scan(&n))
	return n
}

func TestNothingOfAPersonIsLeftBesideTheTable(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.put("a", "words of alice")
	between := s.put("b", "more words of alice")
	s.append(t, "media-b", media.Described{Title: domain.NewPersonal("alice", "last words of alice")})
	arrive(t, s.engine)
	// A rebuild keeps the tables that it replaced; another one died before its end.
	_, err := s.engine.Rebuild(t.Context(), LibraryName, RebuildOptions{})
	sure(t, err)
	sure(t, pgx.BeginFunc(t.Context(), s.engine.pool, func(tx pgx.Tx) error {
		m := s.engine.find(LibraryName)
		if err := m.create(t.Context(), tx, rebuilt); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "insert into library_rebuild select * from library")
		return err
	}))
	if n := textsOf(t, s.engine.pool, "library_old", "alice"); n == 0 {
		t.Fatal("the test tests nothing")
	}
	s.finds(aliceOfAcme, MediaQuery{Text: "words"}, Moment{}, "b a")
	s.append(t, "person-1", people.ErasureRequested{Subject: "alice", By: "root", Ground: people.Closed})
	s.finds(aliceOfAcme, MediaQuery{Text: "words"}, Moment{}, "")
	s.finds(aliceOfAcme, MediaQuery{Text: "words"}, AsOf(between), "")
	s.finds(aliceOfAcme, MediaQuery{}, AsOf(between), "b a")
	for _, table := range []string{"library_old", "library_rebuild"} {
		var there bool
		sure(t, s.engine.pool.QueryRow(t.Context(), `select to_regclass($1) is not null`, table).Scan(&there))
		if there {
			t.Errorf("%s is still there", table)
		}
	}
	if err := s.engine.Rollback(t.Context(), LibraryName); err == nil || !strings.Contains(err.Error(), ErrNoOld.Detail) {
		t.Errorf("a step back to her texts: %v", err)
	}
	item, err := s.library.Item(t.Context(), anAuditor, "b", AsOf(between))
	sure(t, err)
	if !item.Erased || item.Title != "" || item.Versions[0].Name != "" {
		t.Errorf("as of before: %+v", item)
	}
}
