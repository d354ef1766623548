package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// parkedKey is what an admin is told of a key whose events are parked.
type parkedKey struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Key      string `json:"key"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	Events   int    `json:"events"`
	Retrying bool   `json:"retrying"`
}

func TestWhatKeepsFailingIsParkedListedRetriedAndDropped(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	alice, root, audrey := v.as("alice", "user"), v.as("root", "admin"), v.as("audrey", "auditor")
	where, err := whereabouts(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), where.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	up, err := alice.Upload(t.Context(), "/v1/media", "a.txt", "text/plain", []byte("some plain text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	share := func(more map[string]any) string {
		t.Helper()
		body := map[string]any{"media_id": up.ID, "with": map[string]any{"link": true}}
		for k, of := range more {
			body[k] = of
		}
		s, err := alice.Write(t.Context(), http.MethodPost, "/v1/shares", body)
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	parked := func() (all []parkedKey) {
		t.Helper()
		var list struct{ Items []parkedKey }
		if err := root.Do(t.Context(), http.MethodGet, "/v1/parked", nil, &list); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}

	heard := func(kind, stream string) bool {
		return slices.ContainsFunc(everything(t, audrey), func(e storedEvent) bool { return e.Type == kind && e.Stream == stream })
	}

	// What a reactor has to write down is refused, by its words and for all it knows for ever.
	do(`ALTER TABLE reactor_timers ADD CONSTRAINT picky CHECK (reactor <> 'sharing') NOT VALID`)
	soon := time.Now().Add(20 * time.Second).UTC().Format(time.RFC3339)
	first, second := share(map[string]any{"expires_at": soon}), share(map[string]any{"max_opens": 1})
	eventually(t, "both are parked", 2*time.Minute, func() bool { return len(parked()) == 2 })
	ids := map[string]string{}
	for _, p := range parked() {
		if p.Name != "sharing" || p.Type != "share.granted" || p.Events != 1 || p.Retrying || !strings.Contains(p.Reason, "picky") {
			t.Errorf("%+v", p)
		}
		ids[strings.TrimPrefix(p.Key, "share-")] = p.ID
	}
	if ids[first] == "" || ids[second] == "" {
		t.Fatalf("parked are %v, shared were %s and %s", ids, first, second)
	}
	t.Run("the command line lists it, and says what it cannot do", func(t *testing.T) {
		out, err := v.run("parked")
		if err != nil || !strings.Contains(out, ids[first]) || !strings.Contains(out, ids[second]) || !strings.Contains(out, "picky") {
			t.Errorf("%v: %s", err, out)
		}
		for _, args := range [][]string{{"parked", "retry", "nothing"}, {"parked", "drop", ids[second]}, {"parked", "drop", "nothing", "--reason", "why not"}} {
			if out, err := v.run(args...); err == nil {
				t.Errorf("%v: %s", args, out)
			}
		}
	})
	t.Run("nobody but an admin does", func(t *testing.T) {
		if err := alice.Do(t.Context(), http.MethodGet, "/v1/parked", nil, nil); err == nil {
			t.Error("alice lists it")
		}
		if _, err := alice.Write(t.Context(), http.MethodPost, "/v1/parked/"+ids[first]+"/retry", nil); err == nil {
			t.Error("alice retries it")
		}
	})
	t.Run("a retry of what still fails leaves it parked", func(t *testing.T) {
		if out, err := v.run("parked", "retry", ids[first]); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, "it was retried", 2*time.Minute, func() bool {
			return slices.ContainsFunc(parked(), func(p parkedKey) bool { return p.ID == ids[first] && !p.Retrying })
		})
	})
	do(`ALTER TABLE reactor_timers DROP CONSTRAINT picky`)
	if out, err := v.run("parked", "drop", ids[second], "--reason", "made by hand"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := root.Write(t.Context(), http.MethodPost, "/v1/parked/"+ids[first]+"/retry", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is parked", time.Minute, func() bool { return len(parked()) == 0 })
	if out, err := v.run("parked", "list"); err != nil || strings.TrimSpace(out) != "nothing is parked" {
		t.Errorf("%v: %s", err, out)
	}
	eventually(t, "what was retried had its effect", time.Minute, func() bool {
		var s struct{ Status string }
		return alice.Do(t.Context(), http.MethodGet, "/v1/shares/"+first, nil, &s) == nil && s.Status == "expired" && heard("share.expired", "share-"+first)
	})
	if heard("share.expired", "share-"+second) || !heard("parked.dropped", "parked-"+ids[second]) || !heard("parked.retried", "parked-"+ids[first]) {
		t.Error("the log does not say what was done")
	}
}
