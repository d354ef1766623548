package reactors_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// forget records that bob has to be forgotten, and no more: his key is there, as for a process that did not hear of it.
func (v *teller) forget() {
	v.Helper()
	v.by("root", eventstore.StreamOf(person.Category, domain.Derive("person", "bob").String()),
		person.ErasureRequested{Subject: "bob", By: "root", Ground: person.Closed})
}

func TestNothingLeavesForWhoIsForgotten(t *testing.T) {
	t.Parallel()

	t.Run("what waits is taken back, and what is queued later does not leave, though its sender can read the addresses", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, func(n int) int { return 503 })
		v.granted(1)
		v.recorded(domain.ChannelWebhook, 1)
		v.forget()
		if err := (reactors.Letters{Pool: v.pool}).TakeBack(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := v.pool.QueryRow(t.Context(), `SELECT count(*) FROM reactor_outbox`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d letters are on their way: %v", left, err)
		}
		v.granted(1)
		v.pass(time.Hour)
		v.emptied()
		if n := v.receiver.times(); n != 1 || len(v.postman.mails()) != 0 {
			t.Errorf("the receiver was asked %d times; mails %q", n, v.postman.mails())
		}
	})

	t.Run("what is just being sent is waited for", func(t *testing.T) {
		t.Parallel()
		arrived, hold := make(chan struct{}, 8), make(chan struct{})
		v := newTeller(t, func(int) int { arrived <- struct{}{}; <-hold; return 200 })
		v.share(v.item(), share.Terms{})
		<-arrived
		v.forget()
		back := make(chan error, 1)
		impatient, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := (reactors.Letters{Pool: v.pool}).TakeBack(impatient, "bob"); err == nil {
			t.Error("it did not wait")
		}
		go func() { back <- reactors.Letters{Pool: v.pool}.TakeBack(t.Context(), "bob") }()
		close(hold)
		if err := <-back; err != nil {
			t.Error(err)
		}
		if n := v.receiver.times(); n != 1 {
			t.Errorf("the receiver was asked %d times", n)
		}
		v.recorded(domain.ChannelWebhook, 1)
	})

	t.Run("a sender that was killed is waited for no longer than it could have sent", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.stop()
		v.exec(`INSERT INTO reactor_outbox (reactor, lane, position, person, notification, raised_at, due_at, leaving_until)
			VALUES ('mailing', 'bob', 1, 'bob', 'n', now(), now(), now() + interval '300 milliseconds')`)
		v.forget()
		if err := (reactors.Letters{Pool: v.pool}).TakeBack(t.Context(), "bob"); err != nil {
			t.Error(err)
		}
	})

	t.Run("others are told as before", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.by("root", eventstore.StreamOf(person.Category, domain.Derive("person", "carol").String()),
			person.ErasureRequested{Subject: "carol", By: "root", Ground: person.Closed})
		if err := (reactors.Letters{Pool: v.pool}).TakeBack(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		v.granted(1)
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 1)
		v.emptied()
		if mails := v.postman.mails(); len(v.receiver.took()) != 1 || len(mails) != 1 || !strings.HasPrefix(mails[0], "bob@") {
			t.Errorf("took %v, mails %q", v.receiver.took(), mails)
		}
	})
}
