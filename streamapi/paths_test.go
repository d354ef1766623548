package streamapi_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/adapters/correlations"
	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// The cast: acme is granted the category media, of its own organisation alone, and the free category shop. All events have one type and
// one correlation, so that every virtual stream would hold all of them. The last of all is one that acme may see.
func organised(t *testing.T) *served {
	t.Helper()
	all := []string{streamapi.Everything}
	acme := streamapi.Principal{ID: "acme", Categories: []string{"media", "shop"}, Organisations: []string{"acme"}, WriteFree: true}
	writer := acme
	writer.ID, writer.WriteOwn = "writer", true
	s := serve(t, func(o *streamapi.Options) {
		pool := pgtest.New(t)
		o.Correlations, o.Subscriptions = correlations.New(pool), subscriptions.New(pool)
		o.Authenticate = consumers{
			"": admin(), "acme:x": acme, "writer:x": writer, "analyst:x": {ID: "analyst", Categories: []string{"media"}, Organisations: all},
			"nothing:x": {ID: "nothing"},
		}
	})
	put := func(stream, org string) {
		t.Helper()
		entry := eventstore.Entry{ID: uuid.New(), Type: "thing.happened", Data: []byte(`{}`), Metadata: []byte(`{"actor":{"id":"a","org":"` + org + `"},"correlation":"c1"}`)}
		if _, err := s.log.Append(t.Context(), eventstore.Stream(stream), eventstore.Any, entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range [][2]string{{"media-1", "acme"}, {"media-2", "other"}, {"media-3", ""}, {"share-1", "acme"}, {"shop-1", ""}, {"shop-links", ""}, {"else-1", ""}} {
		put(one[0], one[1])
	}
	boss := s.client(t, "")
	for _, stream := range []string{"media-1", "media-2", "share-1", "shop-1"} {
		m := esdb.StreamMetadata{}
		m.AddCustomProperty("of", stream)
		if _, err := boss.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, stream := range []string{"media-1", "media-2", "share-1", "else-1"} {
		created(t, boss, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
		appended(t, boss, "shop-links", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			esdb.EventData{EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte("0@" + stream)})
	}
	put("media-4", "acme")
	return s
}

// of is the stream of an event, however it is answered: "" when a link leads to nothing.
func of(e *esdb.ResolvedEvent) string {
	if e.Event == nil {
		return ""
	}
	if e.Event.EventType == "$>" {
		_, stream, _ := strings.Cut(string(e.Event.Data), "@")
		return stream
	}
	return e.Event.StreamID
}

func sees(list []*esdb.ResolvedEvent) string {
	var seen []string
	for _, e := range list {
		if name := of(e); name != "" && !slices.Contains(seen, name) {
			seen = append(seen, name)
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, " ")
}

func TestOnEveryPathAConsumerSeesWhatItIsGrantedAndNothingElse(t *testing.T) {
	t.Parallel()
	s := organised(t)
	read := func(stream string, o esdb.ReadStreamOptions) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			return collect(c.ReadStream(ctx, stream, o, 1000))
		}
	}
	readAll := func(o esdb.ReadAllOptions) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			return collect(c.ReadAll(ctx, o, 1000))
		}
	}
	told := func(sub *esdb.Subscription, err error) ([]*esdb.ResolvedEvent, error) {
		if err != nil {
			return nil, err
		}
		defer sub.Close()
		var list []*esdb.ResolvedEvent
		for {
			switch e := sub.Recv(); {
			case e.SubscriptionDropped != nil:
				return list, e.SubscriptionDropped.Error
			case e.EventAppeared != nil:
				list = append(list, e.EventAppeared)
			case e.CaughtUp != nil:
				return list, nil
			}
		}
	}
	subscribe := func(stream string, resolve bool) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			return told(c.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: resolve}))
		}
	}
	subscribeAll := func(f *esdb.SubscriptionFilter) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			return told(c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: f}))
		}
	}
	// What a persistent subscription gives, up to the last event that its consumer may see.
	given := func(sub *esdb.PersistentSubscription, err error, last string) ([]*esdb.ResolvedEvent, error) {
		if err != nil {
			return nil, err
		}
		defer sub.Close()
		var list []*esdb.ResolvedEvent
		for {
			e := sub.Recv()
			if e.SubscriptionDropped != nil {
				return list, e.SubscriptionDropped.Error
			}
			if e.EventAppeared == nil {
				continue
			}
			list = append(list, e.EventAppeared.Event)
			if err := sub.Ack(e.EventAppeared.Event); err != nil || of(e.EventAppeared.Event) == last {
				return list, err
			}
		}
	}
	persistent := func(stream, last string) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			group := name("g")
			o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true })}
			if err := c.CreatePersistentSubscription(ctx, stream, group, o); err != nil {
				return nil, err
			}
			sub, err := c.SubscribeToPersistentSubscription(ctx, stream, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 100})
			return given(sub, err, last)
		}
	}
	persistentAll := func(f *esdb.SubscriptionFilter) func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error) {
		return func(ctx context.Context, c *esdb.Client) ([]*esdb.ResolvedEvent, error) {
			group := name("g")
			if err := c.CreatePersistentSubscriptionToAll(ctx, group, esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Filter: f}); err != nil {
				return nil, err
			}
			sub, err := c.SubscribeToPersistentSubscriptionToAll(ctx, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 100})
			return given(sub, err, "media-4")
		}
	}
	resolved := esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}
	backwards := esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards, ResolveLinkTos: true}
	links := esdb.ReadStreamOptions{From: esdb.Start{}}
	byStream := func(p ...string) *esdb.SubscriptionFilter {
		return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: p}
	}
	const (
		media  = "media-1 media-4"
		things = "media-1 media-4 shop-1 shop-links"
		// In $all the links of shop-links are events of their own, whose text names streams: whoever may write links knows the names.
		everything = "$$media-1 $$shop-1 else-1 media-1 media-2 media-4 share-1 shop-1 shop-links"
	)
	for what, path := range map[string]struct {
		do   func(context.Context, *esdb.Client) ([]*esdb.ResolvedEvent, error)
		want string // "-": it is refused
	}{
		"$all":                             {readAll(esdb.ReadAllOptions{From: esdb.Start{}}), everything},
		"$all, backwards":                  {readAll(esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}), everything},
		"$all, links resolved":             {readAll(esdb.ReadAllOptions{From: esdb.Start{}, ResolveLinkTos: true}), "$$media-1 $$shop-1 media-1 media-4 shop-1 shop-links"},
		"$all, from a position":            {readAll(esdb.ReadAllOptions{From: esdb.Position{Commit: 2, Prepare: 2}, ResolveLinkTos: true}), "$$media-1 $$shop-1 media-1 media-4 shop-1 shop-links"},
		"subscribed to $all":               {subscribeAll(nil), everything},
		"streams by prefix":                {subscribeAll(byStream("media-", "share-")), media},
		"streams by prefix, in other part": {subscribeAll(byStream("share-", "else-")), ""},
		"metadata by prefix":               {subscribeAll(byStream("$$media", "$$share")), "$$media-1"},
		"streams by expression":            {subscribeAll(&esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "^(media|share|else)-"}), media},
		"types by prefix":                  {subscribeAll(&esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"thing."}}), things},
		"types by expression":              {subscribeAll(&esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "happened$"}), things},
		"a category":                       {read("$ce-media", resolved), media},
		"a category's links":               {read("$ce-media", links), media},
		"a category, backwards":            {read("$ce-media", backwards), media},
		"subscribed to a category":         {subscribe("$ce-media", true), media},
		"a category that is not granted":   {read("$ce-share", resolved), "-"},
		"subscribed to another category":   {subscribe("$ce-share", true), "-"},
		"a type":                           {read("$et-thing.happened", resolved), things},
		"a type's links":                   {read("$et-thing.happened", links), things},
		"a type, backwards":                {read("$et-thing.happened", backwards), things},
		"subscribed to a type":             {subscribe("$et-thing.happened", false), things},
		"a correlation":                    {read("$bc-c1", resolved), things},
		"a correlation, backwards":         {read("$bc-c1", backwards), things},
		"subscribed to a correlation":      {subscribe("$bc-c1", true), things},
		"streams":                          {read("$streams", resolved), things},
		"streams, as links":                {read("$streams", links), things},
		"streams, backwards":               {read("$streams", backwards), things},
		"subscribed to streams":            {subscribe("$streams", false), things},
		"written links":                    {read("shop-links", resolved), "media-1 shop-links"},
		"written links, subscribed to":     {subscribe("shop-links", true), "media-1 shop-links"},
		"metadata":                         {read("$$media-1", links), "$$media-1"},
		"metadata of another organisation": {read("$$media-2", links), "-"},
		"metadata of another category":     {read("$$share-1", links), "-"},
		"shared $all":                      {persistentAll(nil), everything},
		"shared $all, filtered":            {persistentAll(byStream("media-", "share-", "else-")), media},
		"a shared category":                {persistent("$ce-media", "media-4"), media},
		"a shared category not granted":    {persistent("$ce-share", ""), "-"},
		"a shared type":                    {persistent("$et-thing.happened", "media-4"), things},
		"a shared correlation":             {persistent("$bc-c1", "media-4"), things},
		"shared streams":                   {persistent("$streams", "media-4"), things},
		"shared written links":             {persistent("shop-links", "media-1"), "media-1 shop-links"},
		"a shared stream":                  {persistent("media-1", "media-1"), "media-1"},
		"a shared stream of others":        {persistent("media-2", ""), "-"},
		"system streams":                   {read("$settings", links), "-"},
		"users":                            {read("$users", links), "-"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			list, err := path.do(within(t), s.client(t, "acme:x"))
			if path.want == "-" {
				wantCode(t, err, esdb.ErrorCodeAccessDenied)
			} else if err != nil {
				t.Fatal(err)
			}
			if got := sees(list); path.want != "-" && got != sorted(path.want) {
				t.Errorf("sees %q, want %q", got, sorted(path.want))
			}
			if strings.Contains(what, "shared") {
				return // to nobody nothing ever comes, for which nobody can wait
			}
			if list, err := path.do(within(t), s.client(t, "nothing:x")); len(list) > 0 {
				t.Errorf("who is granted nothing sees %q, %v", sees(list), err)
			}
		})
	}
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// Whatever is asked of a stream that may not be seen: the answer is the same as of one that is not there.
func TestErrorsDoNotTellWhatIsThere(t *testing.T) {
	t.Parallel()
	s := organised(t)
	ask := map[string]func(context.Context, *esdb.Client, string) error{
		"read": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := collect(c.ReadStream(ctx, stream, esdb.ReadStreamOptions{}, 1))
			return err
		},
		"read backwards": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := collect(c.ReadStream(ctx, stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1))
			return err
		},
		"read metadata": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.GetStreamMetadata(ctx, stream, esdb.ReadStreamOptions{})
			return err
		},
		"subscribe": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{})
			return err
		},
		"write metadata": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.SetStreamMetadata(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, esdb.StreamMetadata{})
			return err
		},
		"delete": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.StreamExists{}})
			return err
		},
		"tombstone": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.StreamExists{}})
			return err
		},
		"share": func(ctx context.Context, c *esdb.Client, stream string) error {
			return c.CreatePersistentSubscription(ctx, stream, "g", esdb.PersistentStreamSubscriptionOptions{})
		},
		"take part": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.SubscribeToPersistentSubscription(ctx, stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
			return err
		},
		"change a shared one": func(ctx context.Context, c *esdb.Client, stream string) error {
			return c.UpdatePersistentSubscription(ctx, stream, "g", esdb.PersistentStreamSubscriptionOptions{})
		},
		"end a shared one": func(ctx context.Context, c *esdb.Client, stream string) error {
			return c.DeletePersistentSubscription(ctx, stream, "g", esdb.DeletePersistentSubscriptionOptions{})
		},
		"ask about a shared one": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.GetPersistentSubscriptionInfo(ctx, stream, "g", esdb.GetPersistentSubscriptionOptions{})
			return err
		},
		"replay a shared one": func(ctx context.Context, c *esdb.Client, stream string) error {
			return c.ReplayParkedMessages(ctx, stream, "g", esdb.ReplayParkedMessagesOptions{})
		},
		"list shared ones": func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.ListPersistentSubscriptionsForStream(ctx, stream, esdb.ListPersistentSubscriptionsOptions{})
			return err
		},
	}
	for what, expected := range map[string]esdb.ExpectedRevision{"any": esdb.Any{}, "none": esdb.NoStream{}, "some": esdb.StreamExists{}, "the first": esdb.Revision(0)} {
		ask["append, expecting "+what] = func(ctx context.Context, c *esdb.Client, stream string) error {
			_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events(1, "e")...)
			return err
		}
	}
	for _, who := range []string{"acme:x", "writer:x", "nothing:x"} {
		for _, pair := range [][2]string{{"media-2", "media-9"}, {"media-3", "media-9"}, {"share-1", "share-9"}, {"else-1", "else-9"}, {"$$media-2", "$$media-9"}, {"$$share-1", "$$share-9"}} {
			for what, how := range ask {
				t.Run(fmt.Sprintf("%s: %s %s", who, what, pair[0]), func(t *testing.T) {
					t.Parallel()
					c := s.client(t, who)
					answer := func(stream string) string {
						err := how(within(t), c, stream)
						if err == nil {
							t.Fatalf("%s was not refused", stream)
						}
						return strings.ReplaceAll(err.Error(), stream, "it")
					}
					if there, not := answer(pair[0]), answer(pair[1]); there != not {
						t.Errorf("there:     %s\nnot there: %s", there, not)
					}
				})
			}
		}
	}
}
