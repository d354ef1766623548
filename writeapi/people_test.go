package writeapi

import (
	"context"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// subjects are keys in memory as forgetting people needs them.
type subjects struct{ *storetest.MemoryKeys }

// Known implements commands.SubjectKeys.
func (k subjects) Known(ctx context.Context, id domain.UserID) (bool, error) {
	found, err := k.Subject(ctx, id, nil)
	return err == nil && (found.Has(nil) || found.Destroyed()), err
}

// Life implements commands.SubjectKeys.
func (subjects) Life() time.Duration { return 0 }

// erasureLife has somebody forgotten, as an admin.
func erasureLife(t *testing.T, v *vault) {
	t.Helper()
	item := v.upload("fay", "secret of fay")
	admin := []string{"Authorization", "Bearer " + v.token("root", domain.RoleAdmin)}
	const path = "/v1/people/fay/erasure"
	ask := func(path string, body any, more ...string) reply {
		t.Helper()
		return v.do("", "POST", path, body, append(admin[:2:2], more...)...)
	}
	before := len(v.events())
	v.want(v.do("fay", "POST", path, `{"reason":"objected"}`), 403, "role_not_allowed")
	v.want(ask(path, `{"reason":"Fay Miller asked by letter"}`), 400, "invalid")
	v.want(ask(path, `{"reason":"objected"}`, "Vault-Reason", "Fay Miller asked"), 400, "invalid")
	v.want(ask("/v1/people/nobody-we-know/erasure", `{"reason":"objected"}`), 404, "person_unknown")
	for _, nobody := range []string{"system", "anonymous"} {
		v.want(ask("/v1/people/"+nobody+"/erasure", `{"reason":"objected"}`), 400, "invalid")
	}
	first := v.want(ask(path, `{"reason":"objected"}`), 202, "")
	again := v.want(ask(path, `{"reason":"child"}`), 202, "")
	if first.id() != again.id() || first.header.Get("Vault-Position") != again.header.Get("Vault-Position") {
		t.Errorf("asked twice: %s and %s", first.raw, again.raw)
	}
	asked := 0
	for _, rec := range v.events()[before:] {
		if e, ok := rec.Event.(person.ErasureRequested); ok {
			asked++
			if e.Subject != "fay" || e.By != "root" || e.Ground != person.Objected || !rec.Metadata.Reason.IsZero() {
				t.Errorf("recorded: %+v", rec)
			}
		}
	}
	if asked != 1 {
		t.Errorf("it was recorded %d times", asked)
	}
	// Whoever is forgotten says nothing more, and gets told so.
	v.want(v.do("fay", "PATCH", "/v1/media/"+item, `{"title":"I am still here"}`), 403, "forgotten")
	objects := v.objects()
	v.want(v.do("fay", "POST", "/v1/media", picture("late"), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=late.png"), 403, "forgotten")
	if n := v.objects() - objects; n != 0 {
		t.Errorf("%d objects are left of an upload that came to nothing", n)
	}
}

func TestErasure(t *testing.T) {
	t.Parallel()
	erasureLife(t, newVault(t, nil))
}
