package reactors

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Mailer sends one mail once. id names the mail, the same however often it is sent.
type Mailer interface {
	Mail(ctx context.Context, to, subject, text, id string) error
}

// Mailing sends people's notifications by e-mail: what comes for one person within a window goes in one mail.
type Mailing struct {
	notifications *commands.Notifications
	mailer        Mailer
	outbox        outbox
	window        time.Duration
	now           func() time.Time
}

// NewMailing makes the reactor. window is how long the first notification waits for others.
func NewMailing(pool *pgxpool.Pool, n *commands.Notifications, mailer Mailer, window time.Duration, now func() time.Time) *Mailing {
	m := &Mailing{notifications: n, mailer: mailer, window: window, now: now}
	m.outbox = outbox{pool: pool, reactor: m.Name()}
	return m
}

// mailWaits are the times between attempts: more than half a day together.
func mailWaits() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
}

// Name implements Reactor.
func (*Mailing) Name() string { return "mailing" }

// Types implements Reactor.
func (*Mailing) Types() []string { return []string{notification.Sent{}.EventType()} }

// Tuning implements Tuned: a mail server may take its time.
func (*Mailing) Tuning() Tuning { return Tuning{Timeout: 5 * time.Minute} }

// React implements Reactor.
func (m *Mailing) React(ctx context.Context, rec eventstore.Recorded) error {
	e, ok := rec.Event.(notification.Sent)
	if !ok || e.Channel != domain.ChannelInApp {
		return nil
	}
	person, err := m.notifications.Recipient(ctx, e.To)
	if err != nil {
		return err
	}
	not := notification.Tell{Channel: domain.ChannelEmail, Outcome: notification.Suppressed}
	switch {
	case !person.Wants(domain.ChannelEmail, e.About.Topic):
	case person.Address().Text() == "":
		not.Code = "no_address"
	default:
		return m.outbox.put(ctx, letterOf(rec, e, string(e.To)), m.now().Add(m.window), false)
	}
	_, err = m.notifications.Tell(ctx, because(m, rec), e.Notification, not)
	return err
}

// How many notifications one mail holds at most, and how many mails are sent at once.
const (
	digestMax = 50
	mailsAt   = 4
)

// Due implements Clocked.
func (m *Mailing) Due(ctx context.Context, now time.Time) error {
	lanes, err := m.outbox.lanes(ctx, now)
	if err != nil {
		return err
	}
	var group errgroup.Group // one person's fault is not the others'
	group.SetLimit(mailsAt)
	for _, lane := range lanes {
		group.Go(func() error { return recovered(func() error { return m.send(ctx, lane) }) })
	}
	return group.Wait()
}

// send puts what waits for one person into one mail.
func (m *Mailing) send(ctx context.Context, lane string) error {
	letters, err := m.outbox.of(ctx, lane, digestMax)
	if err != nil || len(letters) == 0 {
		return err
	}
	person, err := m.notifications.Recipient(ctx, letters[0].person)
	if err != nil {
		return err
	}
	address := person.Address().Text()
	var lines []string
	for _, l := range letters {
		state, err := m.notifications.Find(ctx, l.notification)
		if err != nil {
			return err
		}
		if state.Known() {
			lines = append(lines, l.raised.UTC().Format("2006-01-02 15:04")+"  "+sentence(state.About))
		}
	}
	if address == "" || len(lines) == 0 {
		return m.outbox.close(ctx, lane) // taken away meanwhile, or forgotten
	}
	subject := "Media Vault: " + lines[0][len("2006-01-02 15:04  "):]
	if len(lines) > 1 {
		subject = fmt.Sprintf("Media Vault: %d notifications", len(lines))
	}
	text := strings.Join(lines, "\n") + "\n\n-- \nTimes are UTC. How you are told is yours to say: PUT /v1/notifications/preferences.\n"
	first, last := letters[0], letters[len(letters)-1]
	digest := domain.Derive("digest", string(first.person), fmt.Sprint(first.position), fmt.Sprint(last.position)).String()
	failed := m.mailer.Mail(ctx, address, subject, text, digest)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	outcome, code, final := verdict(failed, first.attempts, mailWaits())
	for _, l := range letters {
		if _, err := m.notifications.Tell(ctx, commands.Envelope{Actor: domain.System()}, l.notification,
			notification.Tell{Channel: domain.ChannelEmail, Outcome: outcome, Code: code, Digest: digest, Final: final}); err != nil {
			return err
		}
	}
	if failed == nil || final {
		return m.outbox.gone(ctx, letters...)
	}
	return m.outbox.failed(ctx, first, after(m.now(), first.attempts, mailWaits()))
}
