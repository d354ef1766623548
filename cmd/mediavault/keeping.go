package main

import (
	"context"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/reactors"
)

// keeping are the reactors that keep the vault in order by the clock, and those that tell people.
func (a *app) keeping() ([]reactors.Reactor, error) {
	told := commands.NewNotifications(a.vault, nil)
	all := []reactors.Reactor{
		reactors.NewSharing(a.pool, commands.NewShares(a.vault), 0),
		reactors.NewSweeping(a.pool, a.media, a.blobs, a.log),
		reactors.NewSweepingObjects(a.pool, a.media, namings{a.models.objects}, a.cfg.SweepAge, a.log),
		reactors.NewErasure(a.pool, a.forgetting(), time.Now),
		reactors.Notifying{Notifications: told, Now: time.Now},
		reactors.NewWebhooks(a.pool, a.store, told, notify.NewWebhooks(0, a.cfg.WebhooksAny), time.Now),
	}
	smtp := a.cfg.SMTP
	if smtp.Host == "" {
		return all, nil
	}
	sender, err := notify.NewSMTP(notify.SMTPOptions{
		Host: smtp.Host, Port: smtp.Port, User: smtp.User, Password: smtp.Password, From: smtp.From, Security: smtp.Security,
	})
	if err != nil {
		return nil, err
	}
	return append(all, reactors.NewMailing(a.pool, told, sender, a.cfg.MailDigest, time.Now)), nil
}

// addresses notes the e-mail addresses that tokens name. It owns its goroutine; what comes faster than it can be noted is noted
// the next time.
type addresses struct {
	told   *commands.Notifications
	queue  chan claimed
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // guards known
	known map[domain.UserID]string
}

type claimed struct {
	person  domain.UserID
	address string
}

// maxKnown bounds what is remembered of what was noted; then it begins anew.
const maxKnown = 10_000

func newAddresses(told *commands.Notifications) *addresses {
	ctx, cancel := context.WithCancel(context.Background())
	n := &addresses{told: told, queue: make(chan claimed, 256), cancel: cancel, known: map[domain.UserID]string{}}
	n.wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-n.queue:
				within, done := context.WithTimeout(ctx, 5*time.Second)
				if n.told.LearnAddress(within, c.person, c.address) != nil {
					n.forget(c.person) // noted with a later request
				}
				done()
			}
		}
	})
	return n
}

// learn is told what a good token says; it does not block.
func (n *addresses) learn(person domain.UserID, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[person] == address {
		return
	}
	select {
	case n.queue <- claimed{person, address}:
		if len(n.known) >= maxKnown {
			clear(n.known)
		}
		n.known[person] = address
	default:
	}
}

// clear forgets everybody: somebody was forgotten.
func (n *addresses) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.known)
}

func (n *addresses) forget(person domain.UserID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.known, person)
}

// stop ends it and waits.
func (n *addresses) stop() {
	n.cancel()
	n.wg.Wait()
}

// learn notes what a token says, while the vault serves.
func (a *app) learn(person domain.UserID, address string) {
	if a.people != nil {
		a.people.learn(person, address)
	}
}
