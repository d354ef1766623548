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
		media.Screened{Version: 2, Verdict: media.VerdictBlocked, Stages: []media.Stage{{
			Name: "expansion", Version: "1", Verdict: media.VerdictBlocked, Codes: []string{"too_many_pixels"}, Model: "sha256:00",
			Measured: []media.Measure{{Name: "pixels", Value: 400_000_000, Limit: 100_000_000}},
		}}, MinScore: 50},
		media.Inspected{
			Version: 2, Width: 4032, Height: 3024, Orientation: 6, Frames: 3, Pages: 1, Length: 1500 * time.Millisecond, Video: "h264", Audio: "aac",
			Camera: "Acme One", Lens: "Acme 50mm", TakenAt: time.Date(2026, 5, 4, 6, 30, 0, 0, time.UTC), Place: p("53.5511,9.9937"),
			Author: p("Alice Example"), Telling: true,
		},
		media.Derived{Version: 2, Blurhash: "LEHV6nWB2yk8pyo0adR*.7kCMdnj", Derivatives: []media.Derivative{{
			Kind: media.KindThumbnail, Name: "200", Type: "image/jpeg", Width: 200, Height: 200, Size: 8123, SHA256: file.SHA256, Object: "0f/9a",
		}}},
		media.Derived{Version: 3, NoPicture: media.NoPictureToolMissing},
		media.MetadataChosen{Keep: true},
		media.DescriptionRequested{Number: 2, Version: 3, By: "alice"},
		media.DescriptionSuggested{Number: 2, Version: 3, Text: p("A harbour"), Provider: "vision.example", Model: "eye-1", Failed: []string{"first: timeout"}},
		media.SuggestionAccepted{Number: 2, By: "alice", Edited: true},
		media.SuggestionRejected{Number: 2, By: "alice"},
		media.Fingerprinted{Version: 1, Owner: "alice", Algorithm: "phash64-1", Hash: "00ff00ff00ff00ff"},
		media.Resembles{Version: 1, Other: id, Of: 2, Distance: 3, Algorithm: "phash64-1"},
		media.Restricted{Source: source},
		media.Quarantined{Source: source, Code: media.CodeModeration},
		media.Released{Source: source},
		media.Removed{Source: source},
		media.Deleted{By: "alice"},
		media.Restored{By: "alice"},
		media.Purged{By: "alice", Objects: []domain.ObjectKey{"0f/1e2d", "0f/77"}},
	)
}
