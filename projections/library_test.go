package projections

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// shelf is a world with a library that projects.
type shelf struct {
	*world
	t       *testing.T
	engine  *Engine
	library *Library
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	w := newWorld(t)
	e := newEngine(t, pgtest.New(t), w, Options{}, Define(LibraryProjection()), Define(SharesProjection()))
	l, err := NewLibrary(e, w.Log())
	sure(t, err)
	running(t, e)
	return &shelf{world: w, t: t, engine: e, library: l}
}

func somebody(id domain.UserID, org domain.OrgID, role domain.Role) domain.Actor {
	return domain.Actor{ID: id, Org: org, Roles: []domain.Role{role}}
}

var (
	aliceOfAcme = domain.Actor{ID: "alice", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
	carolOfAcme = domain.Actor{ID: "carol", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
	userBob     = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	anAuditor   = domain.Actor{ID: "audrey", Roles: []domain.Role{domain.RoleAuditor}}
	aStranger   = domain.Actor{ID: "mallory", Org: "acme", Roles: []domain.Role{domain.RoleUser}}
)

func (s *shelf) put(id, title string, more ...domain.Event) eventstore.Position {
	s.t.Helper()
	own := func(text string) domain.Personal { return domain.NewPersonal("alice", text) }
	events := append([]domain.Event{
		media.Uploaded{Media: domain.MediaID(id), Owner: "alice", Org: "acme", Title: own(title), File: media.File{
			Name: own(title + ".png"), Type: "image/png", Size: int64(100 + len(title)), SHA256: "aa", Object: "o", Way: media.WayForm,
		}},
		media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 80},
	}, more...)
	return s.append(s.t, eventstore.Stream("media-"+id), events...)
}

// ids are what the viewer finds, in order.
func (s *shelf) ids(viewer domain.Actor, q MediaQuery, m Moment) string {
	s.t.Helper()
	arrive(s.t, s.engine)
	page, err := s.library.Page(s.t.Context(), viewer, q, m)
	sure(s.t, err)
	if int(page.Total) != len(page.Items) && page.Next == "" && q.Page == (Paging{}) {
		s.t.Fatalf("total %d of %d items", page.Total, len(page.Items))
	}
	var ids []string
	for _, i := range page.Items {
		ids = append(ids, string(i.ID))
	}
	return strings.Join(ids, " ")
}

func (s *shelf) finds(viewer domain.Actor, q MediaQuery, m Moment, want string) {
	s.t.Helper()
	if got := s.ids(viewer, q, m); got != want {
		s.t.Errorf("%s finds %q with %+v, not %q", viewer.ID, got, q, want)
	}
}

func (s *shelf) sees(viewer domain.Actor, id string, m Moment, want bool) {
	s.t.Helper()
	arrive(s.t, s.engine)
	item, err := s.library.Item(s.t.Context(), viewer, domain.MediaID(id), m)
	switch {
	case want && (err != nil || string(item.ID) != id):
		s.t.Errorf("%s does not see %s: %v", viewer.ID, id, err)
	case !want && !errors.Is(err, ErrHidden):
		s.t.Errorf("%s sees %s: %+v, %v", viewer.ID, id, item, err)
	}
}

func TestLibrary(t *testing.T) {
	t.Parallel()

	t.Run("who may know of an item", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		s.put("a", "open")
		s.put("d", "deleted", media.Deleted{By: "alice"})
		s.put("q", "held", media.Quarantined{Code: "moderation"})
		s.put("r", "narrow", media.Restricted{})
		s.finds(aliceOfAcme, MediaQuery{}, Moment{}, "r q a")
		s.finds(aliceOfAcme, MediaQuery{Status: StatusDeleted}, Moment{}, "d")
		s.finds(carolOfAcme, MediaQuery{}, Moment{}, "a")
		s.finds(carolOfAcme, MediaQuery{Status: StatusDeleted}, Moment{}, "")
		s.finds(aStranger, MediaQuery{}, Moment{}, "")
		s.finds(domain.Actor{}, MediaQuery{}, Moment{}, "")
		s.finds(anAuditor, MediaQuery{}, Moment{}, "r q a")
		s.finds(anAuditor, MediaQuery{Owner: "bob"}, Moment{}, "")
		for id, who := range map[string][3]bool{"a": {true, true, false}, "d": {true, false, false}, "q": {true, false, false}, "r": {true, false, false}, "z": {}} {
			s.sees(aliceOfAcme, id, Moment{}, who[0])
			s.sees(anAuditor, id, Moment{}, who[0])
			s.sees(carolOfAcme, id, Moment{}, who[1])
			s.sees(aStranger, id, Moment{}, who[2])
			s.sees(domain.Actor{}, id, Moment{}, false)
		}
	})

	t.Run("what is shared is there as long as the share holds", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		s.put("a", "open")
		s.put("r", "narrow", media.Restricted{})
		s.put("q", "held", media.Quarantined{Code: "moderation"})
		grant := func(id, item string, with share.Grantee, terms share.Terms) eventstore.Position {
			return s.append(t, eventstore.Stream("share-"+id), share.Granted{Share: domain.ShareID(id), Media: domain.MediaID(item), Owner: "alice", By: "alice", With: with, Terms: terms})
		}
		toBob := share.Grantee{Kind: share.WithUser, User: "bob"}
		for _, item := range []string{"a", "r", "q"} {
			grant("s"+item, item, toBob, share.Terms{Permissions: []share.Permission{share.View}})
		}
		granted := grant("o", "a", share.Grantee{Kind: share.WithOrganisation, Organisation: "globex"}, share.Terms{ExpiresAt: time.Now().Add(-time.Hour)})
		s.finds(userBob, MediaQuery{}, Moment{}, "r a")
		s.finds(somebody("gus", "globex", domain.RolePartner), MediaQuery{}, Moment{}, "")
		s.sees(userBob, "r", Moment{}, true)
		s.sees(userBob, "q", Moment{}, false)
		s.append(t, "share-sr", share.Revoked{By: "alice"})
		s.finds(userBob, MediaQuery{}, Moment{}, "a")
		s.sees(userBob, "r", Moment{}, false)
		s.finds(userBob, MediaQuery{}, AsOf(granted), "r a")
		s.sees(userBob, "r", AsOf(granted), true)
		s.sees(userBob, "a", AsOf(2), false)
	})

	t.Run("text is found whatever its case and composition, also as of another moment", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		s.put("a", "Über den Dächern")         // composed
		s.put("b", "U\u0308ber 100%_sicher\\") // decomposed, as file names of some systems are
		before := s.put("c", "日本の海岸")
		s.append(t, "media-c", titledBy("alice", "Coast", "Of Japan", "Sea", "trip"))
		s.finds(aliceOfAcme, MediaQuery{Text: "ÜBER"}, Moment{}, "b a")
		s.finds(aliceOfAcme, MediaQuery{Text: "ächer über"}, Moment{}, "a")
		s.finds(aliceOfAcme, MediaQuery{Text: "100%_S"}, Moment{}, "b")
		s.finds(aliceOfAcme, MediaQuery{Text: "1000"}, Moment{}, "")
		s.finds(aliceOfAcme, MediaQuery{Text: "r\\"}, Moment{}, "b")
		s.finds(aliceOfAcme, MediaQuery{Text: "の海"}, AsOf(before), "c")
		s.finds(aliceOfAcme, MediaQuery{Text: "japan coast"}, Moment{}, "c")
		s.finds(aliceOfAcme, MediaQuery{Text: "japan"}, AsOf(before), "")
		s.finds(aliceOfAcme, MediaQuery{Tag: "Sea"}, Moment{}, "c")
		s.finds(aliceOfAcme, MediaQuery{Tag: "se"}, Moment{}, "")
		s.finds(aliceOfAcme, MediaQuery{Type: "image"}, Moment{}, "c b a")
		s.finds(aliceOfAcme, MediaQuery{Type: "image/"}, Moment{}, "c b a")
		s.finds(aliceOfAcme, MediaQuery{Type: "image/p"}, Moment{}, "")
		s.finds(aliceOfAcme, MediaQuery{Type: "IMAGE/PNG"}, Moment{}, "c b a")
		s.finds(aliceOfAcme, MediaQuery{From: time.Now().Add(time.Hour)}, Moment{}, "")
		s.finds(aliceOfAcme, MediaQuery{To: time.Now().Add(time.Hour)}, Moment{}, "c b a")
		s.finds(aliceOfAcme, MediaQuery{}, AsOf(0), "")
	})

	t.Run("pages by number and by cursor show everything once, in every order and at every moment", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		for i := range 25 {
			s.put(fmt.Sprintf("i%02d", i), strings.Repeat("x", i%4)+"same")
		}
		middle := s.put("m", "middle")
		for i := range 10 {
			s.append(t, eventstore.Stream(fmt.Sprintf("media-i%02d", i)), titledBy("alice", fmt.Sprint("new ", i%3), ""))
		}
		s.put("z", "last")
		for _, m := range []Moment{{}, AsOf(middle)} {
			for _, viewer := range []domain.Actor{aliceOfAcme, anAuditor, carolOfAcme} {
				for _, sort := range []string{"", "created_at", "-created_at", "updated_at", "-updated_at", "title", "-title", "size", "-size"} {
					all := s.ids(viewer, MediaQuery{Sort: sort}, m)
					var byCursor, byNumber []string
					q := MediaQuery{Sort: sort, Page: Paging{Size: 4}}
					for {
						page, err := s.library.Page(t.Context(), viewer, q, m)
						sure(t, err)
						for _, i := range page.Items {
							byCursor = append(byCursor, string(i.ID))
						}
						if int(page.Total) != len(strings.Fields(all)) {
							t.Fatalf("total %d", page.Total)
						}
						if q.Page.Cursor = page.Next; page.Next == "" {
							break
						}
					}
					for offset := 0; offset < 32; offset += 4 {
						page, err := s.library.Page(t.Context(), viewer, MediaQuery{Sort: sort, Page: Paging{Size: 4, Offset: offset}}, m)
						sure(t, err)
						for _, i := range page.Items {
							byNumber = append(byNumber, string(i.ID))
						}
					}
					if got := strings.Join(byCursor, " "); got != all {
						t.Errorf("by cursor, sorted by %q: %s, not %s", sort, got, all)
					}
					if got := strings.Join(byNumber, " "); got != all {
						t.Errorf("by number, sorted by %q: %s, not %s", sort, got, all)
					}
				}
			}
		}
		first, err := s.library.Page(t.Context(), aliceOfAcme, MediaQuery{Page: Paging{Size: 2}}, Moment{})
		sure(t, err)
		for _, bad := range []MediaQuery{
			{Page: Paging{Cursor: first.Next}, Sort: "title"},
			{Page: Paging{Cursor: "AAAA"}},
			{Sort: "owner"},
			{Status: "nice"},
			{Page: Paging{Size: -1}},
		} {
			if _, err := s.library.Page(t.Context(), aliceOfAcme, bad, Moment{}); !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})

	t.Run("an item's story shows in its status and versions", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		file := media.File{Name: domain.NewPersonal("alice", "two.pdf"), Type: "application/pdf", Size: 7, Object: "o2", Way: media.WayBody}
		source := media.Source{Case: "c", Number: 1, By: "m", Version: 2}
		doubtful := []media.Stage{
			{Name: "content", Verdict: media.VerdictReview, Codes: []string{"decoder_timeout"}}, {Name: "name", Verdict: media.VerdictReview},
			{Name: "malware", Verdict: media.VerdictClean, Codes: []string{"no_scanner"}},
		}
		dangerous := []media.Stage{{Name: "malware", Verdict: media.VerdictBlocked, Codes: []string{"malware", "eicar"}}, doubtful[1]}
		steps := []struct {
			event domain.Event
			want  MediaStatus
			why   string
		}{
			{media.UploadRequested{Media: "a", Owner: "alice", Size: 5}, StatusPending, "[]"},
			{media.Uploaded{Media: "a", Owner: "alice", File: media.File{Type: "image/png", Size: 5}}, StatusProcessing, "[]"},
			{media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 90}, StatusAvailable, "[]"},
			{media.VersionAdded{Version: 2, File: file}, StatusProcessing, "[]"},
			{media.Screened{Version: 2, Verdict: media.VerdictReview, Score: 40, Stages: doubtful}, StatusReview, "[decoder_timeout name]"},
			{media.Released{Source: source}, StatusAvailable, "[]"},
			{media.Restricted{Source: source}, StatusRestricted, "[]"},
			{media.Quarantined{Source: source}, StatusQuarantined, "[]"},
			{media.Removed{Source: source}, StatusRemoved, "[]"},
			{media.Released{Source: source}, StatusAvailable, "[]"},
			{media.Screened{Version: 2, Verdict: media.VerdictBlocked, Score: 0, Stages: dangerous}, StatusQuarantined, "[eicar malware]"},
			{media.RolledBack{Version: 1, From: 2}, StatusAvailable, "[]"},
			{media.Deleted{By: "alice"}, StatusDeleted, "[]"},
			{media.Restored{By: "alice"}, StatusAvailable, "[]"},
			{media.Deleted{By: "alice"}, StatusDeleted, "[]"},
			{media.Purged{By: "alice"}, StatusPurged, "[]"},
		}
		for _, step := range steps {
			s.append(t, "media-a", step.event)
		}
		arrive(t, s.engine)
		for i, step := range steps {
			item, err := s.library.Item(t.Context(), aliceOfAcme, "a", AsOf(eventstore.Position(i+1)))
			sure(t, err)
			if item.Status != step.want || item.Revision != eventstore.Revision(i) || int(item.Position) != i+1 {
				t.Errorf("after %T: %s, revision %d at %d", step.event, item.Status, item.Revision, item.Position)
			}
			if got := fmt.Sprint(item.ReasonsFor(aliceOfAcme, 0)); got != step.why || len(item.ReasonsFor(domain.Actor{ID: "bob"}, 0)) > 0 {
				t.Errorf("after %T: reasons %s, not %s; others see %v", step.event, got, step.why, item.ReasonsFor(domain.Actor{ID: "bob"}, 0))
			}
		}
		item, err := s.library.Item(t.Context(), aliceOfAcme, "a", AsOf(5))
		sure(t, err)
		if item.Version != 2 || len(item.Versions) != 2 || item.FileName != "two.pdf" || item.Type != "application/pdf" || item.Size != 7 || item.Score != 40 {
			t.Errorf("second version: %+v", item)
		}
		if got, _ := s.library.Item(t.Context(), aliceOfAcme, "a", Moment{}); got.Title != "" || got.FileName != "" || len(got.Versions) != 2 {
			t.Errorf("purged: %+v", got)
		}
		s.append(t, "media-b", media.UploadRefused{Media: "b", Owner: "alice", Reasons: []string{"too_large"}})
		s.finds(aliceOfAcme, MediaQuery{Status: StatusRefused}, Moment{}, "b")
	})
}

func TestStatusesAreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	// What the library calls deliverable is what the domain delivers.
	file := media.File{Type: "image/png"}
	story := []media.Event{
		media.Uploaded{Media: "a", Owner: "alice", File: file}, media.Screened{Version: 1, Verdict: media.VerdictReview},
		media.Quarantined{Code: "screening"}, media.Released{Source: media.Source{Case: "c", Number: 1, Version: 1}},
		media.VersionAdded{Version: 2, File: file}, media.Screened{Version: 2, Verdict: media.VerdictBlocked},
		media.Removed{}, media.RolledBack{Version: 1}, media.Released{}, media.Restricted{}, media.Deleted{}, media.Restored{},
	}
	var state media.State
	var row Media
	for i, e := range story {
		state = media.Evolve(state, e)
		row, _ = LibraryProjection().Evolve("a", row, eventstore.Recorded{Stream: "media-a", Type: e.EventType(), Revision: eventstore.Revision(i), Event: e})
		if deliverable := slices.Contains([]MediaStatus{StatusAvailable, StatusRestricted}, row.Status); deliverable != state.Deliverable(0) {
			t.Errorf("after %d, %T: the library says %s, the domain %v", i, e, row.Status, state.Delivery(0))
		}
	}
}

func titledBy(owner domain.UserID, title, description string, tags ...string) media.Described {
	d := media.Described{Title: domain.NewPersonal(owner, title), Description: domain.NewPersonal(owner, description)}
	for _, t := range tags {
		d.Tags = append(d.Tags, domain.NewPersonal(owner, strings.ToLower(t)))
	}
	return d
}
