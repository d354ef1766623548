package reactors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
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
	m.outbox = newOutbox(pool, m.Name())
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
	state, err := m.notifications.Find(ctx, e.Notification)
	if err != nil {
		return err
	}
	if _, over := state.Over(domain.ChannelEmail, "", 0); over {
		return nil // the reactor was here before, and its checkpoint was lost
	}
	person, err := m.notifications.Recipient(ctx, e.To)
	if err != nil {
		return err
	}
	if not, suppressed := suppressedMail(person, e.About.Topic); suppressed {
		_, err = m.notifications.Tell(ctx, because(m, rec), e.Notification, not)
		return err
	}
	return m.outbox.put(ctx, letterOf(rec, e, string(e.To)), m.now().Add(m.window))
}

// suppressedMail reports whether the person gets no mail about the topic, and why.
func suppressedMail(person recipient.State, topic domain.Topic) (notification.Tell, bool) {
	not := notification.Tell{Channel: domain.ChannelEmail, Outcome: notification.Suppressed}
	switch {
	case !person.Wants(domain.ChannelEmail, topic):
		return not, true
	case person.Address().Text() == "":
		not.Code = "no_address"
		return not, true
	default:
		return notification.Tell{}, false
	}
}

const (
	digestMax  = 50               // notifications that one mail holds at most
	mailAtMost = 40 * time.Second // for one mail: a little more than one attempt of adapters/notify
)

// mailsAbreast is few: they all go to one server.
func mailsAbreast() abreast { return abreast{well: 4, ill: 2} }

// Due implements Clocked.
func (m *Mailing) Due(ctx context.Context, _ time.Time) error {
	return m.outbox.each(ctx, m.now, mailsAbreast(), m.send)
}

// send puts what waits for one person into one mail. What he said meanwhile about how he wants to be told counts.
func (m *Mailing) send(ctx context.Context, lane string) error {
	letters, digest, err := m.outbox.together(ctx, lane, digestMax)
	if err != nil || len(letters) == 0 {
		return err
	}
	person, err := m.notifications.Recipient(ctx, letters[0].person)
	if err != nil {
		return err
	}
	told := notification.Tell{Channel: domain.ChannelEmail, Digest: digest}
	sent := false // before: the process was killed while it was recording that
	var lines []string
	var about []letter
	for _, l := range letters {
		state, err := m.notifications.Find(ctx, l.notification)
		if err != nil {
			return err
		}
		over, isOver := state.Over(domain.ChannelEmail, "", 0)
		not, suppressed := suppressedMail(person, state.About.Topic)
		switch {
		case !state.Known(): // forgotten
		case isOver && over.Digest == digest:
			sent, told.Outcome, told.Code, told.Final = true, over.Outcome, over.Code, over.Final
		case isOver:
		case suppressed:
			if _, err := m.notifications.Tell(ctx, m.envelope(), l.notification, not); err != nil {
				return err
			}
		default:
			about, lines = append(about, l), append(lines, l.raised.UTC().Format(mailTime)+"  "+sentence(state.About))
		}
	}
	first := letters[0]
	if len(about) == 0 {
		return m.outbox.gone(ctx, letters...)
	}
	if !sent {
		failed, err := m.outbox.leave(ctx, first, m.notifications, mailAtMost, func(ctx context.Context) error {
			return m.mailer.Mail(ctx, person.Address().Text(), subjectOf(lines), textOf(lines), digest)
		})
		if errors.Is(err, errTakenBack) {
			return m.outbox.gone(ctx, first)
		}
		if err != nil {
			return err
		}
		told.Outcome, told.Code, told.Final = verdict(failed, first.attempts, mailWaits())
	}
	ctx, cancel := recording(ctx)
	defer cancel()
	for _, l := range about {
		if _, err := m.notifications.Tell(ctx, m.envelope(), l.notification, told); err != nil {
			return err
		}
	}
	if told.Outcome == notification.Delivered || told.Final {
		return m.outbox.gone(ctx, letters...)
	}
	return m.outbox.failed(ctx, first, after(m.now(), first.attempts, mailWaits()))
}

func (*Mailing) envelope() commands.Envelope { return commands.Envelope{Actor: domain.System()} }

const mailTime = "2006-01-02 15:04"

func subjectOf(lines []string) string {
	if len(lines) > 1 {
		return fmt.Sprintf("Media Vault: %d notifications", len(lines))
	}
	return "Media Vault: " + lines[0][len(mailTime+"  "):]
}

func textOf(lines []string) string {
	return strings.Join(lines, "\n") + "\n\n-- \nTimes are UTC. How you are told is yours to say: PUT /v1/notifications/preferences.\n"
}
