package eventstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// fastMetadata is the fast way for metadata, which every event has: written out, because reflection would take most of its time.
// Its texts are made ready to be opened. It answers the schema of the data.
func fastMetadata(o *opener, data []byte, m *Metadata) (schema int, ok bool) {
	in := fastInput{rest: data, opener: o}
	if schema, ok = in.metadata(m); !ok || len(in.rest) > 0 {
		*m = Metadata{}
		return 0, false
	}
	return schema, true
}

func (in *fastInput) metadata(m *Metadata) (schema int, ok bool) {
	if !in.take(`{"actor":`) || !in.actor(&m.Actor) ||
		in.take(`,"address":`) && !in.personal(&m.Address, true) ||
		in.take(`,"causation":`) && !in.uuid(&m.Causation) ||
		!in.take(`,"command":`) || !in.uuid(&m.Command) ||
		!in.take(`,"correlation":`) || !in.uuid(&m.Correlation) {
		return 0, false
	}
	if in.take(`,"fingerprint":`) {
		text, ok := in.text()
		if !ok {
			return 0, false
		}
		m.Fingerprint = string(text)
	}
	if in.take(`,"reason":`) && !in.personal(&m.Reason, true) {
		return 0, false
	}
	if in.take(`,"schema":`) {
		n, ok := in.integer()
		if schema = int(n); !ok || int64(schema) != n {
			return 0, false
		}
	}
	if in.take(`,"took":`) {
		n, ok := in.integer()
		if !ok {
			return 0, false
		}
		m.Took = time.Duration(n)
	}
	if in.take(`,"user_agent":`) && !in.personal(&m.UserAgent, true) {
		return 0, false
	}
	return schema, in.take("}")
}

func (in *fastInput) actor(a *domain.Actor) bool {
	if !in.take(`{"id":`) {
		return false
	}
	id, ok := in.text()
	if !ok {
		return false
	}
	a.ID = in.named(id).id
	if in.take(`,"org":`) {
		org, ok := in.text()
		if !ok {
			return false
		}
		a.Org = domain.OrgID(in.name(org))
	}
	return (!in.take(`,"roles":`) || in.actorRoles(a)) && in.take("}")
}

// knownRoles are roles as they were read from their stored form.
type knownRoles struct {
	stored string
	roles  []domain.Role
}

// actorRoles takes a list of roles. The same lists come again and again, and events share them.
func (in *fastInput) actorRoles(a *domain.Actor) bool {
	for i := range in.roles {
		if known := &in.roles[i]; known.stored != "" && in.take(known.stored) {
			a.Roles = known.roles
			return true
		}
	}
	start := in.rest
	if !in.take("[") {
		return false
	}
	for !in.take("]") {
		if len(a.Roles) > 0 && !in.take(",") {
			return false
		}
		role, ok := in.text()
		if !ok {
			return false
		}
		a.Roles = append(a.Roles, domain.Role(role))
	}
	if len(a.Roles) == 0 {
		return false
	}
	a.Roles = a.Roles[:len(a.Roles):len(a.Roles)]
	copy(in.roles[1:], in.roles[:])
	in.roles[0] = knownRoles{stored: string(start[:len(start)-len(in.rest)]), roles: a.Roles}
	return true
}

func (in *fastInput) uuid(id *uuid.UUID) bool {
	const length = 36
	if len(in.rest) < length+2 || in.rest[0] != '"' || in.rest[length+1] != '"' {
		return false
	}
	parsed, err := uuid.ParseBytes(in.rest[1 : length+1])
	if err != nil {
		return false
	}
	*id = parsed
	in.rest = in.rest[length+2:]
	return true
}
