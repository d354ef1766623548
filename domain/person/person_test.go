package person_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/person"
)

var (
	requested = person.ErasureRequested{Subject: "alice", By: "root", Ground: person.Withdrawn}
	erased    = person.Erased{Subject: "alice", Kept: 1}
)

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	domaintest.Golden(t, person.Types, requested, erased)
}

func TestRequestErasure(t *testing.T) {
	t.Parallel()
	root := domain.Actor{ID: "root", Roles: []domain.Role{domain.RoleAdmin}}
	ask := person.RequestErasure{Subject: "alice", By: root, Ground: person.Withdrawn, Known: true}
	domaintest.Given(t, person.Evolve).When(ask.Decide).Then(requested)
	domaintest.Given(t, person.Evolve, person.Event(requested), person.Event(erased)).When(ask.Decide).Nothing()

	himself := ask
	himself.By = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	domaintest.Given(t, person.Evolve).When(himself.Decide).Refused(person.ErrForbidden)
	stranger := ask
	stranger.Known = false
	domaintest.Given(t, person.Evolve).When(stranger.Decide).Refused(person.ErrUnknown)
	groundless := ask
	groundless.Ground = "Alice Miller asked by letter"
	domaintest.Given(t, person.Evolve).When(groundless.Decide).Refused(person.ErrGround)
	for _, nobody := range []domain.UserID{"", "anonymous", "system"} {
		of := ask
		of.Subject = nobody
		domaintest.Given(t, person.Evolve).When(of.Decide).Refused(person.ErrNobody)
	}
}

func TestFinishErasure(t *testing.T) {
	t.Parallel()
	finish := person.FinishErasure{Kept: 1}
	domaintest.Given(t, person.Evolve, person.Event(requested)).When(finish.Decide).Then(erased)
	domaintest.Given(t, person.Evolve).When(finish.Decide).Refused(person.ErrNotAsked)
}
