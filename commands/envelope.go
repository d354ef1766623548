package commands

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Envelope is what comes with every command: who asks, from where, why, and how often it may count.
type Envelope struct {
	Actor       domain.Actor
	Address     string // of the client; empty: not known
	UserAgent   string
	Reason      string // why, as the actor said it
	Correlation uuid.UUID
	Causation   uuid.UUID            // the event that this follows from; reactors set it
	IfMatch     *eventstore.Revision // nil: whatever revision
	// IdempotencyKey makes asking again harmless, for ever. It counts for one actor, one kind of command and one thing.
	IdempotencyKey string
	Started        time.Time // when the request began; zero: now
}

// maxReason bounds a reason, in characters.
const maxReason = 500

// unconditional is the envelope for what is done again whenever it is asked for, whatever revision the thing is at: what the vault
// does for itself on the way, and each access, which is one of its own.
func unconditional(env Envelope) Envelope {
	env.IdempotencyKey, env.IfMatch = "", nil
	return env
}

// operation is one command on its way: its name, the thing it concerns (empty for a thing that it creates), and what was
// asked, for the fingerprint.
type operation struct {
	name  string
	thing string
	asked any
}

// metadata is what is stored beside the events of the operation. With an idempotency key the command's id follows from it, so
// that the same again leaves the same event ids.
func (v *Vault) metadata(env Envelope, op operation) (eventstore.Metadata, error) {
	command := v.NewID()
	fingerprint := ""
	if env.IdempotencyKey != "" {
		if !validKey(env.IdempotencyKey) {
			return eventstore.Metadata{}, ErrKeyInvalid
		}
		command = domain.Derive("command", string(env.Actor.ID), op.name, op.thing, env.IdempotencyKey)
		var err error
		if fingerprint, err = fingerprintOf(env.IdempotencyKey, op); err != nil {
			return eventstore.Metadata{}, err
		}
	}
	if utf8.RuneCountInString(env.Reason) > maxReason {
		return eventstore.Metadata{}, ErrReason
	}
	subject := env.Actor.ID
	if subject == "" {
		subject = anonymous
	}
	correlation := env.Correlation
	if correlation == uuid.Nil {
		correlation = command
	}
	return eventstore.Metadata{
		Command: command, Fingerprint: fingerprint, Actor: env.Actor,
		Address:     domain.NewPersonal(subject, clip(env.Address, 100)),
		UserAgent:   domain.NewPersonal(subject, clip(env.UserAgent, 500)),
		Reason:      domain.NewPersonal(subject, env.Reason),
		Correlation: correlation, Causation: env.Causation,
	}, nil
}

// anonymous is the subject under whose key the addresses of unknown callers are sealed.
const anonymous domain.UserID = "anonymous"

// fingerprintOf is the fingerprint of what was asked. It is keyed by the idempotency key, which is stored nowhere, so that nobody can
// guess forgotten personal text from it.
func fingerprintOf(key string, op operation) (string, error) {
	asked, err := json.Marshal(op.asked)
	if err != nil {
		return "", fmt.Errorf("fingerprint of %s: %w", op.name, err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(op.name + "\x00" + op.thing + "\x00"))
	mac.Write(asked)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

func validKey(key string) bool {
	if len(key) > 255 {
		return false
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// newThing is the id of what the operation creates: new, or following from the idempotency key, so that the same again finds
// the same stream.
func (v *Vault) newThing(env Envelope, kind string) string {
	if env.IdempotencyKey == "" {
		return v.NewID().String()
	}
	return domain.Derive(kind, string(env.Actor.ID), env.IdempotencyKey).String()
}
