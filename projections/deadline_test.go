package projections

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain/share"
)

// endless notes the queries that could wait for ever.
type endless struct {
	mu  sync.Mutex // guards sql
	sql []string
}

// TraceQueryStart implements pgx.QueryTracer.
func (e *endless) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if _, bounded := ctx.Deadline(); !bounded {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.sql = append(e.sql, d.SQL)
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*endless) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (e *endless) noted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	noted := e.sql
	e.sql = nil
	return noted
}

// What streams - content, exports, events - has no deadline of its own, and asks the read models before it begins.
func TestNoQuestionWaitsForEverForADatabaseThatStandsStill(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id := v.item(alice)
	s := v.grant(alice, alice, id, withUser(bob), allow(share.View), "")
	link := v.grant(alice, alice, id, withLink(digest('7')), allow(share.View), "")
	v.settle()
	head, err := v.store.Head(t.Context())
	must(t, err)

	var traced endless
	config := v.engine.pool.Config().Copy()
	config.ConnConfig.Tracer = &traced
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	e, err := New(pool, v.store, Options{}, allModels()...)
	must(t, err)
	library, err := NewLibrary(e, v.log)
	must(t, err)
	access, err := NewAccess(e, v.log)
	must(t, err)
	shares, err := NewShares(e, v.log, access)
	must(t, err)
	audit, err := NewAudit(e, v.keys)
	must(t, err)
	history, err := NewHistory(e, v.store, access)
	must(t, err)
	for name, ask := range map[string]func(Moment) error{
		"an item": func(m Moment) error { return second(library.Item(t.Context(), alice, id, m)) },
		"a list":  func(m Moment) error { return second(library.Page(t.Context(), alice, MediaQuery{Text: "a"}, m)) },
		"a right": func(m Moment) error { return second(access.Right(t.Context(), bob, id, m)) },
		"a share": func(m Moment) error { return second(shares.Get(t.Context(), bob, s, m)) },
		"a link":  func(m Moment) error { return second(shares.ByToken(t.Context(), digest('7'), m)) },
		"a stream": func(m Moment) error {
			return second(history.Stream(t.Context(), alice, "share-"+string(link), 0, 0, m))
		},
		"all events":    func(m Moment) error { return second(history.Events(t.Context(), auditor, 0, HistoryFilter{}, 0, m)) },
		"how far it is": func(Moment) error { return second(e.Position(t.Context(), SharesName)) },
		"waiting":       func(Moment) error { return e.WaitFor(t.Context(), SharesName, head) },
		"an export": func(m Moment) error {
			entries, err := audit.Export(t.Context(), auditor, AuditQuery{From: time.Now().Add(-1000 * time.Hour)}, m)
			if err != nil {
				return err
			}
			for _, err := range entries {
				must(t, err)
			}
			return nil
		},
	} {
		for _, m := range []Moment{{}, AsOf(head)} {
			must(t, ask(m))
			if noted := traced.noted(); len(noted) > 0 {
				t.Errorf("%s has no deadline for %q", name, noted)
			}
		}
	}
}
