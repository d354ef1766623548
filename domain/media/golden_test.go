package media_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/media"
)

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	p := func(text string) domain.Personal { return domain.NewPersonal("alice", text) }
	file := media.File{
		Name: p("Harbour é 🌅.jpg"), Type: "image/jpeg", Declared: "image/jpg", Size: 5<<30 - 1,
		SHA256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", Object: "0f/1e2d", Way: media.WayForm,
	}
	source := media.Source{Case: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e22", Number: 2, By: "mod", Version: 3}
	const id = domain.MediaID("0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21")
	domaintest.Golden(t, media.Types,
		media.UploadRequested{
			Media: id, Owner: "alice", Org: "acme", Name: p("a.mp4"), Title: p("A"), Declared: "video/mp4", Size: 1 << 30,
			SHA256: file.SHA256, Object: "0f/77", Multipart: "up-1", PartSize: 16 << 20, ExpiresAt: time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC),
		},
		media.UploadRefused{
			Media: id, Owner: "alice", Org: "acme", Name: p("a.exe"), Declared: "image/png", Type: "application/x-msdownload",
			Size: 12, Reasons: []string{"name_not_accepted", "type_not_accepted"},
		},
		media.Uploaded{Media: id, Owner: "alice", Org: "acme", Title: p("Harbour"), File: file},
		media.Uploaded{Media: id, Owner: "alice", File: media.File{Type: "image/png", Size: 1, SHA256: file.SHA256, Object: "0f/2", Way: media.WayBody}},
		media.VersionAdded{Version: 2, File: file},
		media.RolledBack{Version: 1, From: 2},
		media.Described{Title: p("Harbour"), Description: p("at\ndawn"), Tags: []domain.Personal{p("dawn"), p("harbour")}},
		media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 61, Stages: []media.Stage{
			{Name: "type", Version: "1", Verdict: media.VerdictClean, Duration: 1500 * time.Microsecond},
			{Name: "nsfw", Version: "2", Verdict: media.VerdictReview, Codes: []string{"nsfw_high"}},
		}},
		media.Restricted{Source: source},
		media.Quarantined{Source: source, Code: media.CodeModeration},
		media.Released{Source: source},
		media.Removed{Source: source},
		media.Deleted{By: "alice"},
		media.Restored{By: "alice"},
		media.Purged{By: "alice", Objects: []domain.ObjectKey{"0f/1e2d", "0f/77"}},
	)
}
