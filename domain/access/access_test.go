package access_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/domaintest"
)

func given(t *testing.T, events ...access.Event) domaintest.Story[access.State, access.Event] {
	t.Helper()
	return domaintest.Given(t, access.Evolve, events...)
}

func TestServe(t *testing.T) {
	t.Parallel()
	serve := access.Serve{Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", From: 5, Bytes: 10, Found: true, MaxOpens: 2}
	served := access.Served{Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", From: 5, Bytes: 10}
	held := domain.Refuse(domain.Forbidden, "quarantined", "held")

	t.Run("each delivery is a fact of its own, until the share is exhausted", func(t *testing.T) {
		t.Parallel()
		s := given(t).When(serve.Decide).EachTime(served)
		s = s.When(serve.Decide).EachTime(served)
		s.When(serve.Decide).Refused(access.ErrExhausted)
		preview := serve
		preview.What = access.Thumbnail
		shown := served
		shown.What = access.Thumbnail
		s.When(preview.Decide).EachTime(shown)
	})
	t.Run("without a right the item does not exist, with one its state may be known", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			want   *domain.Refusal
			change func(*access.Serve)
		}{
			{access.ErrNotFound, func(c *access.Serve) { c.Found = false }},
			{access.ErrNotFound, func(c *access.Serve) { c.Via, c.Delivery = "", held }},
			{held, func(c *access.Serve) { c.Delivery = held }},
			{held, func(c *access.Serve) { c.Right = held }},
			{access.ErrRestricted, func(c *access.Serve) { c.Restricted = true }},
			{access.ErrRestricted, func(c *access.Serve) { c.Via, c.Restricted = access.ViaOrganisation, true }},
			{access.ErrWhat, func(c *access.Serve) { c.What = "everything" }},
			{held, func(c *access.Serve) { c.What, c.Delivery = access.View, held }},
		} {
			cmd := serve
			c.change(&cmd)
			given(t).When(cmd.Decide).Refused(c.want)
		}
	})
	t.Run("the owner sees what is said about an item that is held, and named shares go on when it is restricted", func(t *testing.T) {
		t.Parallel()
		own := serve
		own.Via, own.What, own.Delivery = access.ViaOwner, access.View, held
		seen := served
		seen.Via, seen.What = access.ViaOwner, access.View
		given(t).When(own.Decide).EachTime(seen)
		named := serve
		named.Via, named.Restricted = access.ViaShare, true
		given2 := served
		given2.Via = access.ViaShare
		given(t).When(named.Decide).EachTime(given2)
	})
	t.Run("what was refused is recorded, and opens nothing", func(t *testing.T) {
		t.Parallel()
		refused := access.Refused{Action: "GET /v1/media/{id}", Code: "not_found", Status: 404}
		s := given(t).When(access.Refuse{Refused: refused}.Decide).EachTime(refused)
		if s.State().Opens != 0 {
			t.Error("a refusal opened something")
		}
		given(t).When(access.Refuse{}.Decide).Nothing()
	})
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	domaintest.Golden(t, access.Types,
		access.Served{Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", From: 5, Bytes: 10},
		access.Served{
			Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", Bytes: 10, Continued: true,
			Opener: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Until: time.Date(2026, 5, 4, 10, 30, 0, 0, time.UTC),
		},
		access.Refused{
			Action: "GET /v1/media/{id}/content", Resource: "m1", Media: "m1", Share: "s1", Code: "share_expired", Status: 410, Count: 12,
		})
}
