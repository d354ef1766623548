package commands

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/parked"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Parked are the events of one key that were set aside because one of them could not be processed.
type Parked struct {
	ID       string // follows from source, name and key
	What     parked.What
	Type     string // of the event that could not be processed; empty where it is not known
	Reason   string // why, for operators; it may hold personal text
	At       time.Time
	Events   int  // with those that wait behind it
	Retrying bool // it was asked for, and is being done
}

// ParkedID is the id of a parked key.
func ParkedID(source parked.Source, name, key string) string {
	return domain.Derive("parked", string(source), name, key).String()
}

// ParkedDesk knows what is parked, and carries out what is said about it.
type ParkedDesk interface {
	Parked(ctx context.Context) ([]Parked, error)
	Retry(ctx context.Context, p Parked) error
	Drop(ctx context.Context, p Parked) error
}

// Operations is what admins ask for about the vault itself.
type Operations struct {
	vault *Vault
	desk  ParkedDesk
}

// NewOperations makes the commands about the vault itself.
func NewOperations(vault *Vault, desk ParkedDesk) *Operations {
	return &Operations{vault: vault, desk: desk}
}

// Retry has the events of a parked key processed again, in their order. The record comes first: what was asked is known also when
// carrying it out fails.
func (o *Operations) Retry(ctx context.Context, env Envelope, id string) (Receipt, error) {
	p, err := o.find(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := o.record(ctx, env, "parked.retry", id, parked.Retry{What: p.What}.Decide)
	if err != nil {
		return receipt, err
	}
	return receipt, o.desk.Retry(ctx, p)
}

// Drop goes on without the event of a parked key that could not be processed; those behind it are processed. The envelope has to
// say why.
func (o *Operations) Drop(ctx context.Context, env Envelope, id string) (Receipt, error) {
	p, err := o.find(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := o.record(ctx, env, "parked.drop", id, parked.Drop{What: p.What, Type: p.Type, Reason: env.Reason}.Decide)
	if err != nil {
		return receipt, err
	}
	return receipt, o.desk.Drop(ctx, p)
}

func (o *Operations) record(ctx context.Context, env Envelope, name, id string, decision func(parked.State) ([]parked.Event, error)) (Receipt, error) {
	got, err := decide(ctx, o.vault, env, operation{name: name, thing: id}, eventstore.StreamOf(parked.Category, id), parked.Evolve, decision)
	return got.Receipt, err
}

func (o *Operations) find(ctx context.Context, id string) (Parked, error) {
	all, err := o.desk.Parked(ctx)
	if err != nil {
		return Parked{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return Parked{}, parked.ErrNotFound
}
