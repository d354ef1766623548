package streamapi_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/streamapi"
)

// opener opens what was "sealed" by turning it around; the text of "gone" was forgotten.
type opener struct{}

func (opener) Open(_ context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error) {
	switch subject {
	case "gone":
		return nil, false, nil
	case "broken":
		return nil, false, domain.ErrBroken
	}
	text := []byte{}
	for i := len(sealed) - 1; i >= 0; i-- {
		text = append(text, sealed[i])
	}
	return text, true, nil
}

func sealed(subject, turned string) string {
	return `{"sealed":"` + base64.StdEncoding.EncodeToString([]byte(turned)) + `","subject":"` + subject + `"}`
}

func restricted(t *testing.T) *served {
	t.Helper()
	all := []string{streamapi.Everything}
	s := serve(t, func(o *streamapi.Options) {
		o.Open = opener{}
		o.Authenticate = consumers{
			"auditor:x":  {ID: "auditor", Categories: all, Organisations: all, Opened: true},
			"analyst:x":  {ID: "analyst", Categories: []string{"media"}, Organisations: all},
			"acme:x":     {ID: "acme", Categories: []string{"media", "share"}, Organisations: []string{"acme"}},
			"shop:x":     {ID: "shop", Categories: []string{"shop"}, Organisations: all, WriteFree: true},
			"nothing:x":  {ID: "nothing"},
			"restorer:x": {ID: "restorer", Categories: all, Organisations: all, WriteOwn: true},
			"admin:x":    admin(),
		}
	})
	put := func(stream, org, data string) {
		t.Helper()
		entry := eventstore.Entry{ID: uuid.New(), Type: "media.uploaded", Data: []byte(data), Metadata: []byte(`{"actor":{"id":"a","org":"` + org + `"},"address":` + sealed("a", "1.0.0.721") + `}`)}
		if _, err := s.log.Append(t.Context(), eventstore.Stream(stream), eventstore.Any, entry); err != nil {
			t.Fatal(err)
		}
	}
	put("media-1", "acme", `{"by":"a","title":`+sealed("a", `"ecilA`)+`,"tags":[`+sealed("gone", "x")+`,`+sealed("broken", "y")+`]}`)
	put("media-2", "other", `{"by":"b"}`)
	put("share-1", "acme", `{"by":"c"}`)
	put("shop-1", "", `{"sealed":"not","subject":"ours"}`)
	return s
}

func TestAConsumerSeesWhatItIsGranted(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	for who, want := range map[string]string{
		"auditor:x": "media-1 media-2 share-1 shop-1", "analyst:x": "media-1 media-2", "acme:x": "media-1 share-1", "shop:x": "shop-1",
		"nothing:x": "", "admin:x": "media-1 media-2 share-1 shop-1",
	} {
		c := s.client(t, who)
		var seen []string
		all, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 100)
		for _, e := range collected(t, all, err) {
			seen = append(seen, e.OriginalEvent().StreamID)
		}
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s reads %q, want %q", who, got, want)
		}
		sub, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if err != nil {
			t.Fatal(err)
		}
		seen = nil
		got(t, sub, func(e *esdb.SubscriptionEvent) bool {
			if e.EventAppeared != nil {
				seen = append(seen, e.EventAppeared.OriginalEvent().StreamID)
			}
			return e.CaughtUp != nil
		})
		_ = sub.Close()
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s is told %q, want %q", who, got, want)
		}
		for _, stream := range []string{"media-1", "media-2", "share-1", "shop-1"} {
			_, err := collect(c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1))
			if visible := strings.Contains(want, stream); visible != (err == nil) {
				t.Errorf("%s reads %s: %v", who, stream, err)
			} else if err != nil {
				wantCode(t, err, esdb.ErrorCodeAccessDenied)
			}
		}
	}
}

func TestPersonalTextsAreSealedButForThoseWhoMaySeeThem(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	read := func(who, stream string) (data, custom string) {
		t.Helper()
		r, err := s.client(t, who).ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1)
		e := collected(t, r, err)[0].OriginalEvent()
		return string(e.Data), string(e.UserMetadata)
	}
	data, custom := read("analyst:x", "media-1")
	if !strings.Contains(data, `"sealed"`) || !strings.Contains(custom, `"sealed"`) {
		t.Errorf("opened for an analyst: %s %s", data, custom)
	}
	data, custom = read("auditor:x", "media-1")
	if want := `{"by":"a","title":"Alice\"","tags":["[erased]",` + sealed("broken", "y") + `]}`; data != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	if want := `"address":"127.0.0.1"}`; !strings.HasSuffix(custom, want) {
		t.Errorf("got %s", custom)
	}
	if data, _ = read("auditor:x", "shop-1"); data != `{"sealed":"not","subject":"ours"}` {
		t.Errorf("a foreign event was changed: %s", data)
	}
}

func TestWhatWouldLetSomebodyInIsShownToNobody(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	const hash = `$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA`
	const granted = `{"by":"a","terms":{"password_hash":"` + hash + `","max_opens":3}}`
	for stream, e := range map[eventstore.Stream]eventstore.Entry{
		"share-9": {Type: "share.granted", Data: []byte(granted)},
		"shop-9":  {Type: "share.granted", Data: []byte(granted)}, // another program's: none of ours
		"media-9": {Type: "recipient.endpoint_added", Data: []byte(`{"format":` + sealed("a", "pttth") + `,"url":` + sealed("a", "pttth") + `,"secret":` + sealed("a", "_cesrhw") + `}`)},
	} {
		e.ID, e.Metadata = uuid.New(), []byte(`{"actor":{"id":"a","org":"acme"}}`)
		if _, err := s.log.Append(t.Context(), stream, eventstore.NoStream, e); err != nil {
			t.Fatal(err)
		}
	}
	const withheld = `{"by":"a","terms":{"password_hash":"[withheld]","max_opens":3}}`
	for who, want := range map[string]map[string]string{
		"auditor:x":  {"share-9": withheld, "shop-9": granted, "media-9": `{"format":"htttp","url":` + sealed("a", "pttth") + `,"secret":` + sealed("a", "_cesrhw") + `}`},
		"acme:x":     {"share-9": withheld},
		"restorer:x": {"share-9": granted}, // it writes what the vault itself reads
	} {
		c := s.client(t, who)
		for stream, data := range want {
			r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1)
			if got := string(collected(t, r, err)[0].OriginalEvent().Data); got != data {
				t.Errorf("%s reads %s: %s", who, stream, got)
			}
		}
		sub, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if err != nil {
			t.Fatal(err)
		}
		got(t, sub, func(e *esdb.SubscriptionEvent) bool {
			if e.EventAppeared != nil && e.EventAppeared.OriginalEvent().StreamID == "share-9" && string(e.EventAppeared.OriginalEvent().Data) != want["share-9"] {
				t.Errorf("%s is told %s", who, e.EventAppeared.OriginalEvent().Data)
			}
			return e.CaughtUp != nil
		})
		_ = sub.Close()
	}
}

func TestWhoMayWriteWhat(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	for _, c := range []struct {
		who, stream string
		may         bool
	}{
		{"shop:x", "shop-2", true}, {"shop:x", "$$shop-2", true}, {"shop:x", "app-1", false}, {"shop:x", "media-9", false},
		{"shop:x", "$$media-9", false}, {"shop:x", "$settings", false}, {"auditor:x", "shop-2", false}, {"nothing:x", "shop-2", false},
		{"restorer:x", "media-9", true}, {"restorer:x", "shop-2", false}, {"admin:x", "anything", true}, {"admin:x", "$settings", true},
		{"admin:x", "$ce-media", false}, {"admin:x", "$users", false},
	} {
		_, err := s.client(t, c.who).AppendToStream(t.Context(), c.stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1, "e")...)
		if c.may != (err == nil) {
			t.Errorf("%s writes %s: %v", c.who, c.stream, err)
		}
		if !c.may && err != nil {
			wantCode(t, err, esdb.ErrorCodeAccessDenied)
		}
	}
	for _, c := range []string{"shop:x", "admin:x"} {
		_, err := s.client(t, c).TombstoneStream(t.Context(), "media-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		if (err == nil) != (c == "admin:x") {
			t.Errorf("%s closes media-1: %v", c, err)
		}
	}
}

func TestAStreamsOwnAclIsHeld(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	m, a := esdb.StreamMetadata{}, esdb.Acl{}
	a.AddReadRoles("somebody")
	a.AddWriteRoles("somebody")
	m.SetAcl(a)
	if _, err := s.client(t, "admin:x").SetStreamMetadata(t.Context(), "shop-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m); err != nil {
		t.Fatal(err)
	}
	c := s.client(t, "shop:x")
	_, err := collect(c.ReadStream(t.Context(), "shop-1", esdb.ReadStreamOptions{}, 1))
	wantCode(t, err, esdb.ErrorCodeAccessDenied)
	_, err = c.AppendToStream(t.Context(), "shop-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1, "e")...)
	wantCode(t, err, esdb.ErrorCodeAccessDenied)
	r, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 10)
	for _, e := range collected(t, r, err) {
		if e.OriginalEvent().StreamID == "shop-1" {
			t.Error("seen in $all")
		}
	}
	r2, err := s.client(t, "admin:x").ReadStream(t.Context(), "shop-1", esdb.ReadStreamOptions{}, 1)
	collected(t, r2, err)
}

func TestStrangersAreTurnedAway(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	for _, who := range []string{"", "admin:y", "nobody:x"} {
		_, err := collect(s.client(t, who).ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1))
		var e *esdb.Error
		if !errors.As(err, &e) || e.Code() != esdb.ErrorCodeUnauthenticated {
			t.Errorf("%q: %v", who, err)
		}
	}
}
