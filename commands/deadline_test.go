package commands_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
)

// timed is a log that notes the calls which could wait for ever.
type timed struct {
	eventstore.Log
	mu      sync.Mutex // guards endless
	endless []string
}

func (l *timed) look(ctx context.Context, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded && !slices.Contains(l.endless, what) {
		l.endless = append(l.endless, what)
	}
}

func (l *timed) noted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	noted := l.endless
	l.endless = nil
	return noted
}

// Append implements eventstore.Log.
func (l *timed) Append(ctx context.Context, s eventstore.Stream, e eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	l.look(ctx, "append to "+string(s))
	return l.Log.Append(ctx, s, e, entries...)
}

// ReadStream implements eventstore.Log.
func (l *timed) ReadStream(ctx context.Context, s eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	l.look(ctx, "read "+string(s))
	return l.Log.ReadStream(ctx, s, r)
}

func TestADatabaseThatStandsStillKeepsNobodyWaitingForEver(t *testing.T) {
	t.Parallel()
	log := &timed{Log: memory.New()}
	v := newVaultOn(t, false, log)
	id := v.item(alice, media.VerdictClean)
	link := must(v.shares.Grant(t.Context(), by(alice), commands.Grant{Media: id, Link: true, MaxOpens: 3}))(t)
	log.noted() // what the test itself has asked
	for name, ask := range map[string]func() error{
		"an access":                 func() error { _, err := v.access.Serve(t.Context(), by(alice), content(id)); return err },
		"an access through a limit": func() error { _, err := v.access.Serve(t.Context(), by(guest), through(id, link)); return err },
		"a look whether one may":    func() error { _, err := v.access.Check(t.Context(), by(alice), content(id)); return err },
		"a refusal of somebody known": func() error {
			return v.access.Refused(t.Context(), by(bob), access.Refused{Action: "GET /", Code: "not_found"})
		},
		"a refusal of a guest": func() error {
			return v.access.Refused(t.Context(), by(guest), access.Refused{Action: "GET /", Code: "gone"})
		},
		"refusals that were counted": func() error { return v.access.Flush(t.Context()) },
		"a command":                  func() error { _, err := v.media.Describe(t.Context(), by(alice), id, title("Harbour")); return err },
	} {
		if err := ask(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if noted := log.noted(); len(noted) > 0 {
			t.Errorf("%s has no deadline to %v", name, noted)
		}
	}
}
