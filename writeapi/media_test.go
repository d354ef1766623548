package writeapi

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mediavault-io/mediavault/domain/media"
)

// multipartOf is a form as programs send it, and its Content-Type.
func multipartOf(t testing.TB, filename string, content []byte, fields ...string) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", filename)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(content)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	_ = w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func TestAnUploadBecomesAnItem(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	png := picture("a")
	form, kind := multipartOf(t, "Harbour at dawn.png", png, "title", "Harbour", "description", "At dawn", "tags", "Sea, boats", "sha256", sumOf(string(png)))
	for name, got := range map[string]reply{
		"as a form": v.do("alice", "POST", "/v1/media", form, "Content-Type", kind),
		"as a body": v.do("alice", "POST", "/v1/media", png, "Content-Type", "image/png", "Content-Disposition", `attachment; filename*=UTF-8''%F0%9F%8C%8A.png`,
			"Content-Digest", "sha-256=:"+base64Of(string(png))+":"),
	} {
		v.want(got, 201, "")
		if got.text("type") != "image/png" || got.text("sha256") != sumOf(string(png)) || got.body["size"] != float64(len(png)) || got.body["version"] != 1.0 {
			t.Errorf("%s: %s", name, got.raw)
		}
		if got.header.Get("Location") != "/v1/media/"+got.id() || got.header.Get("ETag") != fmt.Sprintf(`"%v"`, got.body["revision"]) ||
			got.header.Get("Vault-Position") != fmt.Sprint(got.body["position"]) {
			t.Errorf("%s: %v", name, got.header)
		}
	}
	var born []media.Uploaded
	for _, rec := range v.events() {
		if e, ok := rec.Event.(media.Uploaded); ok {
			born = append(born, e)
		}
	}
	if len(born) != 2 || v.objects() != 1 {
		t.Fatalf("%d items, %d objects of one content", len(born), v.objects())
	}
	for _, e := range born {
		if e.File.Way == media.WayForm && (e.Title.Text() != "Harbour" || e.File.Name.Text() != "Harbour at dawn.png") {
			t.Errorf("the form's fields behind its file were lost: %q %q", e.Title.Text(), e.File.Name.Text())
		}
		if e.File.Way == media.WayBody && e.File.Name.Text() != "🌊.png" {
			t.Errorf("the body's name was lost: %q", e.File.Name.Text())
		}
	}
}

func TestAnItemsLifeOverHTTP(t *testing.T) {
	t.Parallel()
	itemsLife(t, newVault(t, nil))
}

func itemsLife(t *testing.T, v *vault) {
	t.Helper()
	id := v.upload("alice", "one")
	path := "/v1/media/" + id
	described := v.want(v.do("alice", "PATCH", path, `{"title":"New","description":"D","tags":["b","a"]}`, "If-Match", `"0"`, "Vault-Reason", "UTF-8''%C3%BCber"), 200, "")
	if described.header.Get("ETag") != `"1"` {
		t.Errorf("ETag %s", described.header.Get("ETag"))
	}
	v.want(v.do("alice", "PATCH", path, `{"title":"Newer"}`, "If-Match", `"0"`), 412, "wrong_revision")
	v.want(v.do("alice", "PATCH", path, `{"description":null,"tags":null}`, "Content-Type", "application/merge-patch+json", "If-Match", "*"), 200, "")
	v.want(v.do("alice", "PATCH", path, `{}`), 200, "")
	last := v.events()[len(v.events())-1].Event.(media.Described)
	if last.Title.Text() != "New" || last.Description.Text() != "" || len(last.Tags) != 0 {
		t.Errorf("a merge patch changes only what is given, and null clears: %q %q %d", last.Title.Text(), last.Description.Text(), len(last.Tags))
	}
	for _, cleared := range []string{`{"title":null}`, `{"title":""}`} { // the second has nothing new to say
		v.want(v.do("alice", "PATCH", path, cleared), 200, "")
		if last := v.events()[len(v.events())-1].Event.(media.Described); last.Title.Text() != "p.png" {
			t.Errorf("an item whose title is cleared has its file's name: %q", last.Title.Text())
		}
	}
	second := v.want(v.do("alice", "POST", path+"/versions", picture("two"), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=two.png"), 201, "")
	if second.body["version"] != 2.0 {
		t.Errorf("got %s", second.raw)
	}
	v.want(v.do("alice", "POST", path+"/rollback", `{"version":1}`), 200, "")
	v.want(v.do("alice", "POST", path+"/rollback", `{"version":7}`), 404, "no_such_version")
	v.want(v.do("alice", "POST", path+"/purge", nil), 409, "not_deleted")
	v.want(v.do("alice", "DELETE", path, nil), 200, "")
	v.want(v.do("alice", "PATCH", path, `{"title":"x"}`), 409, "deleted")
	v.want(v.do("alice", "POST", path+"/restore", `{}`), 200, "")
	v.want(v.do("alice", "DELETE", path, nil), 200, "")
	v.want(v.do("alice", "POST", path+"/purge", nil), 200, "")
	v.want(v.do("alice", "POST", path+"/restore", nil), 410, "purged")
}

func TestTheSameKeyLeavesOneMark(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	send := func(content string) reply {
		return v.do("alice", "POST", "/v1/media", picture(content), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png", "Idempotency-Key", "k1")
	}
	first := v.want(send("a"), 201, "")
	again := v.want(send("a"), 201, "")
	if first.id() != again.id() || string(first.raw) != string(again.raw) || v.objects() != 1 {
		t.Errorf("got %s and then %s; %d objects", first.raw, again.raw, v.objects())
	}
	v.want(send("b"), 422, "idempotency_key_reused")
	path := "/v1/media/" + first.id()
	one := v.want(v.do("alice", "PATCH", path, `{"title":"x"}`, "Idempotency-Key", "k2"), 200, "")
	v.want(v.do("alice", "PATCH", path, `{"title":"y"}`), 200, "")
	if two := v.want(v.do("alice", "PATCH", path, `{"title":"x"}`, "Idempotency-Key", "k2"), 200, ""); two.body["position"] != one.body["position"] {
		t.Errorf("got %s and then %s", one.raw, two.raw)
	}
	v.want(v.do("alice", "PATCH", path, `{"title":"z"}`, "Idempotency-Key", "k2"), 422, "idempotency_key_reused")
	v.want(v.do("alice", "PATCH", path, `{"title":"z"}`, "Idempotency-Key", "not a key"), 400, "invalid")
}

func TestManyUploadAtOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	v.token("alice")
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			got := v.do("alice", "POST", "/v1/media", picture(strconv.Itoa(i)), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png")
			if got.status != http.StatusCreated {
				t.Errorf("upload %d: %s", i, got.raw)
			}
		})
	}
	all.Wait()
	if n := v.objects(); n != 16 {
		t.Errorf("%d objects", n)
	}
}

func TestASignedUploadGoesStraightToStorage(t *testing.T) {
	t.Parallel()
	signedUpload(t, newVault(t, nil))
}

func signedUpload(t *testing.T, v *vault) {
	t.Helper()
	png := picture("signed")
	ask := fmt.Sprintf(`{"filename":"s.png","content_type":"image/png","size":%d,"sha256":%q,"title":"Signed"}`, len(png), sumOf(string(png)))
	ticket := v.want(v.do("alice", "POST", "/v1/uploads", ask), 201, "")
	complete := ticket.header.Get("Location")
	v.want(v.do("alice", "POST", complete, nil), 409, "not_there_yet")
	v.want(v.do("mallory", "POST", complete, nil), 404, "not_found")
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, ticket.text("url"), bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	headers, _ := ticket.body["headers"].(map[string]any)
	for name, value := range headers {
		put.Header.Set(name, value.(string))
	}
	res, err := http.DefaultClient.Do(put)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("put: %v %v", res, err)
	}
	res.Body.Close()
	done := v.want(v.do("alice", "POST", complete, `{}`), 202, "")
	if done.id() != ticket.id() || done.text("sha256") != sumOf(string(png)) {
		t.Errorf("got %s", done.raw)
	}
	if again := v.want(v.do("alice", "POST", complete, strings.NewReader("")), 202, ""); string(again.raw) != string(done.raw) {
		t.Errorf("got %s and then %s", done.raw, again.raw)
	}
}
