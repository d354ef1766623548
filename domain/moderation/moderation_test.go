package moderation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

var (
	alice  = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	bob    = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	mod    = domain.Actor{ID: "mod", Roles: []domain.Role{domain.RoleModerator}}
	judge  = domain.Actor{ID: "judge", Roles: []domain.Role{domain.RoleModerator}}
	owning = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser, domain.RoleModerator}}
)

func given(t *testing.T, events ...moderation.Event) domaintest.Story[moderation.State, moderation.Event] {
	t.Helper()
	return domaintest.Given(t, moderation.Evolve, events...)
}

func about(who, text string) domain.Personal { return domain.NewPersonal(domain.UserID(who), text) }

var (
	opened = moderation.Opened{
		Case: "c1", Media: "m1", Owner: "alice", Origin: moderation.FromReport, By: "bob", Category: "privacy", Note: about("bob", "my child"),
	}
	decided = moderation.Decided{
		Number: 1, Media: "m1", Version: 2, By: "mod", Action: moderation.Quarantine,
		Reason: about("alice", "a child"), Policy: "P-7", Statement: about("alice", "we hide it"),
	}
	appealed = moderation.Appealed{Number: 1, Decision: 1, By: "alice", Note: about("alice", "it is my own child")}
)

func report(by domain.Actor) moderation.Report {
	return moderation.Report{
		Case: "c1", Media: "m1", Owner: "alice", Visible: true, By: by, Origin: moderation.FromReport, Category: "privacy", Note: about("bob", " my child "),
	}
}

func decide(by domain.Actor, action moderation.Action) moderation.Decide {
	return moderation.Decide{By: by, Action: action, Version: 2, Reason: about("x", "a child"), Policy: "P-7", Statement: about("x", "we hide it")}
}

func TestReport(t *testing.T) {
	t.Parallel()
	t.Run("a report opens a case, another one joins it, and the same again says nothing", func(t *testing.T) {
		t.Parallel()
		given(t).When(report(bob).Decide).Then(opened)
		carol := report(domain.Actor{ID: "carol", Roles: []domain.Role{domain.RoleUser}})
		carol.Note = domain.Personal{}
		given(t, opened).When(carol.Decide).Then(moderation.Reported{Origin: moderation.FromReport, By: "carol", Category: "privacy"})
	})
	t.Run("of what he cannot see nobody learns, nobody reports his own, and a closed case stays closed", func(t *testing.T) {
		t.Parallel()
		blind, own, nothing := report(bob), report(alice), report(bob)
		blind.Visible, nothing.Owner = false, ""
		given(t).When(blind.Decide).Refused(moderation.ErrNotFound)
		given(t).When(nothing.Decide).Refused(moderation.ErrNotFound)
		given(t).When(own.Decide).Refused(moderation.ErrOwnMedia)
		given(t, opened, moderation.Closed{}).When(report(bob).Decide).Refused(moderation.ErrClosed)
	})
	t.Run("a detector and a moderator open cases, others do not pretend to be one", func(t *testing.T) {
		t.Parallel()
		c := report(domain.System())
		c.Origin, c.Category, c.Note, c.Score = moderation.FromDetector, "screening", domain.Personal{}, 70
		given(t).When(c.Decide).Then(moderation.Opened{
			Case: "c1", Media: "m1", Owner: "alice", Origin: moderation.FromDetector, By: "system", Category: "screening", Score: 70,
		})
		c.By = bob
		given(t).When(c.Decide).Refused(moderation.ErrNotModerator)
		c.Origin, c.Score = moderation.FromReferral, 0
		given(t).When(c.Decide).Refused(moderation.ErrNotModerator)
		c.By = owning
		given(t).When(c.Decide).Refused(moderation.ErrOwnMedia)
	})
	t.Run("wrong forms are refused", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []func(*moderation.Report){
			func(c *moderation.Report) { c.Category = "ugly" },
			func(c *moderation.Report) { c.Origin = "rumour" },
			func(c *moderation.Report) { c.Score = 7 },
			func(c *moderation.Report) { c.Note = about("bob", strings.Repeat("é", 10_001)) },
			func(c *moderation.Report) { c.Note = about("bob", "\x00") },
			func(c *moderation.Report) { c.Note = about("bob", "\xff") },
		} {
			c := report(bob)
			wrong(&c)
			given(t).When(c.Decide).Refused(domain.ErrInvalid)
		}
	})
}

func TestDecide(t *testing.T) {
	t.Parallel()
	t.Run("a moderator decides, and a later decision is another one", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened).When(decide(mod, moderation.Quarantine).Decide).Then(decided)
		second := decided
		second.Number, second.Action = 2, moderation.Remove
		s.When(decide(mod, moderation.Remove).Decide).Then(second)
	})
	t.Run("approving closes the case, but not for what screening blocked", func(t *testing.T) {
		t.Parallel()
		c := moderation.Decide{By: mod, Action: moderation.Approve, Version: 2}
		given(t, opened).When(c.Decide).Then(
			moderation.Decided{Number: 1, Media: "m1", Version: 2, By: "mod", Action: moderation.Approve},
			moderation.Closed{By: "mod", Code: moderation.CodeApproved})
		c.Blocked = true
		given(t, opened).When(c.Decide).Refused(moderation.ErrBlocked)
	})
	t.Run("nobody else may", func(t *testing.T) {
		t.Parallel()
		given(t, opened).When(decide(bob, moderation.Remove).Decide).Refused(moderation.ErrNotModerator)
		given(t, opened).When(decide(owning, moderation.Remove).Decide).Refused(moderation.ErrOwnMedia)
		given(t).When(decide(mod, moderation.Remove).Decide).Refused(moderation.ErrNotFound)
		given(t, opened, moderation.Assigned{Moderator: "judge"}).When(decide(mod, moderation.Remove).Decide).Refused(moderation.ErrAssigned)
		given(t, opened, moderation.Closed{}).When(decide(mod, moderation.Remove).Decide).Refused(moderation.ErrClosed)
		given(t, opened, decided, appealed).When(decide(mod, moderation.Remove).Decide).Refused(moderation.ErrAppealOpen)
	})
	t.Run("what takes something away needs reason, rule and statement", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []func(*moderation.Decide){
			func(c *moderation.Decide) { c.Action = "burn" },
			func(c *moderation.Decide) { c.Reason = domain.Personal{} },
			func(c *moderation.Decide) { c.Policy = " " },
			func(c *moderation.Decide) { c.Policy = "a\nb" },
			func(c *moderation.Decide) { c.Statement = about("x", "  ") },
		} {
			c := decide(mod, moderation.Restrict)
			wrong(&c)
			given(t, opened).When(c.Decide).Refused(domain.ErrInvalid)
		}
	})
	t.Run("a case is in one moderator's hands", func(t *testing.T) {
		t.Parallel()
		given(t, opened).When(moderation.Assign{By: mod, Moderator: "judge"}.Decide).Then(moderation.Assigned{Moderator: "judge", By: "mod"})
		given(t, opened).When(moderation.Assign{By: mod, Moderator: "alice"}.Decide).Refused(moderation.ErrOwnMedia)
		given(t, opened).When(moderation.Assign{By: mod}.Decide).Refused(domain.ErrInvalid)
		given(t, opened).When(moderation.Assign{By: bob, Moderator: "bob"}.Decide).Refused(moderation.ErrNotModerator)
		given(t, opened, moderation.Closed{}).When(moderation.Assign{By: mod, Moderator: "mod"}.Decide).Refused(moderation.ErrClosed)
	})
}

func TestAppeal(t *testing.T) {
	t.Parallel()
	appeal := moderation.Appeal{By: alice, Note: about("alice", "it is my own child")}
	end := func(by domain.Actor, outcome moderation.Outcome) moderation.DecideAppeal {
		return moderation.DecideAppeal{By: by, Number: 1, Outcome: outcome, Reason: about("x", "it is"), Statement: about("x", "sorry")}
	}
	ended := moderation.AppealDecided{
		Number: 1, Decision: 1, Version: 2, Media: "m1", By: "judge", Outcome: moderation.Overturn, Overturns: moderation.Quarantine,
		Reason: about("alice", "it is"), Statement: about("alice", "sorry"),
	}
	closed := moderation.Closed{By: "judge", Code: moderation.CodeAppealDecided}

	t.Run("the owner objects to the last decision, and another person ends it", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened, decided).When(appeal.Decide).Then(appealed)
		s.When(end(mod, moderation.Overturn).Decide).Refused(moderation.ErrDecidedFirst)
		s.When(end(judge, moderation.Overturn).Decide).Then(ended, closed)
		upheld := ended
		upheld.Outcome, upheld.Overturns = moderation.Uphold, ""
		s.When(end(judge, moderation.Uphold).Decide).Then(upheld, closed)
	})
	t.Run("nobody else appeals, there has to be something to appeal, and one appeal waits at a time", func(t *testing.T) {
		t.Parallel()
		theirs, modest, other := appeal, appeal, appeal
		theirs.By, modest.By, other.Note = bob, mod, about("alice", "other words")
		given(t, opened, decided).When(theirs.Decide).Refused(moderation.ErrNotFound)
		given(t, opened, decided).When(modest.Decide).Refused(moderation.ErrNotOwner)
		given(t).When(appeal.Decide).Refused(moderation.ErrNotFound)
		given(t, opened).When(appeal.Decide).Refused(moderation.ErrNotDecided)
		given(t, opened, decided, moderation.Closed{}).When(appeal.Decide).Refused(moderation.ErrClosed)
		given(t, opened, decided, appealed).When(other.Decide).Refused(moderation.ErrAppealOpen)
		approved := decided
		approved.Action = moderation.Approve
		given(t, opened, approved).When(appeal.Decide).Refused(moderation.ErrNotAppealed)
	})
	t.Run("an appeal that is not there, or has ended, is not decided", func(t *testing.T) {
		t.Parallel()
		wrong := end(judge, moderation.Overturn)
		wrong.Number = 2
		given(t, opened, decided, appealed).When(wrong.Decide).Refused(moderation.ErrNoAppeal)
		given(t, opened, decided, appealed, ended, closed).When(end(judge, moderation.Uphold).Decide).Refused(moderation.ErrAppealed)
		given(t, opened, decided, appealed).When(end(owning, moderation.Overturn).Decide).Refused(moderation.ErrOwnMedia)
		given(t, opened, decided, appealed).When(end(bob, moderation.Overturn).Decide).Refused(moderation.ErrNotModerator)
		given(t, opened, decided, appealed).When(end(judge, "maybe").Decide).Refused(domain.ErrInvalid)
	})
	t.Run("a case whose decision stands is closed", func(t *testing.T) {
		t.Parallel()
		given(t, opened, decided).When(moderation.Close{By: mod}.Decide).Then(moderation.Closed{By: "mod", Code: moderation.CodeFinal})
		given(t, opened, decided).When(moderation.Close{By: domain.System()}.Decide).Then(moderation.Closed{By: "system", Code: moderation.CodeFinal})
		given(t, opened).When(moderation.Close{By: mod}.Decide).Refused(moderation.ErrNotDecided)
		given(t, opened, decided, appealed).When(moderation.Close{By: mod}.Decide).Refused(moderation.ErrAppealOpen)
		given(t, opened, decided).When(moderation.Close{By: bob}.Decide).Refused(moderation.ErrNotModerator)
		given(t).When(moderation.Close{By: domain.System()}.Decide).Refused(moderation.ErrNotModerator)
	})
}

// TestInvariants plays random histories: an appeal is never ended by who decided first, no command says the same twice, and
// nothing is said in a closed case.
func TestInvariants(t *testing.T) {
	t.Parallel()
	people := []domain.Actor{alice, bob, mod, judge, owning, chief, domain.System(), {}}
	rapid.Check(t, func(t *rapid.T) {
		s := moderation.State{}
		deciders := map[int][]domain.UserID{}
		now := noon
		appeals := map[int]int{}
		for range rapid.IntRange(1, 30).Draw(t, "length") {
			by := rapid.SampledFrom(people).Draw(t, "by")
			now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "minutes")) * time.Minute)
			decision := decide(by, rapid.SampledFrom([]moderation.Action{moderation.Approve, moderation.Restrict, moderation.Remove}).Draw(t, "action"))
			decision.FourEyes, decision.At = rapid.Bool().Draw(t, "four eyes"), now
			proposal := rapid.IntRange(0, 2).Draw(t, "proposal")
			commands := []func(moderation.State) ([]moderation.Event, error){
				report(by).Decide,
				decision.Decide,
				moderation.Assign{By: by, Moderator: rapid.SampledFrom(people).Draw(t, "whom").ID, At: now}.Decide,
				moderation.Claim{By: by, At: now, For: 15 * time.Minute}.Decide,
				moderation.Renew{By: by, At: now, For: 15 * time.Minute}.Decide,
				moderation.GiveBack{By: by, At: now}.Decide,
				moderation.Escalate{By: by, At: now, Note: about("x", "hard")}.Decide,
				moderation.Confirm{By: by, At: now, Number: proposal}.Decide,
				moderation.Decline{By: by, At: now, Number: proposal, Reason: about("x", "no")}.Decide,
				moderation.Spread{By: by, Reach: moderation.Reach{Links: proposal}}.Decide,
				moderation.Appeal{By: by, Note: about("alice", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "note"))}.Decide,
				moderation.DecideAppeal{
					By: by, At: now, Number: rapid.IntRange(0, 3).Draw(t, "number"), Reason: about("x", "r"),
					Outcome: rapid.SampledFrom([]moderation.Outcome{moderation.Uphold, moderation.Overturn}).Draw(t, "outcome"),
				}.Decide,
				moderation.Close{By: by}.Decide,
			}
			command := commands[rapid.IntRange(0, len(commands)-1).Draw(t, "command")]
			closed, holder := s.Closed, s.Holder(now)
			events, err := command(s)
			if _, no := domain.AsRefusal(err); err != nil && !no {
				t.Fatalf("a fault: %v", err)
			}
			for _, e := range events {
				if closed {
					t.Fatalf("%s was said in a closed case", e.EventType())
				}
				switch e := e.(type) {
				case moderation.Claimed:
					if holder != "" && holder != e.Moderator {
						t.Fatalf("%s claimed what %s has", e.Moderator, holder)
					}
				case moderation.Decided:
					deciders[e.Number] = []domain.UserID{e.By, e.ConfirmedBy}
					if e.ConfirmedBy == e.By {
						t.Fatalf("%s confirmed his own proposal", e.By)
					}
					if e.ConfirmedBy == "" && decision.FourEyes && e.Action == moderation.Remove {
						t.Fatal("a removal needed two")
					}
				case moderation.Appealed:
					appeals[e.Number] = e.Decision
				case moderation.AppealDecided:
					if slices.Contains(deciders[appeals[e.Number]], e.By) || e.By == "alice" {
						t.Fatalf("%s judged an appeal against %s", e.By, deciders[appeals[e.Number]])
					}
				}
				s = moderation.Evolve(s, e)
			}
			if err == nil {
				if again, err := command(s); err != nil || len(again) > 0 {
					t.Fatalf("asked twice: %d events, %v", len(again), err)
				}
			}
		}
	})
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	scored := opened
	scored.Origin, scored.Score = moderation.FromDetector, 70
	seen := scored
	seen.Version, seen.Reach = 3, moderation.Reach{Users: 3, Organisations: 1, Links: 2}
	confirmed := decided
	confirmed.ConfirmedBy = "judge"
	found := seen
	found.Finding = "f1"
	domaintest.Golden(t, moderation.Types, opened, scored, seen, found,
		moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "screening", Note: about("system", "n"), Score: 50},
		moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "screening", Note: about("system", "n"), Score: 50, Version: 3},
		moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "privacy", Score: 80, Version: 3, Finding: "f2"},
		moderation.Assigned{Moderator: "mod", By: "judge"}, decided, confirmed, appealed, proposed,
		moderation.ReachChanged{Reach: seen.Reach},
		moderation.Claimed{Moderator: "mod", Until: time.Date(2026, 11, 22, 10, 15, 0, 123456000, time.UTC)},
		moderation.GivenBack{Moderator: "mod"},
		moderation.Escalated{By: "mod", Note: about("alice", "a judge wrote to us")},
		moderation.Confirmed{Number: 1, By: "judge"},
		moderation.Declined{Number: 1, By: "judge", Reason: about("alice", "too hard")},
		moderation.AppealDecided{
			Number: 1, Decision: 1, Version: 2, Media: "m1", By: "judge", Outcome: moderation.Overturn, Overturns: moderation.Quarantine,
			Reason: about("alice", "it is"), Statement: about("alice", "sorry"),
		},
		moderation.Reopened{Why: moderation.NewReports, Decision: 2, People: 4},
		moderation.Closed{By: "judge", Code: moderation.CodeAppealDecided})
}

func TestReportersAreThePeopleWhoReported(t *testing.T) {
	t.Parallel()
	s := given(t, opened,
		moderation.Reported{Origin: moderation.FromReport, By: "carol", Category: "privacy"},
		moderation.Reported{Origin: moderation.FromReport, By: "bob", Category: "spam"},
		moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "nudity", Score: 90},
		moderation.Reported{Origin: moderation.FromReferral, By: "mod", Category: "spam"},
		decided,
	).State()
	if got := s.Reporters(); !slices.Equal(got, []domain.UserID{"bob", "carol"}) {
		t.Errorf("reporters are %v", got)
	}
	if got := s.Decisions[0].Policy(); got != "P-7" {
		t.Errorf("the rule is %q", got)
	}
}
