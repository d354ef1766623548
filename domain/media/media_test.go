package media_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/media"
)

var (
	alice   = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	bob     = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	pam     = domain.Actor{ID: "pam", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
	admin   = domain.Actor{ID: "root", Roles: []domain.Role{domain.RoleAdmin}}
	system  = domain.System()
	now     = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	policy  = media.DefaultPolicy()
	sha     = domain.Digest(strings.Repeat("a1", 32))
	shaTwo  = domain.Digest(strings.Repeat("b2", 32))
	anySize = media.Expected{Size: -1}
)

const photo = domain.MediaID("m1")

func given(t testing.TB, events ...media.Event) domaintest.Story[media.State, media.Event] {
	t.Helper()
	return domaintest.Given(t, media.Evolve, events...)
}

func personal(text string) domain.Personal { return domain.NewPersonal("alice", text) }

func file(name string) media.File {
	return media.File{Name: personal(name), Type: "image/jpeg", Size: 100, SHA256: sha, Object: "k1", Way: media.WayBody}
}

func second() media.File {
	f := file("b.jpg")
	f.SHA256, f.Object = shaTwo, "k2"
	return f
}

var (
	uploaded = media.Uploaded{Media: photo, Owner: "alice", Title: personal("a.jpg"), File: file("a.jpg")}
	added    = media.VersionAdded{Version: 2, File: second()}
	deleted  = media.Deleted{By: "alice"}
	purged   = media.Purged{By: "alice", Objects: []domain.ObjectKey{"k1"}}
)

func screened(version int, verdict media.Verdict) media.Screened {
	return media.Screened{Version: version, Verdict: verdict, Score: 90}
}

func upload(by domain.Actor) media.Upload {
	return media.Upload{Media: photo, By: by, File: file(" a.jpg "), Expected: anySize, At: now, Policy: policy}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	t.Run("bytes that are stored and accepted become an item, its name sanitised and its title that name", func(t *testing.T) {
		t.Parallel()
		given(t).When(upload(alice).Decide).Then(uploaded)
	})
	t.Run("what a partner uploads belongs to the organisation; a user's `org` claim alone gives it nothing", func(t *testing.T) {
		t.Parallel()
		given(t).When(upload(pam).Decide).Then(media.Uploaded{
			Media: photo, Owner: "pam", Org: "acme", Title: domain.NewPersonal("pam", "a.jpg"), File: func() media.File {
				f := file("a.jpg")
				f.Name = domain.NewPersonal("pam", "a.jpg")
				return f
			}(),
		})
		user := alice
		user.Org = "acme"
		given(t).When(upload(user).Decide).Then(uploaded)
	})
	t.Run("an item can be born described", func(t *testing.T) {
		t.Parallel()
		c := upload(alice)
		c.Title, c.Description, c.Tags = personal("T"), personal("D"), []domain.Personal{personal("Dawn")}
		born := uploaded
		born.Title = personal("T")
		given(t).When(c.Decide).Then(born, media.Described{Title: personal("T"), Description: personal("D"), Tags: []domain.Personal{personal("dawn")}})
	})
	t.Run("guests, auditors and nobody do not upload", func(t *testing.T) {
		t.Parallel()
		for _, by := range []domain.Actor{{}, {ID: "g", Roles: []domain.Role{domain.RoleGuest}}, {ID: "x", Roles: []domain.Role{domain.RoleAuditor}}} {
			given(t).When(upload(by).Decide).Refused(media.ErrMayNotUpload)
		}
	})
	t.Run("size, hash, emptiness, type and name are compared", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			want   *domain.Refusal
			change func(*media.Upload)
		}{
			{media.ErrSize, func(c *media.Upload) { c.Expected.Size = 101 }},
			{media.ErrSHA256, func(c *media.Upload) { c.Expected.SHA256 = shaTwo }},
			{media.ErrEmpty, func(c *media.Upload) { c.File.Size = 0 }},
			{media.ErrSize, func(c *media.Upload) { c.File.Size, c.Expected.Size = 0, 5 }},
			{media.ErrTooLarge, func(c *media.Upload) { c.File.Size = 5<<30 + 1 }},
			{media.ErrType, func(c *media.Upload) { c.File.Type = "text/html" }},
			{media.ErrType, func(c *media.Upload) { c.File.Declared = "image/png" }},
			{media.ErrName, func(c *media.Upload) { c.File.Name = personal("a.php.jpg") }},
			{domain.ErrInvalid, func(c *media.Upload) { c.Title = personal("a\x00b") }},
		} {
			cmd := upload(alice)
			c.change(&cmd)
			given(t).When(cmd.Decide).Refused(c.want)
		}
	})
	t.Run("another's id does not exist, and an item is not uploaded twice", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded).When(upload(bob).Decide).Refused(media.ErrNotFound)
		other := upload(alice)
		other.File = second()
		given(t, uploaded).When(other.Decide).Refused(media.ErrExists)
		given(t, uploaded, deleted).When(upload(alice).Decide).Refused(media.ErrDeleted)
		given(t, uploaded, deleted, purged).When(upload(alice).Decide).Refused(media.ErrPurged)
	})
}

func TestRequestedUpload(t *testing.T) {
	t.Parallel()
	request := media.RequestUpload{
		Media: photo, By: alice, Name: personal("a.jpg"), Declared: "image/jpeg; q=1", Size: 100, SHA256: sha, Object: "in", At: now, Policy: policy,
	}
	requested := media.UploadRequested{
		Media: photo, Owner: "alice", Name: personal("a.jpg"), Title: personal("a.jpg"), Declared: "image/jpeg", Size: 100, SHA256: sha,
		Object: "in", ExpiresAt: now.Add(time.Hour),
	}
	t.Run("an upload is announced once", func(t *testing.T) {
		t.Parallel()
		given(t).When(request.Decide).Then(requested)
		theirs := request
		theirs.By = bob
		given(t, requested).When(theirs.Decide).Refused(media.ErrNotFound)
	})
	t.Run("what will be refused anyway is refused at once", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			want   *domain.Refusal
			change func(*media.RequestUpload)
		}{
			{media.ErrName, func(c *media.RequestUpload) { c.Name = personal("../a.jpg") }},
			{media.ErrType, func(c *media.RequestUpload) { c.Declared = "video/mp4" }},
			{media.ErrEmpty, func(c *media.RequestUpload) { c.Size = 0 }},
			{domain.ErrInvalid, func(c *media.RequestUpload) { c.Size = -1 }},
			{media.ErrTooLarge, func(c *media.RequestUpload) { c.Size = 6 << 30 }},
			{domain.ErrInvalid, func(c *media.RequestUpload) { c.SHA256 = "" }},
		} {
			cmd := request
			c.change(&cmd)
			given(t).When(cmd.Decide).Refused(c.want)
		}
	})
	t.Run("it is completed with the bytes that were announced, before it expires", func(t *testing.T) {
		t.Parallel()
		c := upload(alice)
		c.File.Declared = "image/jpeg"
		done := uploaded
		done.File.Declared = "image/jpeg"
		given(t, requested).When(c.Decide).Then(done)
		late, wrong, short := c, c, c
		late.At = now.Add(time.Hour + 1)
		given(t, requested).When(late.Decide).Refused(media.ErrExpired)
		wrong.File.SHA256 = shaTwo
		given(t, requested).When(wrong.Decide).Refused(media.ErrSHA256)
		short.File.Size = 99
		given(t, requested).When(short.Decide).Refused(media.ErrSize)
	})
	t.Run("a refusal is recorded once, and stays the answer", func(t *testing.T) {
		t.Parallel()
		refuse := media.RefuseUpload{Media: photo, By: alice, Name: personal(strings.Repeat("é", 300)), Reasons: []string{"name_not_accepted"}, Policy: policy}
		after := given(t).When(refuse.Decide).Then(media.UploadRefused{
			Media: photo, Owner: "alice", Name: personal(strings.Repeat("é", 127)), Reasons: []string{"name_not_accepted"},
		})
		after.When(upload(alice).Decide).Refused(media.ErrName)
		given(t, uploaded).When(refuse.Decide).Refused(media.ErrExists)
		refuse.By = bob
		after.When(refuse.Decide).Refused(media.ErrNotFound)
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	add := media.AddVersion{By: alice, File: second(), Expected: anySize, Policy: policy}
	t.Run("another version becomes the current one, and the same bytes again say nothing", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded).When(add.Decide).Then(added)
		same := add
		same.File = file("a.jpg")
		given(t, uploaded).When(same.Decide).Nothing()
	})
	t.Run("who has an edit share may, who only sees may not, a stranger learns nothing", func(t *testing.T) {
		t.Parallel()
		theirs := add
		theirs.By, theirs.Right = bob, media.RightEdit
		given(t, uploaded).When(theirs.Decide).Then(added)
		theirs.Right = media.RightSee
		given(t, uploaded).When(theirs.Decide).Refused(media.ErrNotOwner)
		theirs.Right = media.RightNone
		given(t, uploaded).When(theirs.Decide).Refused(media.ErrNotFound)
		given(t).When(add.Decide).Refused(media.ErrNotFound)
		theirs.Right = media.RightEdit
		given(t, uploaded, deleted).When(theirs.Decide).Refused(media.ErrNotOwner)
	})
	t.Run("there is an end to it", func(t *testing.T) {
		t.Parallel()
		few := add
		few.Policy.MaxVersions = 1
		given(t, uploaded).When(few.Decide).Refused(media.ErrTooManyOf)
	})
	t.Run("an earlier version comes back, but not one that screening blocked", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded, added).When(media.RollBack{By: alice, Version: 1}.Decide).Then(media.RolledBack{Version: 1, From: 2})
		given(t, uploaded, added).When(media.RollBack{By: alice, Version: 2}.Decide).Nothing()
		given(t, uploaded, added).When(media.RollBack{By: alice, Version: 3}.Decide).Refused(media.ErrNoVersion)
		given(t, uploaded, added).When(media.RollBack{By: alice}.Decide).Refused(media.ErrNoVersion)
		given(t, uploaded, added, screened(1, media.VerdictBlocked)).When(media.RollBack{By: alice, Version: 1}.Decide).Refused(media.ErrBlocked)
	})
	t.Run("back on a clean version, the quarantine of a blocked one ends", func(t *testing.T) {
		t.Parallel()
		after := given(t, uploaded, screened(1, media.VerdictClean), added, screened(2, media.VerdictBlocked),
			media.Quarantined{Source: media.Source{By: "system", Version: 2}, Code: media.CodeScreening}).
			When(media.RollBack{By: alice, Version: 1}.Decide).
			Then(media.RolledBack{Version: 1, From: 2}, media.Released{Source: media.Source{By: "alice", Version: 1}})
		if !after.State().Deliverable(0) || after.State().Deliverable(2) {
			t.Error("version 1 can be delivered, version 2 cannot")
		}
	})
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	text := func(s string) *domain.Personal { p := domain.NewPersonal("bob", s); return &p }
	tags := func(ss ...string) *[]domain.Personal {
		out := []domain.Personal{}
		for _, s := range ss {
			out = append(out, personal(s))
		}
		return &out
	}
	t.Run("what is not given stays, and what is said is about the owner, whoever says it", func(t *testing.T) {
		t.Parallel()
		c := media.Describe{By: bob, Right: media.RightEdit, Description: text(" at dawn "), Tags: tags("Sea", "dawn", "sea "), Policy: policy}
		said := media.Described{Title: personal("a.jpg"), Description: personal("at dawn"), Tags: []domain.Personal{personal("dawn"), personal("sea")}}
		given(t, uploaded).When(c.Decide).Then(said)
		given(t, uploaded, said).When(media.Describe{By: alice, Description: text(""), Tags: tags(), Policy: policy}.Decide).
			Then(media.Described{Title: personal("a.jpg")})
	})
	t.Run("a title that is cleared is the current file's name", func(t *testing.T) {
		t.Parallel()
		c := media.Describe{By: alice, Title: text(" "), Policy: policy}
		given(t, uploaded).When(c.Decide).Then()
		named := media.Described{Title: personal("Harbour")}
		given(t, uploaded, named).When(c.Decide).Then(media.Described{Title: personal("a.jpg")})
		given(t, uploaded, screened(1, media.VerdictClean), added, named).When(c.Decide).Then(media.Described{Title: added.File.Name})
	})
	t.Run("an item has a title, and texts have limits and no control characters", func(t *testing.T) {
		t.Parallel()
		for _, c := range []media.Describe{
			{Title: text("a\nb")}, {Title: text(strings.Repeat("x", 513))}, {Title: text("a\u202Eb")},
			{Description: text(strings.Repeat("x", 16<<10+1))}, {Description: text("\x07")}, {Description: text("\xff")},
			{Tags: tags("")}, {Tags: tags(strings.Repeat("x", 65))}, {Tags: tags(strings.Fields(strings.Repeat("x ", 1) + words(51))...)},
		} {
			c.By, c.Policy = alice, policy
			given(t, uploaded).When(c.Decide).Refused(domain.ErrInvalid)
		}
	})
	t.Run("what is deleted, purged, removed or quarantined by a moderator is not described", func(t *testing.T) {
		t.Parallel()
		c := media.Describe{By: alice, Title: text("T"), Policy: policy}
		source := media.Source{Case: "c1", Number: 1, By: "mod"}
		given(t, uploaded, deleted).When(c.Decide).Refused(media.ErrDeleted)
		given(t, uploaded, deleted, purged).When(c.Decide).Refused(media.ErrPurged)
		given(t, uploaded, media.Removed{Source: source}).When(c.Decide).Refused(media.ErrRemoved)
		given(t, uploaded, media.Quarantined{Source: source}).When(c.Decide).Refused(media.ErrQuarantined)
	})
}

func words(n int) string {
	out := ""
	for i := range n {
		out += strings.Repeat("w", i+1) + " "
	}
	return out
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	t.Run("an item is deleted, restored, deleted and purged by its owner", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded).When(media.Delete{By: alice}.Decide).Then(deleted)
		s = s.When(media.Restore{By: alice}.Decide).Then(media.Restored{By: "alice"})
		s.When(media.Purge{By: alice}.Decide).Refused(media.ErrNotDeleted)
		s = s.When(media.Delete{By: alice}.Decide).Then(deleted)
		s = s.When(media.Purge{By: alice}.Decide).Then(purged)
		s.When(media.Delete{By: alice}.Decide).Refused(media.ErrPurged)
		s.When(media.Restore{By: alice}.Decide).Refused(media.ErrPurged)
	})
	t.Run("others cannot, and strangers do not know of it", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded).When(media.Delete{By: bob}.Decide).Refused(media.ErrNotFound)
		given(t, uploaded).When(media.Delete{By: bob, Right: media.RightEdit}.Decide).Refused(media.ErrNotOwner)
		given(t, uploaded, deleted).When(media.Restore{By: bob}.Decide).Refused(media.ErrNotFound)
		given(t, uploaded, deleted).When(media.Purge{By: bob}.Decide).Refused(media.ErrNotFound)
		given(t).When(media.Delete{By: alice}.Decide).Refused(media.ErrNotFound)
	})
	t.Run("evidence is not purged; an admin and the vault itself may purge the rest", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded, deleted).When(media.Purge{By: alice, CaseOpen: true}.Decide).Refused(media.ErrFrozen)
		given(t, uploaded, added, deleted).When(media.Purge{By: admin}.Decide).Then(media.Purged{By: "root", Objects: []domain.ObjectKey{"k1", "k2"}})
		given(t, uploaded, deleted).When(media.Purge{By: system}.Decide).Then(media.Purged{By: "system", Objects: []domain.ObjectKey{"k1"}})
		given(t).When(media.Purge{By: admin}.Decide).Refused(media.ErrNotFound)
	})
}
