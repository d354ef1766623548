package commands_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

func title(s string) commands.Description { return commands.Description{Title: &s} }

func TestDecide(t *testing.T) {
	t.Parallel()
	t.Run("a command leaves its mark, with who, from where and why beside it", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		got := must(v.media.Describe(t.Context(), by(alice), id, title("New")))(t)
		if got.ID != string(id) || got.Revision != 2 || got.Position != 3 || got.Repeated || got.Silent {
			t.Errorf("got %+v", got)
		}
		rec := v.events(got.Stream)[2]
		m := rec.Metadata
		if m.Actor.ID != "alice" || m.Address.Text() != "192.0.2.1" || m.UserAgent.Text() != "test" || m.Reason.Text() != "because" || m.Correlation != m.Command {
			t.Errorf("metadata: %+v", m)
		}
		if e, ok := rec.Event.(media.Described); !ok || e.Title.Text() != "New" || e.Title.Subject() != "alice" {
			t.Errorf("event: %+v", rec.Event)
		}
	})
	t.Run("saying what is so already says nothing, and answers where the stream stands", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		got := must(v.media.Describe(t.Context(), by(alice), id, title("T")))(t)
		if !got.Silent || got.Revision != 0 || got.Position != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("sixteen who describe the same item all succeed", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		var failed atomic.Int32
		together(16, func(i int) {
			if _, err := v.media.Describe(t.Context(), by(alice), id, title(fmt.Sprintf("title %d", i))); err != nil {
				failed.Add(1)
				t.Error(err)
			}
		})
		if n := len(v.events(eventstore.StreamOf("media", id))); n != 17 || failed.Load() > 0 {
			t.Errorf("%d events, want 17", n)
		}
	})
	t.Run("of sixteen who expect a revision one succeeds, and the others are told", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		var won, stale atomic.Int32
		together(16, func(i int) {
			env, at := by(alice), eventstore.Revision(0)
			env.IfMatch = &at
			_, err := v.media.Describe(t.Context(), env, id, title(fmt.Sprintf("title %d", i)))
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, commands.ErrWrongRevision):
				stale.Add(1)
			default:
				t.Error(err)
			}
		})
		if won.Load() != 1 || stale.Load() != 15 {
			t.Errorf("%d succeeded, %d were told", won.Load(), stale.Load())
		}
	})
	t.Run("a stranger learns nothing from a revision", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		for _, at := range []eventstore.Revision{0, 7} {
			env := by(bob)
			env.IfMatch = &at
			_, err := v.media.Delete(t.Context(), env, id)
			refused(t, err, media.ErrNotFound)
		}
		env, at := by(alice), eventstore.Revision(7)
		env.IfMatch = &at
		_, err := v.media.Delete(t.Context(), env, id)
		refused(t, err, commands.ErrWrongRevision)
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	t.Run("the same key answers the original receipt, for ever, whatever revision is expected", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		first := must(v.media.Describe(t.Context(), keyed(alice, "k1"), id, title("One")))(t)
		must(v.media.Describe(t.Context(), keyed(alice, "k2"), id, title("Two")))(t)
		env, at := keyed(alice, "k1"), eventstore.Revision(0)
		env.IfMatch = &at
		again := must(v.media.Describe(t.Context(), env, id, title("One")))(t)
		if !again.Repeated || again.Revision != first.Revision || again.Position != first.Position || !again.At.Equal(first.At) {
			t.Errorf("first %+v, again %+v", first, again)
		}
		if n := len(v.events(first.Stream)); n != 3 {
			t.Errorf("%d events, want 3", n)
		}
	})
	t.Run("the key used for something else is refused, and another's key is another key", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id, other := v.item(alice, ""), v.item(bob, "")
		must(v.media.Describe(t.Context(), keyed(alice, "k1"), id, title("One")))(t)
		_, err := v.media.Describe(t.Context(), keyed(alice, "k1"), id, title("Two"))
		refused(t, err, commands.ErrKeyReused)
		must(v.media.Describe(t.Context(), keyed(bob, "k1"), other, title("Two")))(t)
		must(v.media.Delete(t.Context(), keyed(alice, "k1"), id))(t)
	})
	t.Run("many with one key at once leave one mark and get one receipt", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		got := make([]commands.Receipt, 16)
		together(16, func(i int) {
			var err error
			if got[i], err = v.media.Describe(t.Context(), keyed(alice, "k"), id, title("One")); err != nil {
				t.Error(err)
			}
		})
		for _, r := range got {
			if r.Revision != 1 || r.Position != 2 {
				t.Errorf("got %+v", r)
			}
		}
	})
	t.Run("keys and reasons have a form", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, "")
		for _, key := range []string{"a b", "é", strings.Repeat("k", 256), "a\n"} {
			_, err := v.media.Describe(t.Context(), keyed(alice, key), id, title("One"))
			refused(t, err, commands.ErrKeyInvalid)
		}
		env := by(alice)
		env.Reason = strings.Repeat("r", 501)
		_, err := v.media.Describe(t.Context(), env, id, title("One"))
		refused(t, err, commands.ErrReason)
	})
	t.Run("what was asked cannot be guessed from the fingerprint without the key", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		a, b := v.item(alice, ""), v.item(alice, "")
		one := must(v.media.Describe(t.Context(), keyed(alice, "k1"), a, title("Same")))(t)
		two := must(v.media.Describe(t.Context(), keyed(alice, "k2"), b, title("Same")))(t)
		if v.events(one.Stream)[1].Metadata.Fingerprint == v.events(two.Stream)[1].Metadata.Fingerprint {
			t.Error("the same text has the same fingerprint")
		}
	})
}

func TestEnforcement(t *testing.T) {
	t.Parallel()
	v := newVault(t, false)
	id := v.item(alice, media.VerdictReview)
	opened := must(v.moderation.Refer(t.Context(), by(mod), commands.Report{Media: id, Category: "nudity", Note: "look"}))(t)
	which := domain.CaseID(opened.ID)
	system := by(domain.System())

	_, err := v.moderation.Decide(t.Context(), by(mod), which, commands.Decision{Action: "remove"})
	refused(t, err, domain.ErrInvalid)
	decided := must(v.moderation.Decide(t.Context(), by(mod), which, commands.Decision{Action: "remove", Reason: "r", Policy: "P-1", Statement: "s"}))(t)
	ruling := commands.Ruling{Case: which, Number: decided.Number, Action: "remove", By: "mod", Version: 1}
	must(v.media.ApplyDecision(t.Context(), system, id, ruling))(t)
	must(v.media.ApplyDecision(t.Context(), system, id, ruling))(t)
	_, err = v.media.Describe(t.Context(), by(alice), id, title("New"))
	refused(t, err, media.ErrRemoved)
	must(v.media.Delete(t.Context(), by(alice), id))(t)
	_, err = v.media.Purge(t.Context(), by(alice), id)
	refused(t, err, media.ErrFrozen)
	must(v.media.Restore(t.Context(), by(alice), id))(t)

	appeal := must(v.moderation.Appeal(t.Context(), by(alice), which, "no"))(t)
	_, err = v.moderation.DecideAppeal(t.Context(), by(mod), which, appeal.Number, commands.Verdict{Outcome: "overturn", Reason: "r"})
	if r, ok := domain.AsRefusal(err); !ok || r.Code != "decided_first" {
		t.Errorf("who decided first must not judge: %v", err)
	}
	must(v.moderation.DecideAppeal(t.Context(), by(judge), which, appeal.Number, commands.Verdict{Outcome: "overturn", Reason: "r"}))(t)
	must(v.media.Release(t.Context(), system, id, ruling))(t)
	must(v.media.ApplyDecision(t.Context(), system, id, ruling))(t)
	want := []string{"media.uploaded", "media.screened", "media.removed", "media.deleted", "media.restored", "media.released"}
	if got := v.types(eventstore.StreamOf("media", id)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	must(v.media.Delete(t.Context(), by(alice), id))(t)
	must(v.media.Purge(t.Context(), by(alice), id))(t)
}

func TestReports(t *testing.T) {
	t.Parallel()
	report := func(id domain.MediaID) commands.Report {
		return commands.Report{Media: id, Category: "spam", Note: "n"}
	}
	t.Run("reports at once meet in one case, and after it closed another one opens", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		for i := range 8 {
			must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: domain.UserID(fmt.Sprint("u", i))}))(t)
		}
		cases := make([]string, 8)
		together(8, func(i int) {
			env := by(domain.Actor{ID: domain.UserID(fmt.Sprint("u", i)), Roles: []domain.Role{domain.RoleUser}})
			got, err := v.moderation.Report(t.Context(), env, report(id))
			if err != nil {
				t.Error(err)
			}
			cases[i] = got.ID
		})
		if slices.Sort(cases); cases[0] != cases[7] || len(v.events(eventstore.Stream("moderation-"+cases[0]))) != 8 {
			t.Errorf("cases %v", cases)
		}
		first := domain.CaseID(cases[0])
		must(v.moderation.Assign(t.Context(), by(mod), first, ""))(t)
		_, err := v.moderation.Decide(t.Context(), by(judge), first, commands.Decision{Action: "approve"})
		if r, ok := domain.AsRefusal(err); !ok || r.Code != "assigned_to_another" {
			t.Error(err)
		}
		must(v.moderation.Decide(t.Context(), by(mod), first, commands.Decision{Action: "approve"}))(t)
		next := must(v.moderation.Report(t.Context(), by(domain.Actor{ID: "u1", Roles: []domain.Role{domain.RoleUser}}), report(id)))(t)
		if next.ID == cases[0] {
			t.Error("a closed case was opened again")
		}
	})
	t.Run("a report with a key is one report, also after its case was closed", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "bob"}))(t)
		first := must(v.moderation.Report(t.Context(), keyed(bob, "k"), report(id)))(t)
		must(v.moderation.Decide(t.Context(), by(mod), domain.CaseID(first.ID), commands.Decision{Action: "approve"}))(t)
		again := must(v.moderation.Report(t.Context(), keyed(bob, "k"), report(id)))(t)
		if !again.Repeated || again.ID != first.ID || again.Position != first.Position {
			t.Errorf("first %+v, again %+v", first, again)
		}
	})
	t.Run("who cannot see the item cannot report it; who holds a link can", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		_, err := v.moderation.Report(t.Context(), by(bob), report(id))
		refused(t, err, media.ErrNotFound)
		link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true, Password: "horse battery"}))(t)
		r := report(id)
		r.Share, r.Token = domain.ShareID(link.ID), link.Token
		_, err = v.moderation.Report(t.Context(), by(bob), r)
		refused(t, err, media.ErrNotFound)
		r.Password = "horse battery"
		must(v.moderation.Report(t.Context(), by(bob), r))(t)
		r.Token = "guessed"
		_, err = v.moderation.Report(t.Context(), by(carol), r)
		refused(t, err, media.ErrNotFound)
	})
}
