// Package commands is what people ask for: it gathers the facts that a decision needs, lets the domain decide, and appends what
// was decided. It has no rules of its own, and knows neither HTTP nor SQL.
package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// The refusals of this package. Their codes never change.
var (
	ErrWrongRevision = domain.Refuse(domain.Stale, "wrong_revision", "the thing is at another revision than If-Match says")
	ErrKeyReused     = domain.Refuse(domain.Unprocessable, "idempotency_key_reused", "the idempotency key was used for another request")
	ErrKeyInvalid    = domain.Refuse(domain.Invalid, "invalid", "an idempotency key has 1 to 255 visible ASCII characters").On("Idempotency-Key")
	ErrBusy          = domain.Refuse(domain.Unavailable, "busy", "too many change this at once; ask again")
	ErrForgotten     = domain.Refuse(domain.Forbidden, "forgotten", "the person was forgotten: nothing can be said by him, or about him")
	ErrReason        = domain.Refuse(domain.Invalid, "invalid", "a reason has at most 500 characters").On("Vault-Reason")
)

// Receipt says where a command left its mark, or, when there was nothing to say, where the stream stood.
type Receipt struct {
	ID       string // of the thing: the stream's name after the category
	Stream   eventstore.Stream
	Revision eventstore.Revision
	Position eventstore.Position
	At       time.Time
	Repeated bool // the same command had left its mark before
	Silent   bool // there was nothing to say: what was asked for is so already
}

// Vault is what all commands share.
type Vault struct {
	Store  *eventstore.Store
	Now    func() time.Time
	NewID  func() uuid.UUID // version 7, for new things and commands
	Policy media.Policy
	// Index finds the shares through which an actor may see an item. What it answers is a hint that is checked against the
	// shares' streams; nil finds none.
	Index ShareIndex
	// Cases finds cases that wait, and all shares of an item. What it answers is a hint, as Index's is; nil finds none.
	Cases CaseIndex
	// FourEyes says that a removal needs a second moderator.
	FourEyes bool
	// Lease is how long a claim of a case lasts; 0: DefaultLease.
	Lease time.Duration
	// Timeout bounds what a command does with the store; 0: 30 s.
	Timeout time.Duration
	// Passwords hashes and compares the passwords of links; one for all commands, because it bounds what they cost together.
	Passwords *Passwords

	states *states
}

// ShareIndex finds shares; a read model implements it.
type ShareIndex interface {
	// SharesWith answers the shares of an item that name the actor or his organisation, in any state.
	SharesWith(ctx context.Context, item domain.MediaID, actor domain.Actor) ([]domain.ShareID, error)
}

// NewVault is a vault with the system's clock, random ids, the policy, and no index.
func NewVault(store *eventstore.Store, policy media.Policy) *Vault {
	return &Vault{Store: store, Now: time.Now, NewID: newID, Policy: policy, Passwords: NewPasswords(time.Now), states: newStates()}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// folded is a stream as it stands.
type folded[S any, E domain.Event] struct {
	state    S
	revision eventstore.Revision // of the last event; -1: there is none
	position eventstore.Position
	at       time.Time
	repeat   *Receipt  // of the command that was asked about, when it left its mark before
	same     bool      // the repeated command asked for the same
	said     []E       // what the repeated command said
	read     bool      // it was read to its end, and is no guess
	until    time.Time // when what is kept of it has to be read anew
}

// kept is the stream as it stood when it was last read or written here.
func kept[S any, E domain.Event](v *Vault, stream eventstore.Stream) (folded[S, E], bool) {
	k, ok := v.states.get(stream, v.Now())
	if !ok {
		return folded[S, E]{}, false
	}
	state, ok := k.state.(S)
	return folded[S, E]{state: state, revision: k.revision, position: k.position, at: k.at, until: k.until}, ok
}

// outcome is what became of a command: its receipt, what it said (now, or when it was first asked), and the state after it.
type outcome[S any, E domain.Event] struct {
	Receipt
	said  []E
	state S
}

// fold reads a stream. With a meta it looks for the events of that command on the way, if they can be there: only a command
// with an idempotency key can have left its mark before.
func fold[S any, E domain.Event](ctx context.Context, v *Vault, stream eventstore.Stream, evolve func(S, E) S, meta *eventstore.Metadata) (_ folded[S, E], err error) {
	ctx, cancel := v.within(ctx)
	defer cancel()
	defer func() { err = slow(ctx, err) }()
	f := folded[S, E]{revision: -1, until: v.Now().Add(statesFor)}
	if meta == nil || meta.Fingerprint == "" {
		if k, ok := kept[S, E](v, stream); ok {
			f = k
		}
	}
	found := 0
	for rec, err := range v.Store.Stream(ctx, stream, f.revision+1) {
		if err != nil {
			return folded[S, E]{}, fmt.Errorf("read %s: %w", stream, err)
		}
		event, err := eventOf[E](stream, rec)
		if err != nil {
			return folded[S, E]{}, err
		}
		f.state = evolve(f.state, event)
		f.revision, f.position, f.at = rec.Revision, rec.Position, rec.At
		if meta != nil && rec.ID == meta.EventID(found) {
			found++
			f.repeat = &Receipt{ID: stream.ID(), Stream: stream, Revision: rec.Revision, Position: rec.Position, At: rec.At, Repeated: true}
			f.same = rec.Metadata.Fingerprint == meta.Fingerprint
			f.said = append(f.said, event)
		}
	}
	if f.revision >= 0 {
		v.states.put(stream, keptState{state: f.state, revision: f.revision, position: f.position, at: f.at, until: f.until})
	}
	return f, nil
}

// original answers what the same command came to, when it left its mark before.
func (f folded[S, E]) original() (outcome[S, E], bool, error) {
	switch {
	case f.repeat == nil:
		return outcome[S, E]{}, false, nil
	case !f.same:
		return outcome[S, E]{}, false, ErrKeyReused
	default:
		return outcome[S, E]{Receipt: *f.repeat, said: f.said, state: f.state}, true, nil
	}
}

// attempts bounds how often a command is decided again because somebody else was faster. Each conflict is somebody's success.
const attempts = 100

// decideTime bounds reading, deciding and appending where Vault.Timeout does not.
const decideTime = 30 * time.Second

// errSlow is a store that took all the time that a command has.
var errSlow = fmt.Errorf("%w: it took all the time that a command has", eventstore.ErrUnavailable)

// within bounds what a command does with the store, however often somebody was faster. A request that streams has no deadline of its
// own, and a database that stands still gives none.
func (v *Vault) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, cmp.Or(v.Timeout, decideTime), errSlow)
}

// slow tells a store that was too slow from a caller who has left, or who had less time: the one is nobody's fault but the store's.
func slow(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errSlow) {
		return errors.Join(errSlow, err)
	}
	return err
}

// decide is the one way in which anything is written: fold the stream, let the domain decide, append what it says expecting
// that nobody was faster, and decide again when somebody was.
func decide[S any, E domain.Event](ctx context.Context, v *Vault, env Envelope, op operation, stream eventstore.Stream,
	evolve func(S, E) S, decision func(S) ([]E, error),
) (_ outcome[S, E], err error) {
	none := outcome[S, E]{}
	ctx, cancel := v.within(ctx)
	defer cancel()
	defer func() { err = slow(ctx, err) }()
	started := env.Started
	if started.IsZero() {
		started = v.Now()
	}
	meta, err := v.metadata(env, op)
	if err != nil {
		return none, err
	}
	for attempt := range attempts {
		if err := pause(ctx, attempt); err != nil {
			return none, err
		}
		f, events, err := consider(ctx, v, stream, evolve, decision, &meta, attempt == 0 && env.IdempotencyKey == "" && env.IfMatch == nil)
		if before, ok, err := f.original(); ok || err != nil {
			return before, err
		}
		if f.read && env.IfMatch != nil && *env.IfMatch != f.revision && !hides(err) {
			return none, wrongRevision(f.revision)
		}
		if err != nil {
			return none, err
		}
		if len(events) == 0 {
			silent := Receipt{ID: stream.ID(), Stream: stream, Revision: f.revision, Position: f.position, At: f.at, Silent: true}
			return outcome[S, E]{Receipt: silent, state: f.state}, nil
		}
		meta.Took = max(0, v.Now().Sub(started))
		facts := make([]domain.Event, len(events))
		state := f.state
		for i, e := range events {
			facts[i] = e
			state = evolve(state, e)
		}
		got, err := v.Store.Append(ctx, stream, eventstore.Expected(f.revision), meta, facts...)
		if errors.Is(err, domain.ErrForgotten) {
			state = f.state
			for i, e := range events {
				events[i] = withoutOthers(e, meta.Actor.ID)
				facts[i], state = events[i], evolve(state, events[i])
			}
			got, err = v.Store.Append(ctx, stream, eventstore.Expected(f.revision), meta, facts...)
		}
		switch {
		case errors.Is(err, eventstore.ErrConflict) && env.IfMatch != nil:
			if now := (*eventstore.ConflictError)(nil); errors.As(err, &now) {
				return none, wrongRevision(now.Actual)
			}
			return none, ErrWrongRevision
		case errors.Is(err, eventstore.ErrConflict):
			continue
		case errors.Is(err, eventstore.ErrIDReused):
			return none, ErrKeyReused
		case errors.Is(err, domain.ErrForgotten):
			return none, ErrForgotten
		case err != nil:
			return none, fmt.Errorf("append to %s: %w", stream, err)
		case got.Repeated:
			continue // somebody with the same key was faster; the fold will find his receipt and compare what he asked
		}
		v.states.put(stream, keptState{state: state, revision: got.Revision, position: got.Position, at: got.At, until: f.until})
		receipt := Receipt{ID: stream.ID(), Stream: stream, Revision: got.Revision, Position: got.Position, At: got.At}
		return outcome[S, E]{Receipt: receipt, said: events, state: state}, nil
	}
	return none, ErrBusy
}

// wrongRevision is ErrWrongRevision with the revision that the thing is at, to those who may know of the thing.
func wrongRevision(now eventstore.Revision) *domain.Refusal {
	if now < 0 {
		return ErrWrongRevision // there is nothing yet
	}
	return ErrWrongRevision.On("If-Match").Because(fmt.Sprintf(`the thing is at revision "%d", not at the one that If-Match says`, now))
}

// consider answers a stream as it stands and what the domain says to it. When it may guess, it asks the domain about the state
// that is kept, without reading: what is said is appended expecting that state's revision, so that a guess that is behind is
// noticed. A refusal and a silence are not appended, and never rest on a guess.
func consider[S any, E domain.Event](ctx context.Context, v *Vault, stream eventstore.Stream, evolve func(S, E) S,
	decision func(S) ([]E, error), meta *eventstore.Metadata, mayGuess bool,
) (folded[S, E], []E, error) {
	if mayGuess {
		if f, ok := kept[S, E](v, stream); ok {
			if events, err := decision(f.state); err == nil && len(events) > 0 {
				return f, events, nil
			}
		}
	}
	f, err := fold(ctx, v, stream, evolve, meta)
	if err != nil || f.repeat != nil {
		return f, nil, err
	}
	f.read = true
	events, err := decision(f.state)
	return f, events, err
}

// hides reports whether the domain said that there is no such thing: to a stranger it does not exist at any revision, so that
// is said before a revision is compared. The same goes for what he may not do, and for faults.
func hides(err error) bool {
	if err == nil {
		return false
	}
	r, no := domain.AsRefusal(err)
	return !no || r.Kind == domain.NotFound || r.Kind == domain.Forbidden || r.Kind == domain.Unauthenticated
}

// pause waits a random moment before the next attempt, longer the more there were, so that many who collide come apart.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	limit := min(20*time.Millisecond, time.Millisecond<<min(attempt-1, 10))
	timer := time.NewTimer(rand.N(limit)) //nolint:gosec // spreads load, keeps no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
