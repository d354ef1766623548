package reactors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/projections"
	"github.com/mediavault-io/mediavault/reactors"
)

// searched is a vault that looks for personal data: commands and read models over a log in memory, and no clock to wait for.
type searched struct {
	*testing.T
	store    *eventstore.Store
	log      *memory.Log
	reactor  reactors.Findings
	findings *projections.Findings
	reacted  eventstore.Position
}

func newSearched(t *testing.T) *searched {
	t.Helper()
	keys := storetest.Keys()
	codec, err := eventstore.NewCodec(keys, catalog.Types())
	must(t, err)
	log := memory.New()
	t.Cleanup(log.Close)
	s := &searched{T: t, store: eventstore.New(log, codec), log: log}
	engine, err := projections.New(pgtest.New(t), s.store, projections.Options{},
		projections.Define(projections.FindingsProjection()), projections.Define(projections.SharesProjection()))
	must(t, err)
	must(t, engine.Prepare(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.findings, err = projections.NewFindings(engine, keys)
	must(t, err)
	patterns, err := pii.Default()
	must(t, err)
	s.reactor = reactors.Findings{Patterns: patterns, Findings: commands.NewFindings(commands.NewVault(s.store, media.DefaultPolicy()), s.findings)}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *searched) say(stream eventstore.Stream, events ...domain.Event) {
	s.Helper()
	_, err := s.store.Append(s.Context(), stream, eventstore.Any, eventstore.Metadata{Command: uuid.New(), Actor: domain.System()}, events...)
	must(s.T, err)
	s.react()
}

// react hands the reactor what it has not seen, and what follows from that, each twice.
func (s *searched) react() {
	s.Helper()
	for {
		head, err := s.store.Head(s.Context())
		must(s.T, err)
		if s.reacted >= head {
			return
		}
		for batch, err := range s.store.Follow(s.Context(), s.reacted, eventstore.Filter{}) {
			must(s.T, err)
			for _, rec := range batch.Events {
				if slices.Contains(s.reactor.Types(), rec.Type) {
					must(s.T, s.reactor.React(s.Context(), rec))
					must(s.T, s.reactor.React(s.Context(), rec))
				}
			}
			s.reacted = batch.Through
			break
		}
	}
}

// shown is what alice's list says, in a word each.
func (s *searched) shown() string {
	s.Helper()
	if _, err := s.findings.FindingsOf(s.Context(), "any"); err != nil { // waits until the read model is there
		s.Fatal(err)
	}
	list, err := s.findings.List(s.Context(), domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, projections.FindingQuery{}, projections.Paging{Size: 50}, projections.Moment{})
	must(s.T, err)
	var words []string
	for _, f := range list.Items {
		words = append(words, fmt.Sprintf("%s in %s %s %s %d", f.Type, f.Place, f.Status, f.Level, f.Risk))
	}
	return strings.Join(words, "; ")
}

func TestFindingsFollowWhatIsSaidAndWhoMaySeeIt(t *testing.T) {
	t.Parallel()
	s := newSearched(t)
	item := domain.MediaID(uuid.NewString())
	stream := eventstore.StreamOf(media.Category, item)
	p := func(text string) domain.Personal { return domain.NewPersonal("alice", text) }
	const iban = "DE89 3704 0044 0532 0130 00"
	s.say(stream, media.Uploaded{Media: item, Owner: "alice", Title: p("Statement"), File: media.File{Name: p("a.txt"), Type: "text/plain", Size: 1, SHA256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", Object: "0f/1", Way: media.WayForm}})
	step := func(name, want string) {
		t.Helper()
		if got := s.shown(); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	step("nothing is found in a plain title", "")
	s.say(stream, media.Described{Title: p("Statement"), Description: p("IBAN " + iban)})
	step("an IBAN in the description", "iban in description open low 8")

	grant := func(with share.Grantee, expires time.Time) eventstore.Stream {
		id := domain.ShareID(uuid.NewString())
		stream := eventstore.StreamOf(share.Category, id)
		s.say(stream, share.Granted{Share: id, Media: item, Owner: "alice", By: "alice", With: with, Terms: share.Terms{Permissions: []share.Permission{share.View}, ExpiresAt: expires}})
		return stream
	}
	bob := grant(share.Grantee{Kind: share.WithUser, User: "bob"}, time.Time{})
	step("shared with a person", "iban in description open medium 24")
	partner := grant(share.Grantee{Kind: share.WithOrganisation, Organisation: "acme"}, time.Time{})
	step("shared with a partner", "iban in description open urgent 40")
	link := grant(share.Grantee{Kind: share.WithLink, Token: "aa"}, time.Time{})
	step("shared with anyone", "iban in description open urgent 80")
	grant(share.Grantee{Kind: share.WithLink, Token: "bb"}, time.Now().Add(-time.Hour))

	s.say(stream, media.Restricted{Source: media.Source{By: "mod", Case: "c"}})
	step("links stop", "iban in description open urgent 40")
	s.say(stream, media.Quarantined{Source: media.Source{By: "mod", Case: "c"}, Code: media.CodeModeration})
	step("nobody sees it", "iban in description open low 8")
	s.say(stream, media.Released{Source: media.Source{By: "mod", Case: "c"}})
	s.say(link, share.Revoked{By: "alice"})
	step("the link is revoked, an expired one does not count", "iban in description open urgent 40")

	s.say(stream, media.Described{Title: p("Statement " + iban), Description: p("bob@example.org"), Tags: []domain.Personal{p("x")}})
	step("another place, another thing", "iban in description resolved urgent 40; iban in title open urgent 40; email in description open medium 20")
	s.say(stream, media.Described{Title: p("Statement"), Description: p("IBAN " + iban)})
	step("it is back", "iban in description open urgent 40; iban in title resolved urgent 40; email in description resolved medium 20")
	s.say(partner, share.Revoked{By: "alice"})
	s.say(bob, share.Revoked{By: "alice"})
	step("private again", "iban in description open low 8; iban in title resolved low 8; email in description resolved low 4")

	said := 0
	for batch, err := range s.log.Follow(t.Context(), 0, eventstore.Filter{}) {
		must(t, err)
		for _, e := range batch.Events {
			if strings.Contains(string(e.Data), "0532") || strings.Contains(string(e.Data), "bob@") {
				t.Errorf("a value stands in the stored bytes of %s: %s", e.Type, e.Data)
			}
			if e.Type == (finding.Rescored{}).EventType() {
				said++
			}
		}
		break
	}
	if said == 0 || said > 25 {
		t.Errorf("%d times another risk", said)
	}
}
