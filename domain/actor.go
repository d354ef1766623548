package domain

import "slices"

// Role is what a person or program may do in general; it comes from the identity provider's token.
type Role string

// The roles, from the owner's list. System is the vault itself, acting through its reactors; no token carries it.
const (
	RoleGuest        Role = "guest"
	RoleUser         Role = "user"
	RolePartner      Role = "partner"
	RolePartnerAdmin Role = "partner_admin"
	RoleModerator    Role = "moderator"
	RoleAuditor      Role = "auditor"
	RoleAnalyst      Role = "analyst"
	RoleAdmin        Role = "admin"
	RoleSystem       Role = "system"
)

// Actor is who acts. On the read side the same value is called the viewer: who reads.
type Actor struct {
	ID    UserID `json:"id"`
	Org   OrgID  `json:"org,omitempty"`
	Roles []Role `json:"roles,omitempty"`
}

// System is the vault itself.
func System() Actor { return Actor{ID: "system", Roles: []Role{RoleSystem}} }

// Is reports whether the actor has one of the roles.
func (a Actor) Is(roles ...Role) bool {
	return slices.ContainsFunc(a.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// Known reports whether the actor was identified; a guest without a token is not.
func (a Actor) Known() bool { return a.ID != "" }

// MemberOf reports whether the actor belongs to the organisation as a partner.
func (a Actor) MemberOf(org OrgID) bool {
	return org != "" && a.Org == org && a.Is(RolePartner, RolePartnerAdmin)
}
