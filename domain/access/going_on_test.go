package access_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
)

func TestGoOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 6, 30, 0, 0, time.UTC)
	opened := access.Served{
		Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", Bytes: 100, Opener: "mine", Until: now.Add(access.GoesOnFor),
	}
	part := access.GoOn{
		Serve:  access.Serve{Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", From: 50, Bytes: 50, Found: true, MaxOpens: 1},
		Opened: opened, Opener: "mine", At: now,
	}
	served := access.Served{Media: "m1", Version: 2, What: access.Content, Via: access.ViaLink, Share: "s1", From: 50, Bytes: 50, Continued: true}

	t.Run("an open is recorded with what goes on with it, where there is a limit", func(t *testing.T) {
		t.Parallel()
		open := part.Serve
		open.From, open.Bytes, open.Opener, open.Until = 0, 100, "mine", opened.Until
		s := given(t).When(open.Decide).EachTime(opened)
		s.When(open.Decide).Refused(access.ErrExhausted)
		open.MaxOpens = 0
		free := opened
		free.Opener, free.Until = "", time.Time{}
		given(t).When(open.Decide).EachTime(free)
	})
	t.Run("parts are no opens, and there are only so many", func(t *testing.T) {
		t.Parallel()
		s := given(t)
		for range access.MostParts {
			s = s.When(part.Decide).EachTime(served)
		}
		if got := s.State(); got.Opens != 0 || got.Parts != access.MostParts {
			t.Errorf("got %+v", got)
		}
		s.When(part.Decide).Refused(access.ErrOver)
	})
	t.Run("nobody else goes on, nor later, nor with another thing, nor with what was no open", func(t *testing.T) {
		t.Parallel()
		held := domain.Refuse(domain.Gone, "share_revoked", "revoked")
		for name, c := range map[string]struct {
			want   *domain.Refusal
			change func(*access.GoOn)
		}{
			"another":            {access.ErrOver, func(c *access.GoOn) { c.Opener = "his" }},
			"nothing shown":      {access.ErrOver, func(c *access.GoOn) { c.Opener, c.Opened.Opener = "", "" }},
			"too late":           {access.ErrOver, func(c *access.GoOn) { c.At = opened.Until }},
			"another item":       {access.ErrOver, func(c *access.GoOn) { c.Serve.Media = "m2" }},
			"another share":      {access.ErrOver, func(c *access.GoOn) { c.Serve.Share = "s2" }},
			"a part of a part":   {access.ErrOver, func(c *access.GoOn) { c.Opened.Continued = true }},
			"a preview":          {access.ErrOver, func(c *access.GoOn) { c.Opened.What = access.Thumbnail }},
			"revoked meanwhile":  {held, func(c *access.GoOn) { c.Serve.Right = held }},
			"taken away":         {held, func(c *access.GoOn) { c.Serve.Delivery = held }},
			"restricted":         {access.ErrRestricted, func(c *access.GoOn) { c.Serve.Restricted = true }},
			"no such item":       {access.ErrNotFound, func(c *access.GoOn) { c.Serve.Found = false }},
			"no right any more":  {access.ErrNotFound, func(c *access.GoOn) { c.Serve.Via = "" }},
			"what nobody serves": {access.ErrWhat, func(c *access.GoOn) { c.Serve.What = "all" }},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cmd := part
				c.change(&cmd)
				given(t).When(cmd.Decide).Refused(c.want)
			})
		}
	})
}
