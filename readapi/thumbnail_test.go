package readapi_test

import (
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

func TestThumbnailsAndTheCopyWithoutPlace(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour, at 53.5,9.9"))
	small, large := v.file("alice", "", "image/jpeg", []byte("small")), v.file("alice", "", "image/jpeg", []byte("large"))
	smaller := v.file("alice", "", "image/webp", []byte("in webp"))
	clean := v.file("alice", "", "image/png", []byte("harbour"))
	made := func(kind media.DerivativeKind, name string, f media.File) media.Derivative {
		return media.Derivative{Kind: kind, Name: name, Type: f.Type, Width: 4, Height: 3, Size: f.Size, SHA256: f.SHA256, Object: f.Object}
	}
	v.by("system", mediaStream(id),
		media.Inspected{Version: 1, Width: 40, Height: 30, Camera: "Acme One", Place: domain.NewPersonal("alice", "53.5,9.9"), Telling: true},
		media.Derived{Version: 1, Blurhash: "LEHV6nWB2yk8", Derivatives: []media.Derivative{
			made(media.KindThumbnail, "200", small), made(media.KindThumbnail, "400", large),
			made(media.KindThumbnail, "400"+media.InWebP, smaller), made(media.KindClean, "", clean),
		}})
	v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	v.share(id, "alice", share.Grantee{Kind: share.WithLink, Token: digest([]byte("open"))}, share.Terms{})
	none, _ := v.upload("alice", "note.txt", []byte("no picture"))
	v.settled()

	path := "/v1/media/" + string(id)
	for _, c := range []struct{ who, path, want string }{
		{"alice user", path + "/thumbnail?size=200", "small"},
		{"alice user", path + "/thumbnail", "large"},
		{"bob user", path + "/thumbnail?size=400", "large"},
		{"", "/v1/public/open/thumbnail?size=200", "small"},
		{"alice user", path + "/content", "harbour, at 53.5,9.9"},
		{"bob user", path + "/content", "harbour"},
		{"", "/v1/public/open/content", "harbour"},
	} {
		if a := v.get(c.who, c.path); a.StatusCode != 200 || string(a.body) != c.want || v.rec.last().Object == "" {
			t.Errorf("%s %s: %d %s", c.who, c.path, a.StatusCode, a.body)
		}
	}
	if a := v.get("alice user", path+"/thumbnail"); a.Header.Get("Content-Type") != "image/jpeg" || v.rec.last().What != "thumbnail" {
		t.Errorf("%v %+v", a.Header, v.rec.last())
	}
	for accept, want := range map[string]string{
		"image/avif,image/webp,*/*;q=0.8": "image/webp", "image/webp;q=0": "image/jpeg", "*/*": "image/jpeg", "image/*, nonsense;;": "image/jpeg", "IMAGE/WEBP": "image/webp",
	} {
		if a := v.get("bob user", path+"/thumbnail", "Accept", accept); a.Header.Get("Content-Type") != want || !strings.Contains(a.Header.Get("Vary"), "Accept") {
			t.Errorf("%s: %v", accept, a.Header)
		}
		if a := v.get("", "/v1/public/open/thumbnail?size=200", "Accept", accept); string(a.body) != "small" { // of that size there is no other
			t.Errorf("%s: %s", accept, a.body)
		}
	}
	v.refused(404, "no_thumbnail", "alice user", "/v1/media/"+string(none)+"/thumbnail")
	v.refused(404, "not_found", "mallory user", path+"/thumbnail")
	v.refused(400, "invalid", "alice user", path+"/thumbnail?size=300")

	t.Run("details are told, and where it was the owner alone is told", func(t *testing.T) {
		own, other := string(v.get("alice user", path).body), string(v.get("bob user", path).body)
		if !strings.Contains(own, "53.5,9.9") || !strings.Contains(own, `"blurhash":"LEHV6nWB2yk8"`) || !strings.Contains(own, `"width":40`) {
			t.Error(own)
		}
		if strings.Contains(other, "53.5") || strings.Contains(other, "Acme") || !strings.Contains(other, `"width":40`) {
			t.Error(other)
		}
		if history := string(v.get("bob user", path+"/history").body); strings.Contains(history, "53.5") {
			t.Error(history)
		}
	})
	t.Run("nothing of an item in quarantine is shown", func(t *testing.T) {
		v.by("system", mediaStream(id), media.Quarantined{Source: media.Source{By: "system", Version: 1}, Code: media.CodeScreening})
		v.settled()
		if a := v.get("alice user", path+"/thumbnail"); a.StatusCode == 200 {
			t.Error("the owner gets a thumbnail")
		}
		if a := v.get("", "/v1/public/open/thumbnail"); a.StatusCode == 200 {
			t.Error("a link leads to a thumbnail")
		}
	})
	t.Run("unless its owner lets others have it", func(t *testing.T) {
		v.by("system", mediaStream(id), media.Released{Source: media.Source{By: "system"}})
		v.by("alice", mediaStream(id), media.MetadataChosen{Keep: true})
		v.settled()
		if a := v.get("bob user", path+"/content"); string(a.body) != "harbour, at 53.5,9.9" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}
