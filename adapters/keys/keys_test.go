package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/adapters/keys"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

var _ eventstore.Keys = (*keys.Ring)(nil)

func masters(t testing.TB, settings ...string) keys.Masters {
	t.Helper()
	m, err := keys.ParseMasters(strings.Join(settings, ","))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, pool *pgxpool.Pool, m keys.Masters, opts ...keys.Option) *keys.Ring {
	t.Helper()
	r, err := keys.Open(context.Background(), pool, m, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func seal(t testing.TB, r *keys.Ring, subject domain.UserID, text string) []byte {
	t.Helper()
	sealed, err := r.Seal(context.Background(), subject, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opens(t testing.TB, r *keys.Ring, subject domain.UserID, sealed []byte, want string) {
	t.Helper()
	text, ok, err := r.Open(context.Background(), subject, sealed)
	if err != nil || !ok || string(text) != want {
		t.Fatalf("got %q, %v, %v; want %q", text, ok, err, want)
	}
}

func count(t testing.TB, pool *pgxpool.Pool, where string) (n int) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), `SELECT count(*) FROM subject_keys WHERE `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	master := keys.NewMaster()
	r := open(t, pool, masters(t, master))

	t.Run("what is sealed opens, in this process and in another", func(t *testing.T) {
		t.Parallel()
		sealed := seal(t, r, "anna", "Grandma's 80th")
		if strings.Contains(string(sealed), "Grandma") {
			t.Error("the text can be read")
		}
		opens(t, r, "anna", sealed, "Grandma's 80th")
		opens(t, open(t, pool, masters(t, master)), "anna", sealed, "Grandma's 80th")
		if again := seal(t, r, "anna", "Grandma's 80th"); string(again) == string(sealed) {
			t.Error("the same text is sealed the same twice")
		}
		opens(t, r, "", seal(t, r, "", "nobody in particular"), "nobody in particular")
	})

	t.Run("any changed byte, and another subject, is broken", func(t *testing.T) {
		t.Parallel()
		sealed := seal(t, r, "tim", "secret")
		seal(t, r, "tom", "other")
		for i := range sealed {
			changed := append([]byte(nil), sealed...)
			changed[i] ^= 1
			if text, ok, err := r.Open(ctx, "tim", changed); !errors.Is(err, domain.ErrBroken) || ok {
				t.Fatalf("byte %d changed: %q, %v, %v", i, text, ok, err)
			}
		}
		for n := range len(sealed) {
			if _, _, err := r.Open(ctx, "tim", sealed[:n]); !errors.Is(err, domain.ErrBroken) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
		for _, other := range []domain.UserID{"tom", "never seen"} {
			if _, _, err := r.Open(ctx, other, sealed); !errors.Is(err, domain.ErrBroken) {
				t.Fatalf("opened as %s: %v", other, err)
			}
		}
	})

	t.Run("a wrapped key cannot be put under another subject", func(t *testing.T) {
		t.Parallel()
		seal(t, r, "mallory", "x")
		if _, err := pool.Exec(ctx, `INSERT INTO subject_keys (subject, number, master, wrapped, created_at)
			SELECT 'victim', number, master, wrapped, created_at FROM subject_keys WHERE subject = 'mallory'`); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seal(ctx, "victim", []byte("x")); !errors.Is(err, domain.ErrBroken) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("the keys of many subjects are read together, and what is wrong with one stays with it", func(t *testing.T) {
		t.Parallel()
		var subjects []domain.UserID
		sealed := map[domain.UserID][]byte{}
		for i := range 20 {
			s := domain.UserID(fmt.Sprintf("many %d", i))
			subjects, sealed[s] = append(subjects, s), seal(t, r, s, "text of "+string(s))
		}
		if err := r.Destroy(ctx, "many 3"); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(ctx, `INSERT INTO subject_keys (subject, number, master, wrapped, created_at)
			SELECT 'many broken', number, master, wrapped, created_at FROM subject_keys WHERE subject = 'many 1'`); err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, "many broken", "many never seen", "many\x00")
		other := open(t, pool, masters(t, master))
		ahead := func() []domain.UserID { return subjects }
		for s, text := range sealed {
			k, err := other.Subject(ctx, s, ahead)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if destroyed := s == "many 3"; destroyed != k.Destroyed() || k.Has(text) == destroyed {
				t.Errorf("%s: destroyed %v, its key is there %v", s, k.Destroyed(), k.Has(text))
			}
			if open, ok, err := k.Open(nil, text); err != nil || ok != (s != "many 3") || (ok && string(open) != "text of "+string(s)) {
				t.Errorf("%s: %q, %v, %v", s, open, ok, err)
			}
		}
		if _, err := other.Subject(ctx, "many broken", ahead); !errors.Is(err, domain.ErrBroken) {
			t.Errorf("a key that is another subject's: %v", err)
		}
		if k, err := other.Subject(ctx, "many never seen", ahead); err != nil || k.Destroyed() || k.Has(sealed["many 1"]) {
			t.Errorf("a subject without a key: %v, %v", k, err)
		}
	})

	t.Run("a forgotten subject stays forgotten, in every process", func(t *testing.T) {
		t.Parallel()
		other := open(t, pool, masters(t, master))
		sealed := seal(t, r, "fay", "secret")
		opens(t, other, "fay", sealed, "secret")
		for range 2 {
			if err := r.Destroy(ctx, "fay"); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok, err := r.Open(ctx, "fay", sealed); ok || err != nil {
			t.Fatalf("opened: %v, %v", ok, err)
		}
		if _, err := r.Seal(ctx, "fay", []byte("x")); !errors.Is(err, domain.ErrForgotten) {
			t.Fatalf("sealed: %v", err)
		}
		if gone, err := r.Forgotten(ctx, "fay"); !gone || err != nil {
			t.Fatalf("forgotten: %v, %v", gone, err)
		}
		for _, nobody := range []domain.UserID{"never seen at all", "with\x00nought"} {
			if gone, err := r.Forgotten(ctx, nobody); gone || err != nil {
				t.Fatalf("%q is forgotten: %v, %v", nobody, gone, err)
			}
		}
		deadline, cancel := context.WithTimeout(ctx, 20*time.Second) // less than the life of what is remembered
		defer cancel()
		for {
			_, ok, err := other.Open(deadline, "fay", sealed)
			if err != nil || deadline.Err() != nil {
				t.Fatalf("the other process did not notice: %v, %v", err, deadline.Err())
			}
			if !ok {
				break
			}
		}
		if _, ok, err := open(t, pool, masters(t, master)).Open(ctx, "fay", sealed); ok || err != nil {
			t.Fatalf("opened by a new process: %v, %v", ok, err)
		}
		if count(t, pool, `subject = 'fay' AND wrapped IS NULL AND destroyed_at IS NOT NULL`) != 1 {
			t.Error("the destroyed key is not known as destroyed")
		}
	})

	t.Run("who was never known can be forgotten, too", func(t *testing.T) {
		t.Parallel()
		if err := r.Destroy(ctx, "nora"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seal(ctx, "nora", []byte("x")); !errors.Is(err, domain.ErrForgotten) {
			t.Fatalf("sealed: %v", err)
		}
	})

	t.Run("first use by many at once makes one key", func(t *testing.T) {
		t.Parallel()
		rings := []*keys.Ring{r, open(t, pool, masters(t, master))}
		sealed := make([][]byte, 16)
		var group sync.WaitGroup
		for i := range sealed {
			group.Go(func() { sealed[i], _ = rings[i%2].Seal(ctx, "zoe", []byte("x")) })
		}
		group.Wait()
		for i, s := range sealed {
			opens(t, rings[(i+1)%2], "zoe", s, "x")
		}
		if n := count(t, pool, `subject = 'zoe'`); n != 1 {
			t.Fatalf("%d keys", n)
		}
	})

	t.Run("a full cache forgets, and asks again", func(t *testing.T) {
		t.Parallel()
		small := open(t, pool, masters(t, master), keys.WithCache(4))
		var sealed [20][]byte
		for i := range sealed {
			sealed[i] = seal(t, small, domain.UserID(fmt.Sprint("c", i)), "x")
		}
		for i, s := range sealed {
			opens(t, small, domain.UserID(fmt.Sprint("c", i)), s, "x")
		}
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("an old key is followed by a new one and goes on opening", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t)
		master := keys.NewMaster()
		now := time.Now()
		early := open(t, pool, masters(t, master), keys.WithClock(func() time.Time { return now }))
		late := open(t, pool, masters(t, master), keys.WithClock(func() time.Time { return now.Add(91 * 24 * time.Hour) }))
		first := seal(t, early, "anna", "one")
		second := seal(t, late, "anna", "two")
		if count(t, pool, `subject = 'anna'`) != 2 {
			t.Fatal("there is no second key")
		}
		opens(t, late, "anna", first, "one")
		opens(t, early, "anna", second, "two") // it had only seen the first key
		if err := early.Destroy(ctx, "anna"); err != nil {
			t.Fatal(err)
		}
		if count(t, pool, `wrapped IS NOT NULL`) != 0 {
			t.Error("a key survived")
		}
	})

	t.Run("keys are wrapped anew under another master", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t)
		old, next := keys.NewMaster(), keys.NewMaster()
		r := open(t, pool, masters(t, old))
		sealed := map[domain.UserID][]byte{}
		for i := range 1200 {
			subject := domain.UserID(fmt.Sprint("s", i))
			if i < 3 {
				sealed[subject] = seal(t, r, subject, "x")
			} else if _, err := r.Seal(ctx, subject, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Destroy(ctx, "s2"); err != nil {
			t.Fatal(err)
		}
		both := open(t, pool, masters(t, next, old))
		opens(t, both, "s0", sealed["s0"], "x")
		if n, err := both.Rewrap(ctx); n != 1199 || err != nil {
			t.Fatalf("wrapped %d anew, %v", n, err)
		}
		if n, err := both.Rewrap(ctx); n != 0 || err != nil {
			t.Fatalf("and then %d, %v", n, err)
		}
		only := open(t, pool, masters(t, next))
		opens(t, only, "s1", sealed["s1"], "x")
		if _, ok, err := only.Open(ctx, "s2", sealed["s2"]); ok || err != nil {
			t.Fatalf("a destroyed key came back: %v, %v", ok, err)
		}
		if _, err := keys.Open(ctx, pool, masters(t, old)); !errors.Is(err, keys.ErrMaster) || !strings.Contains(err.Error(), masters(t, next).Current()) {
			t.Fatalf("opened without the master that wraps: %v", err)
		}
	})
}

func TestMasters(t *testing.T) {
	t.Parallel()
	b64 := keys.NewMaster()
	hexed := strings.Repeat("0f", 32)

	t.Run("they are read in base64 or hex", func(t *testing.T) {
		t.Parallel()
		m, err := keys.ParseMasters(hexed + "\n" + b64 + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if m.Current() != masters(t, strings.ToUpper(hexed)).Current() || m.Current() == masters(t, b64).Current() {
			t.Error("the first is not the current one")
		}
	})

	t.Run("what is no key is refused without being shown", func(t *testing.T) {
		t.Parallel()
		for _, bad := range []string{"", " , ", "short", hexed[:62], hexed + "00", b64[:40], b64 + "AAAA", "!" + b64[1:], b64 + "," + "topsecretvalue"} {
			_, err := keys.ParseMasters(bad)
			if !errors.Is(err, keys.ErrMaster) {
				t.Errorf("%q: %v", bad, err)
			} else if len(bad) > 4 && strings.Contains(err.Error(), "topsecret") {
				t.Errorf("the error shows the key: %v", err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	r := open(b, pgtest.New(b), masters(b, keys.NewMaster()))
	sealed := seal(b, r, "anna", "a title of some forty characters, or so.")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Open(context.Background(), "anna", sealed); err != nil {
			b.Fatal(err)
		}
	}
}
