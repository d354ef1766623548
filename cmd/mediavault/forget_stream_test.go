package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// openAtMost is how long what was open may go on for who is forgotten.
const openAtMost = 10 * time.Second

// listening is a live stream of the vault's events, of either API. The first event has come.
type listening struct {
	what  string
	ended chan error
}

func listenSSE(t *testing.T, c *demo.Client) listening {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("Accept", "text/event-stream")
	res, err := c.HTTP.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	l := listening{what: "server-sent events", ended: make(chan error, 1)}
	go func() { // ends with the request, at the test's end at the latest
		defer res.Body.Close()
		_, err := io.Copy(io.Discard, res.Body)
		l.ended <- err
	}()
	return l
}

func everythingLive() *streams.ReadReq {
	return &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
	}}
}

// subscribe listens to $all by EventStoreDB's protocol, with a token.
func subscribe(t *testing.T, api streams.StreamsClient, token string) listening {
	t.Helper()
	call, err := api.Read(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), everythingLive())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); err != nil {
		t.Fatal(err)
	}
	l := listening{what: "a subscription", ended: make(chan error, 1)}
	go func() { // ends with the call, at the test's end at the latest
		for {
			if _, err := call.Recv(); err != nil {
				l.ended <- err
				return
			}
		}
	}()
	return l
}

// What is open when somebody is forgotten, at another process than was asked, ends; what others have open goes on.
func TestWhatIsOpenEndsWhenItsReaderIsForgotten(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	beside := streamBeside(t, v)
	_, rest, _ := strings.Cut(beside.log.String(), "EventStoreDB's protocol is spoken at ")
	address, _, _ := strings.Cut(rest, "\n")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))) //nolint:gosec // it made its certificate itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	api := streams.NewStreamsClient(conn)
	root, there := v.as("root", "admin"), func(user string) *demo.Client {
		c := v.as(user, "auditor")
		c.Base = beside.base
		return c
	}
	fay, audrey := there("fay"), there("audrey")
	// She has to have said something, so that there is a key of hers.
	if _, err := v.as("fay", "user").Upload(t.Context(), "/v1/media", words+".pdf", "application/pdf", []byte("%PDF-1.4\n% fay\n%%EOF\n"), nil); err != nil {
		t.Fatal(err)
	}
	hers := []listening{listenSSE(t, fay), subscribe(t, api, fay.Token)}
	others := []listening{listenSSE(t, audrey), subscribe(t, api, audrey.Token)}
	if _, err := root.Write(t.Context(), http.MethodPost, "/v1/people/fay/erasure", map[string]any{"reason": "account_closed"}); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), openAtMost)
	defer cancel()
	for _, l := range hers {
		select {
		case err := <-l.ended:
			t.Logf("%s ended: %v", l.what, err)
		case <-within.Done():
			t.Errorf("%s goes on", l.what)
		}
	}
	for _, l := range others {
		select {
		case err := <-l.ended:
			t.Errorf("another's %s ended: %v", l.what, err)
		default:
		}
	}
	if _, err := fay.Get(t.Context(), "/v1/events"); !demo.Refused(err, http.StatusForbidden) {
		t.Errorf("she is answered: %v", err)
	}
	call, err := api.Read(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+fay.Token), everythingLive())
	if err == nil {
		_, err = call.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("she subscribes again: %v", err)
	}
}
