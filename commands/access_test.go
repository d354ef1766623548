package commands_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func perms(names ...string) []share.Permission {
	var out []share.Permission
	for _, n := range names {
		out = append(out, share.Permission(n))
	}
	return out
}

func content(id domain.MediaID) commands.Serving {
	return commands.Serving{Media: id, What: access.Content, Bytes: 10}
}

// servedAtOnce has n guests ask at once, and counts who is let in and who comes too late.
func (v *vault) servedAtOnce(t *testing.T, n int, s commands.Serving) (served, exhausted int) {
	t.Helper()
	var in, late atomic.Int32
	together(n, func(int) {
		_, err := v.access.Serve(t.Context(), by(guest), s)
		switch {
		case err == nil:
			in.Add(1)
		case errors.Is(err, access.ErrExhausted):
			late.Add(1)
		default:
			t.Error(err)
		}
	})
	return int(in.Load()), int(late.Load())
}

func through(id domain.MediaID, g commands.Granted) commands.Serving {
	s := content(id)
	s.Via, s.Share, s.Token = access.ViaLink, domain.ShareID(g.ID), g.Token
	return s
}

func TestServe(t *testing.T) {
	t.Parallel()
	t.Run("the owner gets what was screened, and it is recorded", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		got := must(v.access.Serve(t.Context(), by(alice), content(id)))(t)
		if got.Via != access.ViaOwner || got.Version != 1 || got.File.Object != "k" || got.Position == 0 {
			t.Errorf("got %+v", got)
		}
		rec := v.events(eventstore.StreamOf("access", id))[0]
		if e, ok := rec.Event.(access.Served); !ok || e.Via != access.ViaOwner || e.Bytes != 10 || rec.Metadata.Actor.ID != "alice" {
			t.Errorf("got %+v", rec)
		}
		unscreened := v.item(alice, "")
		_, err := v.access.Serve(t.Context(), by(alice), content(unscreened))
		refused(t, err, media.ErrNotScreened)
		_, err = v.access.Serve(t.Context(), by(bob), content(id))
		refused(t, err, access.ErrNotFound)
		_, err = v.access.Serve(t.Context(), by(bob), content("nothing"))
		refused(t, err, access.ErrNotFound)
	})
	t.Run("a share lets its recipient in until it is revoked, and with it what came through it", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		first := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "bob", Permissions: perms("reshare")}))(t)
		second := must(v.shares.Grant(t.Context(), by(bob), commands.Grant{Media: id, User: "carol"}))(t)
		got := must(v.access.Serve(t.Context(), by(carol), content(id)))(t)
		if got.Via != access.ViaShare || got.Share != domain.ShareID(second.ID) {
			t.Errorf("got %+v", got)
		}
		download := content(id)
		download.What = access.Download
		_, err := v.access.Serve(t.Context(), by(carol), download)
		refused(t, err, share.ErrNotAllowed)
		must(v.shares.Revoke(t.Context(), by(alice), domain.ShareID(first.ID)))(t)
		_, err = v.access.Serve(t.Context(), by(carol), content(id))
		refused(t, err, share.ErrRevoked)
		_, err = v.shares.Grant(t.Context(), by(bob), commands.Grant{Media: id, User: "dave"})
		refused(t, err, share.ErrRevoked)
	})
	t.Run("what its owner deleted is gone for everybody else", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "bob"}))(t)
		link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true}))(t)
		must(v.media.Delete(t.Context(), by(alice), id))(t)
		for who, s := range map[string]commands.Serving{"bob": content(id), "": through(id, link)} {
			_, err := v.access.Serve(t.Context(), by(domain.Actor{ID: domain.UserID(who)}), s)
			refused(t, err, access.ErrNotFound)
		}
		_, err := v.moderation.Report(t.Context(), by(bob), commands.Report{Media: id, Category: "spam"})
		refused(t, err, access.ErrNotFound)
		_, err = v.access.Serve(t.Context(), by(alice), content(id))
		refused(t, err, media.ErrDeleted)
		_, err = v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "carol"})
		refused(t, err, share.ErrNotShareable)
	})
	t.Run("of twenty who open a link of three at once, exactly three get in", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true, MaxOpens: 3}))(t)
		served, exhausted := v.servedAtOnce(t, 20, through(id, link))
		if served != 3 || exhausted != 17 {
			t.Errorf("%d served, %d exhausted", served, exhausted)
		}
		_, err := v.access.Check(t.Context(), by(guest), through(id, link))
		refused(t, err, access.ErrExhausted)
		more := 4
		must(v.shares.Change(t.Context(), by(alice), domain.ShareID(link.ID), commands.Change{MaxOpens: &more}))(t)
		must(v.access.Serve(t.Context(), by(guest), through(id, link)))(t)
	})
	t.Run("a link needs its secret and its password, and ends", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		g := commands.Grant{Media: id, Link: true, Password: "correct horse", ExpiresAt: v.clock.Now().Add(time.Hour)}
		link := must(v.shares.Grant(t.Context(), keyed(alice, "l"), g))(t)
		if len(link.Token) != 43 {
			t.Errorf("a secret of %d characters", len(link.Token))
		}
		if again := must(v.shares.Grant(t.Context(), keyed(alice, "l"), g))(t); again.Token != "" || again.ID != link.ID || !again.Repeated {
			t.Errorf("again %+v", again)
		}
		s := through(id, link)
		_, err := v.access.Serve(t.Context(), by(guest), s)
		refused(t, err, share.ErrPassword)
		s.Password = "wrong"
		_, err = v.access.Serve(t.Context(), by(guest), s)
		refused(t, err, share.ErrWrongPassword)
		s.Password = "correct horse"
		for range 2 {
			must(v.access.Serve(t.Context(), by(guest), s))(t)
		}
		other := s
		other.Token = strings.Repeat("A", 43)
		_, err = v.access.Serve(t.Context(), by(guest), other)
		refused(t, err, access.ErrNotFound)
		same := "correct horse"
		if got := must(v.shares.Change(t.Context(), by(alice), domain.ShareID(link.ID), commands.Change{Password: &same}))(t); !got.Silent {
			t.Error("the same password is no change")
		}
		v.clock.pass(time.Hour)
		_, err = v.access.Serve(t.Context(), by(guest), s)
		refused(t, err, share.ErrExpired)
	})
	t.Run("a decision is effective at once: restricted items have no links, held ones only moderators with a case", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true}))(t)
		must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, User: "bob"}))(t)
		_, err := v.access.Serve(t.Context(), by(mod), content(id))
		refused(t, err, access.ErrNotFound)
		which := must(v.moderation.Report(t.Context(), by(bob), commands.Report{Media: id, Category: "spam"}))(t)
		must(v.access.Serve(t.Context(), by(mod), content(id)))(t)
		apply := func(n int, action string) {
			must(v.media.ApplyDecision(t.Context(), by(domain.System()), id, commands.Ruling{
				Case: domain.CaseID(which.ID), Number: n, Action: moderation.Action(action), By: "mod", Version: 1,
			}))(t)
		}
		apply(1, "restrict")
		_, err = v.access.Serve(t.Context(), by(guest), through(id, link))
		refused(t, err, access.ErrRestricted)
		must(v.access.Serve(t.Context(), by(bob), content(id)))(t)
		apply(2, "quarantine")
		for _, who := range []domain.Actor{alice, bob} {
			_, err = v.access.Serve(t.Context(), by(who), content(id))
			refused(t, err, media.ErrQuarantined)
		}
		must(v.access.Serve(t.Context(), by(mod), content(id)))(t)
		view := content(id)
		view.What = access.View
		must(v.access.Check(t.Context(), by(alice), view))(t)
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	refusal := func(code string) access.Refused {
		return access.Refused{Action: "GET /v1/media/{id}", Resource: "x", Code: code, Status: 404}
	}
	t.Run("those of known people are recorded one by one", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		for range 3 {
			if err := v.access.Refused(t.Context(), by(bob), refusal("not_found")); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(v.events("access-bob")); n != 3 {
			t.Errorf("%d events", n)
		}
	})
	t.Run("a flood of guests makes numbers grow, not the log, and no refusal is lost", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		for i := range 5000 {
			env := by(guest)
			env.Address = fmt.Sprintf("10.%d.%d.1", i%50/7, i%50)
			if i%2 == 0 {
				env.Address = fmt.Sprintf("2001:db8::%x", i)
			}
			if err := v.access.Refused(t.Context(), env, refusal("not_found")); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(v.events("access-anonymous")); n > 60 {
			t.Errorf("%d events", n)
		}
		v.clock.pass(time.Minute)
		if err := v.access.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := v.access.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, rec := range v.events("access-anonymous") {
			total += max(1, rec.Event.(access.Refused).Count) //nolint:forcetypeassert // nothing else is there
		}
		if total != 5000 {
			t.Errorf("%d refusals are told, want 5000", total)
		}
	})
	t.Run("a flood from everywhere stays within the minute's budget", func(t *testing.T) {
		t.Parallel()
		v := newVault(t, false)
		for i := range 20_000 {
			env := by(guest)
			env.Address = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			if err := v.access.Refused(t.Context(), env, refusal("not_found")); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(v.events("access-anonymous")); n != 300 {
			t.Errorf("%d events", n)
		}
		if err := v.access.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, rec := range v.events("access-anonymous") {
			total += max(1, rec.Event.(access.Refused).Count) //nolint:forcetypeassert // nothing else is there
		}
		if n := len(v.events("access-anonymous")); n > 600 || total != 20_000 {
			t.Errorf("%d events tell of %d refusals", n, total)
		}
	})
}
