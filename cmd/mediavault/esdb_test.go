package main

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/demo"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// The events of this vault are on a server that speaks EventStoreDB's protocol, and whose positions have gaps as there.
func TestAVaultOnAnEventStoreDBDoesEverythingElseTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	start := func(args ...string) *vault {
		cmd := exec.Command(path, append([]string{"dev", "--data", dir, "--addr", "127.0.0.1:0"}, args...)...)
		cmd.Env = append(os.Environ(), "MEDIAVAULT_EVENTSTORE=esdb://"+eventStoreFor(t)+"?tls=false",
			"MEDIAVAULT_EVENTSTORE_USER=vault", "MEDIAVAULT_EVENTSTORE_PASSWORD=hush-hush")
		return startCommand(t, dir, cmd)
	}
	v := start("--demo")
	tellsItsStory(t, v)
	t.Run("history as of a position, forwards and back", func(t *testing.T) {
		id := firstItem(t, v)
		out, err := v.run("history", id)
		if err != nil || !strings.Contains(out, "media.uploaded") || !strings.Contains(out, "alice") {
			t.Errorf("history: %v\n%s", err, out)
		}
		var history struct{ Items []struct{ Position int64 } }
		if err := v.as("alice", "user").Do(t.Context(), http.MethodGet, "/v1/media/"+id+"/history", nil, &history); err != nil || len(history.Items) < 3 {
			t.Fatalf("history: %+v, %v", history, err)
		}
		begun := history.Items[0].Position
		for _, at := range []int64{begun, begun + 1} { // an event's position, and one between events
			out, err = v.run("history", id, "--as-of", strconv.FormatInt(at, 10))
			if err != nil || strings.Count(out, "\n") != 1 {
				t.Errorf("history as of position %d of %+v: %v\n%s", at, history, err, out)
			}
		}
		out, err = v.run("events", "--category", "moderation", "--limit", "2")
		if err != nil || strings.Count(out, `"type":"moderation.`) != 2 {
			t.Errorf("events: %v\n%s", err, out)
		}
	})
	t.Run("read models are rebuilt, and equal what they replace", func(t *testing.T) {
		for _, name := range []string{"library", "audit"} {
			out, err := v.run("rebuild", name)
			if err != nil || !strings.Contains(out, "it equals the one that it replaced") {
				t.Errorf("rebuild %s: %v\n%s", name, err, out)
			}
		}
		if out, err := v.run("verify", "projections"); err != nil {
			t.Errorf("verify: %v\n%s", err, out)
		}
	})
	t.Run("server-sent events go on after the last one that was seen", func(t *testing.T) {
		audrey := v.as("audrey", "auditor")
		first := sent(t, audrey, "0", 5)
		rest := sent(t, audrey, strconv.FormatInt(first[1], 10), 3)
		if first[0]%storetest.Gap != 0 || rest[0] != first[2] || rest[2] != first[4] {
			t.Errorf("positions %v, and after the second %v", first, rest)
		}
	})
	t.Run("a read waits for what was written before it", func(t *testing.T) {
		alice := v.as("alice", "user")
		for n := range 10 {
			title := "title " + strconv.Itoa(n)
			id := firstItem(t, v)
			var w demo.Written
			if err := alice.Do(t.Context(), http.MethodPatch, "/v1/media/"+id, map[string]string{"title": title}, &w); err != nil {
				t.Fatal(err)
			}
			alice.After = w.Position
			var item struct{ Title string }
			if err := alice.Do(t.Context(), http.MethodGet, "/v1/media/"+id, nil, &item); err != nil || item.Title != title {
				t.Fatalf("got %q, %v; want %q", item.Title, err, title)
			}
		}
	})
	v.stop()
}

// sent reads n positions of server-sent events.
func sent(t *testing.T, c *demo.Client, after string, n int) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Last-Event-ID", after)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []int64
	for lines := bufio.NewScanner(resp.Body); len(list) < n && lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id:"); ok {
			at, err := strconv.ParseInt(strings.TrimSpace(id), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, at)
		}
	}
	if len(list) < n {
		t.Fatalf("%s: got %v, want %d", resp.Status, list, n)
	}
	return list
}

// eventStoreFor serves a log of the test's own in EventStoreDB's protocol, and answers where.
func eventStoreFor(t *testing.T) string {
	t.Helper()
	log, err := postgres.Open(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	api, err := streamapi.New(streamapi.Options{Log: storetest.Sparse(log), Authenticate: onlyVault{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	server := api.GRPC()
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- api.Run(ctx) }()
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		end()
		if err := errors.Join(<-ran, <-served); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// onlyVault lets in who has the credentials.
type onlyVault struct{}

func (onlyVault) Basic(_ context.Context, login, password string) (streamapi.Principal, error) {
	if login != "vault" || password != "hush-hush" {
		return streamapi.Principal{}, streamapi.ErrUnauthenticated
	}
	return streamapi.Principal{
		ID: "vault", Roles: []string{"$admins"}, Categories: []string{streamapi.Everything}, Organisations: []string{streamapi.Everything},
		WriteFree: true, WriteOwn: true,
	}, nil
}

func (onlyVault) Bearer(context.Context, string) (streamapi.Principal, error) {
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}

func (onlyVault) Nobody(context.Context) (streamapi.Principal, error) {
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}
