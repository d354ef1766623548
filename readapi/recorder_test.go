package readapi_test

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/readapi"
)

// recorder decides with the domain alone, on the streams as they are.
type recorder struct {
	store *eventstore.Store

	mu      sync.Mutex // guards what follows
	broken  error      // answered instead of recording
	served  []readapi.Serving
	refused []readapi.Refusal
}

func (r *recorder) Check(ctx context.Context, s readapi.Serving) error {
	_, err := r.decide(ctx, s)
	return err
}

// ticket is what goes on with any open through a share with a limit.
const ticket = "0.secret"

func (r *recorder) Serve(ctx context.Context, s readapi.Serving) (given string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return "", r.broken
	}
	events, err := r.decide(ctx, s)
	if err != nil {
		return "", err
	}
	if e, ok := events[0].(access.Served); ok && e.Opener != "" {
		given = ticket
	}
	meta := eventstore.Metadata{Command: uuid.New(), Actor: s.Caller.Actor, Correlation: s.Caller.Correlation}
	id := string(s.Media)
	if s.Share != "" {
		id = string(s.Share)
	}
	if _, err := r.store.Append(ctx, eventstore.StreamOf(access.Category, id), eventstore.Any, meta, events...); err != nil {
		return "", err
	}
	r.served = append(r.served, s)
	return given, nil
}

func (r *recorder) Refused(_ context.Context, f readapi.Refusal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, f)
	return nil
}

func (r *recorder) decide(ctx context.Context, s readapi.Serving) ([]domain.Event, error) {
	item, err := folded(ctx, r.store, eventstore.StreamOf(media.Category, s.Media), media.Evolve)
	if err != nil {
		return nil, err
	}
	cmd := access.Serve{
		Media: s.Media, Version: s.Version, What: s.What, Via: access.Via(s.Via), Share: s.Share, From: s.From, Bytes: s.Bytes,
		Found: item.Known() || item.Phase == media.Gone, Delivery: item.Delivery(s.Version), Restricted: item.Hold() == media.IsRestricted,
	}
	var opens access.State
	if s.Share != "" {
		given, err := folded(ctx, r.store, eventstore.StreamOf(share.Category, s.Share), share.Evolve)
		if err != nil {
			return nil, err
		}
		if opens, err = folded(ctx, r.store, eventstore.StreamOf(access.Category, s.Share), access.Evolve); err != nil {
			return nil, err
		}
		use := share.Use{Media: s.Media, Viewer: s.Caller.Actor, Permission: share.View, At: time.Now(), Password: share.PasswordMissing}
		if s.What == access.Download {
			use.Permission = share.Download
		}
		if s.Token != "" {
			use.Token = digest([]byte(s.Token))
		}
		if s.Password != "" {
			use.Password = share.PasswordWrong
			if s.Password == given.Terms.PasswordHash {
				use.Password = share.PasswordRight
			}
		}
		cmd.Right, cmd.MaxOpens, cmd.Opener = use.Check(given), given.Terms.MaxOpens, digest([]byte(ticket))
		if s.Ticket == ticket && (s.Part || s.Bytes == 0) {
			cmd.MaxOpens = 0
		}
	}
	events, err := cmd.Decide(opens)
	said := make([]domain.Event, len(events))
	for i, e := range events {
		said[i] = e
	}
	return said, err
}

func folded[S any, E domain.Event](ctx context.Context, store *eventstore.Store, stream eventstore.Stream, evolve func(S, E) S) (S, error) {
	var s S
	for rec, err := range store.Stream(ctx, stream, 0) {
		if err != nil {
			return s, err
		}
		s = evolve(s, rec.Event.(E)) //nolint:errcheck,forcetypeassert // the stream's own events
	}
	return s, nil
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.refused)
}
