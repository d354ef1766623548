package commands_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestGoingOnWithAnOpen(t *testing.T) {
	t.Parallel()
	type film struct {
		*vault
		id     domain.MediaID
		link   commands.Granted
		opened commands.Delivery
	}
	opened := func(t *testing.T, most int) (film, func(ticket string) commands.Serving) {
		t.Helper()
		v := newVault(t, false)
		id := v.item(alice, media.VerdictClean)
		link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true, MaxOpens: most}))(t)
		first := must(v.access.Serve(t.Context(), by(guest), through(id, link)))(t)
		if first.Ticket == "" {
			t.Fatal("no ticket")
		}
		return film{v, id, link, first}, func(ticket string) commands.Serving {
			s := through(id, link)
			s.Part, s.From, s.Ticket = true, 5, ticket
			return s
		}
	}
	t.Run("whoever opened fetches parts, and nobody else does", func(t *testing.T) {
		t.Parallel()
		v, part := opened(t, 1)
		for range 3 {
			got := must(v.access.Serve(t.Context(), by(guest), part(v.opened.Ticket)))(t)
			if got.Ticket != "" || got.Position == 0 || got.Via != access.ViaLink {
				t.Errorf("got %+v", got)
			}
		}
		number, secret, _ := strings.Cut(v.opened.Ticket, ".")
		for _, other := range []string{
			"", ".", number, number + ".", number + ".x", "7." + secret, "-1." + secret, "0" + number + "." + secret, "+" + number + "." + secret,
			secret, strings.Repeat("9", 30) + "." + secret, number + "." + secret + "x", "\x00." + secret,
		} {
			_, err := v.access.Serve(t.Context(), by(guest), part(other))
			refused(t, err, access.ErrExhausted)
		}
		whole, download, thing := part(v.opened.Ticket), part(v.opened.Ticket), part(v.opened.Ticket)
		whole.Part, download.What, thing.Object = false, access.Download, "k"
		for _, s := range []commands.Serving{whole, thing} {
			_, err := v.access.Serve(t.Context(), by(guest), s)
			refused(t, err, access.ErrExhausted)
		}
		_, err := v.access.Serve(t.Context(), by(guest), download)
		refused(t, err, share.ErrNotAllowed)
		must(v.access.Check(t.Context(), by(guest), whole))(t) // the size of what he fetches, say
		_, err = v.access.Check(t.Context(), by(guest), part("0.x"))
		refused(t, err, access.ErrExhausted)
		if n := len(v.events(eventstore.StreamOf(access.Category, v.link.ID))); n != 1 {
			t.Errorf("%d opens", n)
		}
	})
	t.Run("a ticket is good for its own share and open alone", func(t *testing.T) {
		t.Parallel()
		v, part := opened(t, 2)
		other := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: v.id, Link: true, MaxOpens: 1}))(t)
		must(v.access.Serve(t.Context(), by(guest), through(v.id, other)))(t)
		s := through(v.id, other)
		s.Part, s.Ticket = true, v.opened.Ticket
		_, err := v.access.Serve(t.Context(), by(guest), s)
		refused(t, err, access.ErrExhausted)
		second := must(v.access.Serve(t.Context(), by(guest), part("")))(t) // a part without a ticket is an open
		if second.Ticket == "" || second.Ticket == v.opened.Ticket {
			t.Errorf("got %q", second.Ticket)
		}
		for _, ticket := range []string{second.Ticket, v.opened.Ticket} {
			must(v.access.Serve(t.Context(), by(guest), part(ticket)))(t)
		}
	})
	t.Run("it ends when its time is over, with the share, and with the item", func(t *testing.T) {
		t.Parallel()
		for want, end := range map[*domain.Refusal]func(film){
			access.ErrExhausted: func(v film) { v.clock.pass(access.GoesOnFor) },
			share.ErrRevoked:    func(v film) { must(v.shares.Revoke(t.Context(), by(alice), domain.ShareID(v.link.ID)))(t) },
			access.ErrNotFound:  func(v film) { must(v.media.Delete(t.Context(), by(alice), v.id))(t) },
		} {
			v, part := opened(t, 1)
			v.clock.pass(access.GoesOnFor / 2)
			must(v.access.Serve(t.Context(), by(guest), part(v.opened.Ticket)))(t)
			v.clock.pass(access.GoesOnFor/2 - time.Second)
			must(v.access.Serve(t.Context(), by(guest), part(v.opened.Ticket)))(t) // going on prolongs nothing
			end(v)
			_, err := v.access.Serve(t.Context(), by(guest), part(v.opened.Ticket))
			refused(t, err, want)
		}
	})
	t.Run("of many who go on with one open at once, exactly so many parts are served", func(t *testing.T) {
		t.Parallel()
		v, part := opened(t, 1)
		var events []domain.Event
		for range access.MostParts - 10 {
			events = append(events, access.Served{Media: v.id, Version: 1, What: access.Content, Via: access.ViaLink, Share: domain.ShareID(v.link.ID), Continued: true})
		}
		stream := eventstore.StreamOf(access.Category, v.link.ID+"-0")
		if _, err := v.store.Append(t.Context(), stream, eventstore.NoStream, eventstore.Metadata{Command: uuid.New()}, events...); err != nil {
			t.Fatal(err)
		}
		served, exhausted := v.servedAtOnce(t, 40, part(v.opened.Ticket))
		if served != 10 || exhausted != 30 {
			t.Errorf("%d served, %d refused", served, exhausted)
		}
	})
}
