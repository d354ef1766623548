package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/eventstore"
)

// open serves through a share with a limit, and counts it.
func (a *Access) open(ctx context.Context, env Envelope, s Serving, through domain.ShareID) (d Delivery, err error) {
	secret := newToken()
	got, err := decide(ctx, a.vault, env, operation{name: "access.serve"}, openings(through), access.Evolve, func(state access.State) ([]access.Event, error) {
		// The terms, the item and the rest may have changed while others were counted.
		var cmd access.Serve
		if cmd, d, err = a.facts(ctx, env, s); err != nil {
			return nil, err
		}
		cmd.Opener, cmd.Until = openerOf(Serving{Ticket: "." + secret, What: s.What, Object: s.Object}), a.vault.Now().Add(access.GoesOnFor)
		return cmd.Decide(state)
	})
	d.Receipt = got.Receipt
	if err == nil {
		d.Ticket = strconv.FormatInt(int64(got.Revision), 10) + "." + secret
	}
	return d, err
}

// goOn serves a part of what was opened. Errors: access.ErrOver, when there is no such open, or no longer.
func (a *Access) goOn(ctx context.Context, env Envelope, s Serving, cmd access.Serve) (d Delivery, err error) {
	opened, err := a.opened(ctx, s, cmd)
	if err != nil {
		return Delivery{}, err
	}
	if !opened.Opens() {
		return Delivery{}, access.ErrOver
	}
	number, _, _ := strings.Cut(s.Ticket, ".")
	parts := eventstore.StreamOf(access.Category, string(cmd.Share)+"-"+number)
	got, err := decide(ctx, a.vault, env, operation{name: "access.go_on"}, parts, access.Evolve, func(state access.State) ([]access.Event, error) {
		var cmd access.Serve
		if cmd, d, err = a.facts(ctx, env, s); err != nil {
			return nil, err
		}
		return access.GoOn{Serve: cmd, Opened: opened, Opener: openerOf(s), At: a.vault.Now()}.Decide(state)
	})
	d.Receipt = got.Receipt
	return d, err
}

// opened is the open that the ticket names; the zero Served when it names none.
func (a *Access) opened(ctx context.Context, s Serving, cmd access.Serve) (access.Served, error) {
	text, _, ok := strings.Cut(s.Ticket, ".")
	number, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || number < 0 || strconv.FormatInt(number, 10) != text || cmd.Share == "" {
		return access.Served{}, nil
	}
	for rec, err := range a.vault.Store.Stream(ctx, openings(cmd.Share), eventstore.Revision(number)) {
		if err != nil {
			return access.Served{}, fmt.Errorf("read what was opened: %w", err)
		}
		served, _ := rec.Event.(access.Served)
		return served, nil
	}
	return access.Served{}, nil
}

// openerOf is the digest of what is shown to go on with an open, and of what is asked for: the bytes are the same, and asked for in the same way.
func openerOf(s Serving) domain.Digest {
	_, secret, _ := strings.Cut(s.Ticket, ".")
	if secret == "" {
		return ""
	}
	return domain.DigestOf(strings.Join([]string{secret, s.What, string(s.Object)}, "\n"))
}
