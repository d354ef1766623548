package apikeys

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// clock is a time that stands still until a test moves it.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// two processes over one database, and the time that both have.
func two(t *testing.T) (here, there *Keys, at *clock) {
	t.Helper()
	pool := pgtest.New(t)
	at = &clock{at: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)}
	here, there = New(pool), New(pool)
	here.now, there.now = at.now, at.now
	return here, there, at
}

func (k *Keys) made(t *testing.T, g Grant) string {
	t.Helper()
	secret, err := k.Create(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func (k *Keys) believes(t *testing.T, id, secret string, want bool) {
	t.Helper()
	_, err := k.Verify(t.Context(), id, secret)
	if want && err != nil || !want && !errors.Is(err, ErrUnknown) {
		t.Errorf("%s with %.4s..., wanted %v: %v", id, secret, want, err)
	}
}

func TestAKeyIsWhatItWasMadeAs(t *testing.T) {
	t.Parallel()
	keys, other, _ := two(t)
	want := Grant{
		ID: "shop.1_a-b", Description: "the \"shop\"", Roles: []string{"admin", "x"}, Categories: []string{"app", "*"}, Organisations: []string{"acme"},
		Opened: true, WriteFree: true, WriteOwn: true,
	}
	secret := keys.made(t, want)
	bare := keys.made(t, Grant{ID: "bare"})
	want.CreatedAt = keys.now()
	if len(secret) != 43 || secret == bare {
		t.Errorf("secrets %q and %q", secret, bare)
	}
	for range 2 { // from the database, and from memory
		got, err := other.Verify(t.Context(), want.ID, secret)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
	}
	list, err := other.List(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "bare" || !reflect.DeepEqual(list[1], want) {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestOnlyItsOwnSecretOpensAKey(t *testing.T) {
	t.Parallel()
	keys, _, _ := two(t)
	a, b := keys.made(t, Grant{ID: "a"}), keys.made(t, Grant{ID: "b"})
	keys.believes(t, "a", a, true)
	for _, wrong := range []string{"", b, a[1:], a + "x", strings.ToUpper(a), "\x00", strings.Repeat("x", 1<<20)} {
		keys.believes(t, "a", wrong, false)
	}
	for _, id := range []string{"", "none", "A", "a' OR 1=1", "a\x00", strings.Repeat("a", 65), "\xff"} {
		keys.believes(t, id, a, false)
		keys.believes(t, id, "", false) // of what is not there nothing is the secret either
	}
}

func TestIdsAreTakenOnceAndForAll(t *testing.T) {
	t.Parallel()
	keys, other, _ := two(t)
	keys.made(t, Grant{ID: "a"})
	for _, k := range []*Keys{keys, other} {
		if _, err := k.Create(t.Context(), Grant{ID: "a"}); !errors.Is(err, ErrTaken) {
			t.Errorf("made again: %v", err)
		}
	}
	if err := keys.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Create(t.Context(), Grant{ID: "a"}); !errors.Is(err, ErrTaken) {
		t.Errorf("made again after it was revoked: %v", err)
	}
	for _, id := range []string{"", "-a", "a:b", "a@b", "a/b", "ä", "a b", strings.Repeat("a", 65)} {
		if _, err := keys.Create(t.Context(), Grant{ID: id}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestARevokedKeyIsRefusedWithinSecondsByEveryProcess(t *testing.T) {
	t.Parallel()
	here, there, clock := two(t)
	secret := here.made(t, Grant{ID: "a"})
	here.believes(t, "a", secret, true)
	there.believes(t, "a", secret, true)
	if err := here.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	here.believes(t, "a", secret, false)
	clock.at = clock.at.Add(Fresh + time.Nanosecond)
	there.believes(t, "a", secret, false)
	for _, err := range []error{here.Revoke(t.Context(), "a"), here.Revoke(t.Context(), "none")} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("revoked once more: %v", err)
		}
	}
	list, err := there.List(t.Context())
	if err != nil || len(list) != 1 || list[0].RevokedAt.IsZero() {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestASecretIsRotatedWithTimeForThoseWhoHaveTheOldOne(t *testing.T) {
	t.Parallel()
	here, there, clock := two(t)
	first := here.made(t, Grant{ID: "a", Categories: []string{"app"}})
	there.believes(t, "a", first, true)
	second, err := here.Rotate(t.Context(), "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	clock.at = clock.at.Add(Fresh + time.Nanosecond)
	for _, k := range []*Keys{here, there} {
		k.believes(t, "a", first, true)
		k.believes(t, "a", second, true)
	}
	if g, err := there.Verify(t.Context(), "a", second); err != nil || !reflect.DeepEqual(g.Categories, []string{"app"}) {
		t.Errorf("it may %+v, %v", g, err)
	}
	clock.at = clock.at.Add(time.Hour)
	for _, k := range []*Keys{here, there} {
		k.believes(t, "a", first, false)
		k.believes(t, "a", second, true)
	}
	third, err := here.Rotate(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	here.believes(t, "a", second, false)
	here.believes(t, "a", third, true)
	if err := here.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	here.believes(t, "a", third, false)
	for _, id := range []string{"a", "none"} {
		if _, err := here.Rotate(t.Context(), id, time.Hour); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestADatabaseThatDoesNotAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	keys := New(pool)
	secret := keys.made(t, Grant{ID: "a"})
	keys.believes(t, "a", secret, true)
	pool.Close()
	keys.believes(t, "a", secret, true) // for as long as it is fresh
	if _, err := keys.Verify(t.Context(), "b", secret); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestWhoGuessesIdsFillsNoMemory(t *testing.T) {
	t.Parallel()
	keys, _, _ := two(t)
	for i := range mostKnown {
		keys.known[strings.Repeat("x", 1+i%3)+string(rune('a'+i%26))+time.Duration(i).String()] = looked{}
	}
	keys.believes(t, "another", "secret", false)
	if n := len(keys.known); n != 1 {
		t.Errorf("%d ids are remembered", n)
	}
}
