package commands

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/domain/access"
)

// Bounds of what guests can make the vault write.
const (
	refusalEvery = time.Minute // between two records of one address and code
	refusalRate  = 300         // records a minute, of all guests together
	refusalKeys  = 10_000      // addresses and codes that are counted apart
)

// refusals counts those of guests. A flood makes numbers grow, not the log.
type refusals struct {
	vault *Vault

	mu     sync.Mutex // guards all below
	counts map[refusalKey]*counted
	window time.Time // start of the minute
	budget int       // records that are left in it
}

// refusalKey is what is counted together. IPv6 addresses count by /64, which is what one guest has.
type refusalKey struct {
	address string
	code    string
	status  int
}

// counted are the refusals of one key since the last that was recorded.
type counted struct {
	count    int
	env      Envelope
	last     access.Refused
	recorded time.Time
}

func newRefusals(vault *Vault) *refusals {
	return &refusals{vault: vault, counts: map[refusalKey]*counted{}}
}

// add counts one, and records what was counted under its key when it is time to.
func (r *refusals) add(ctx context.Context, env Envelope, refused access.Refused) error {
	now := r.vault.Now()
	due, err := r.count(now, env, refused)
	if err != nil || due == nil {
		return err
	}
	return r.record(ctx, *due)
}

// count answers what is to be recorded now, or nil.
func (r *refusals) count(now time.Time, env Envelope, refused access.Refused) (*counted, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusalKey{address: network(env.Address), code: refused.Code, status: refused.Status}
	c := r.counts[key]
	if c == nil {
		if len(r.counts) >= refusalKeys {
			r.forget(now)
		}
		if len(r.counts) >= refusalKeys {
			key.address = "" // too many addresses to tell apart
			c = r.counts[key]
		}
	}
	if c == nil {
		c = &counted{}
		r.counts[key] = c
	}
	c.count++
	c.env, c.last = env, refused
	if now.Sub(c.recorded) < refusalEvery || !r.take(now) {
		return nil, nil //nolint:nilnil // nothing is due
	}
	return c.due(now), nil
}

// due takes what was counted out of the counter.
func (c *counted) due(now time.Time) *counted {
	d := *c
	if d.count > 1 {
		d.last.Count = d.count
	}
	c.count, c.recorded = 0, now
	return &d
}

// take takes one record out of the minute's budget.
func (r *refusals) take(now time.Time) bool {
	if now.Sub(r.window) >= time.Minute {
		r.window, r.budget = now, refusalRate
	}
	if r.budget <= 0 {
		return false
	}
	r.budget--
	return true
}

// forget drops keys under which nothing waits and for which a new record would be due.
func (r *refusals) forget(now time.Time) {
	for key, c := range r.counts {
		if c.count == 0 && now.Sub(c.recorded) >= refusalEvery {
			delete(r.counts, key)
		}
	}
}

// Flush records what waits under keys whose minute is over; call it from time to time.
func (a *Access) Flush(ctx context.Context) error { return a.refusals.flush(ctx, false) }

// flush records what waits: of all keys, or of those whose minute is over, within the budget.
func (r *refusals) flush(ctx context.Context, all bool) error {
	now := r.vault.Now()
	var due []*counted
	r.mu.Lock()
	for _, c := range r.counts {
		if c.count > 0 && (all || now.Sub(c.recorded) >= refusalEvery && r.take(now)) {
			due = append(due, c.due(now))
		}
	}
	r.forget(now)
	r.mu.Unlock()
	slices.SortFunc(due, func(a, b *counted) int { return b.last.Count - a.last.Count })
	if len(due) > refusalRate {
		// Only when everything is recorded at once: what is left over are the smallest counts, told as one.
		rest := due[refusalRate-1:]
		for _, c := range rest[1:] {
			rest[0].last.Count = max(1, rest[0].last.Count) + max(1, c.last.Count)
		}
		due = due[:refusalRate]
	}
	var errs []error
	for _, c := range due {
		errs = append(errs, r.record(ctx, *c))
	}
	return errors.Join(errs...)
}

func (r *refusals) record(ctx context.Context, c counted) error {
	_, err := r.vault.record(ctx, c.env, refusalStream(c.env, c.last), []access.Event{c.last})
	return err
}

// network is the address, or the /64 of an IPv6 one.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return clip(address, 50)
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}
