package auth_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/domain"
)

func TestTheDevIssuer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var handler atomic.Pointer[http.Handler]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	issuer, err := auth.OpenIssuer(dir, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := issuer.Handler()
	handler.Store(&h)
	v := verifier(t, issuer.URL())
	alice := domain.Actor{ID: "alice", Org: "acme", Roles: []domain.Role{domain.RolePartner, domain.RoleUser}}
	token := func(i *auth.Issuer) string {
		t.Helper()
		signed, err := i.Token(alice, 0)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	expect := func(what, token string) {
		t.Helper()
		got, err := v.Identify(request("Bearer " + token))
		if err != nil || got.ID != "alice" || got.Org != "acme" || !slices.Equal(got.Roles, alice.Roles) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	before := token(issuer)
	expect("a token", before)
	other, err := auth.OpenIssuer(dir, s.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	expect("a token of another process", token(other))
	if err := other.Rotate(); err != nil {
		t.Fatal(err)
	}
	expect("a token after a rotation by another process", token(issuer))
	fresh := v
	v = verifier(t, issuer.URL())
	expect("a token of the key before", before)
	v = fresh
	if info, err := os.Stat(filepath.Join(dir, "issuer-keys.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	res := httptest.NewRecorder()
	h.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	if bytes.Contains(res.Body.Bytes(), []byte(`"d"`)) || !bytes.Contains(res.Body.Bytes(), []byte(`"kid"`)) {
		t.Error("private halves are published: ", res.Body)
	}
	for _, who := range []domain.Actor{domain.System(), {}, {ID: "eve", Roles: []domain.Role{domain.RoleSystem}}, {ID: "a b"}} {
		if _, err := issuer.Token(who, 0); err == nil {
			t.Errorf("a token for %+v", who)
		}
	}
}

func TestManyProcessesMayOpenAnEmptyFolderAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := auth.OpenIssuer(dir, "http://127.0.0.1:1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "issuer-keys.json"), []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.OpenIssuer(dir, "http://127.0.0.1:1"); err == nil {
		t.Error("a file without keys was accepted")
	}
}
