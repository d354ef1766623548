package projections

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// vault is a log in memory, the read models that follow it in a real Postgres, and their queries. Its log's clock begins two
// days ago and goes one second per event, so that tests can ask about times before and after whatever they want to expire.
type vault struct {
	t      testing.TB
	store  *eventstore.Store
	log    *memory.Log
	keys   *storetest.MemoryKeys
	engine *Engine

	mu  sync.Mutex
	now time.Time // guarded by mu

	access  *Access
	shares  *Shares
	review  *Review
	audit   *Audit
	usage   *Usage
	history *History
}

func allModels() []Model {
	return []Model{
		Define(LibraryProjection()), Define(SharesProjection()), Define(AccessProjection()), Define(ReviewProjection()),
		Define(AuditProjection()), Define(UsageProjection()), Define(DuplicatesProjection()), Define(SuggestionsProjection()),
		Define(WebhooksProjection()),
	}
}

func newVault(t testing.TB) *vault {
	t.Helper()
	v := &vault{t: t, keys: storetest.Keys(), now: time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Second)}
	codec, err := eventstore.NewCodec(v.keys, catalog.Types())
	must(t, err)
	v.log = memory.NewWithClock(v.tick)
	v.store = eventstore.New(v.log, codec)
	pool := pgtest.New(t)
	v.engine, err = New(pool, v.store, Options{}, allModels()...)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the engine ended with: %v", err)
		}
	})
	must(t, v.engine.Prepare(ctx))
	v.access, err = NewAccess(v.engine, v.log)
	must(t, err)
	v.shares, err = NewShares(v.engine, v.log, v.access)
	must(t, err)
	v.review, err = NewReview(v.engine, v.keys, v.log)
	must(t, err)
	v.audit, err = NewAudit(v.engine, v.keys)
	must(t, err)
	v.usage, err = NewUsage(v.engine)
	must(t, err)
	v.history, err = NewHistory(v.engine, v.store, v.access)
	must(t, err)
	return v
}

func (v *vault) tick() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(time.Second)
	return v.now
}

func (v *vault) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// by appends events as the actor and answers the position of the last one.
func (v *vault) by(actor domain.Actor, stream eventstore.Stream, events ...domain.Event) eventstore.Position {
	v.t.Helper()
	meta := eventstore.Metadata{
		Command: uuid.New(), Actor: actor, Correlation: uuid.New(), Took: 1500 * time.Microsecond,
		Address: domain.NewPersonal(actor.ID, "192.0.2.7"), UserAgent: domain.NewPersonal(actor.ID, "curl/8"),
		Reason: domain.NewPersonal(actor.ID, "because "+string(actor.ID)),
	}
	receipt, err := v.store.Append(context.Background(), stream, eventstore.Any, meta, events...)
	must(v.t, err)
	return receipt.Position
}

// settle waits until every read model holds everything.
func (v *vault) settle() {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	head, err := v.store.Head(ctx)
	must(v.t, err)
	for _, name := range v.engine.Names() {
		for {
			err := v.engine.WaitFor(ctx, name, head)
			if r, ok := domain.AsRefusal(err); ok && r.Code == ErrNotYet.Code && ctx.Err() == nil {
				continue // the machine is busy
			}
			must(v.t, err)
			break
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The people of the tests.
var (
	alice     = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	bob       = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	carol     = domain.Actor{ID: "carol", Roles: []domain.Role{domain.RoleUser}}
	mallory   = domain.Actor{ID: "mallory", Roles: []domain.Role{domain.RoleUser}}
	partner   = domain.Actor{ID: "pam", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
	chief     = domain.Actor{ID: "chief", Org: "acme", Roles: []domain.Role{domain.RolePartner, domain.RolePartnerAdmin}}
	moderator = domain.Actor{ID: "mod", Roles: []domain.Role{domain.RoleModerator}}
	judge     = domain.Actor{ID: "judge", Roles: []domain.Role{domain.RoleModerator}}
	auditor   = domain.Actor{ID: "audrey", Roles: []domain.Role{domain.RoleAuditor}}
	analyst   = domain.Actor{ID: "ann", Roles: []domain.Role{domain.RoleAnalyst}}
	admin     = domain.Actor{ID: "root", Roles: []domain.Role{domain.RoleAdmin}}
	guest     = domain.Actor{Roles: []domain.Role{domain.RoleGuest}}
)

func newMedia() domain.MediaID { return domain.MediaID(uuid.NewString()) }
func newShare() domain.ShareID { return domain.ShareID(uuid.NewString()) }
func newCase() domain.CaseID   { return domain.CaseID(uuid.NewString()) }

func mediaStream(id domain.MediaID) eventstore.Stream { return eventstore.StreamOf(media.Category, id) }
func shareStream(id domain.ShareID) eventstore.Stream { return eventstore.StreamOf(share.Category, id) }
func caseStream(id domain.CaseID) eventstore.Stream {
	return eventstore.StreamOf(moderation.Category, id)
}
func accessStream[ID ~string](id ID) eventstore.Stream {
	return eventstore.StreamOf(access.Category, id)
}

func uploaded(id domain.MediaID, owner domain.Actor, size int64) media.Uploaded {
	return media.Uploaded{
		Media: id, Owner: owner.ID, Org: owner.Org, Title: domain.NewPersonal(owner.ID, "title of "+string(owner.ID)),
		File: file(owner, size),
	}
}

func file(owner domain.Actor, size int64) media.File {
	return media.File{Name: domain.NewPersonal(owner.ID, "photo.jpg"), Type: "image/jpeg", Size: size, SHA256: "00", Object: "o", Way: media.WayForm}
}

func clean(version int) media.Screened {
	return media.Screened{Version: version, Verdict: media.VerdictClean, Score: 90}
}

// item uploads a clean item.
func (v *vault) item(owner domain.Actor) domain.MediaID {
	v.t.Helper()
	id := newMedia()
	v.by(owner, mediaStream(id), uploaded(id, owner, 1000))
	v.by(domain.System(), mediaStream(id), clean(1))
	return id
}

// grant shares an item.
func (v *vault) grant(by domain.Actor, owner domain.Actor, id domain.MediaID, with share.Grantee, terms share.Terms, through domain.ShareID) domain.ShareID {
	v.t.Helper()
	s := newShare()
	v.by(by, shareStream(s), share.Granted{Share: s, Media: id, Owner: owner.ID, By: by.ID, With: with, Terms: terms, Through: through})
	return s
}

func withUser(a domain.Actor) share.Grantee {
	return share.Grantee{Kind: share.WithUser, User: a.ID}
}

func withOrg(o domain.OrgID) share.Grantee {
	return share.Grantee{Kind: share.WithOrganisation, Organisation: o}
}

func withLink(token domain.Digest) share.Grantee {
	return share.Grantee{Kind: share.WithLink, Token: token}
}

func allow(p ...share.Permission) share.Terms { return share.Terms{Permissions: p} }
