package streamapi_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

func TestFiltersThatWouldCostTooMuchAreRefusedAndNoneIsSlow(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.client(t, "")
	victim := "app-" + strings.Repeat("a", 200) + "!" // on which a backtracking engine would work for ever
	appended(t, c, victim, esdb.AppendToStreamOptions{}, events(3, strings.Repeat("a", 200)+"!")...)
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	for what, f := range map[string]struct {
		esdb.SubscriptionFilter
		refused bool
	}{
		"nested repetition":            {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `^app-(a+)+$`}},
		"repeated choice":              {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `^app-(a|a?)+$`}},
		"many optional":                {SubscriptionFilter: esdb.SubscriptionFilter{Regex: "^app-" + strings.Repeat("a?", 200) + strings.Repeat("a", 200) + "$"}},
		"a negative lookahead":         {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `^(?!app-(a*)*!).*z$`}},
		"counts of counts of counts":   {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `((a{1,100}){1,100}){1,100}`}, refused: true},
		"a count beyond all":           {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `a{1,100000}`}, refused: true},
		"a back reference":             {SubscriptionFilter: esdb.SubscriptionFilter{Regex: `(a)\1`}, refused: true},
		"deep nesting":                 {SubscriptionFilter: esdb.SubscriptionFilter{Regex: strings.Repeat("(", 600) + strings.Repeat(")", 600)}, refused: true},
		"a regular expression of 1 MB": {SubscriptionFilter: esdb.SubscriptionFilter{Regex: strings.Repeat("a|", 1<<19)}, refused: true},
		"1,001 prefixes":               {SubscriptionFilter: esdb.SubscriptionFilter{Prefixes: many}, refused: true},
		"1,000 prefixes":               {SubscriptionFilter: esdb.SubscriptionFilter{Prefixes: many[:1000]}},
		"a prefix of 1 MB":             {SubscriptionFilter: esdb.SubscriptionFilter{Prefixes: []string{strings.Repeat("a", 1<<20)}}, refused: true},
	} {
		for _, on := range []esdb.FilterType{esdb.StreamFilterType, esdb.EventFilterType} {
			t.Run(fmt.Sprint(what, ", on ", on), func(t *testing.T) {
				t.Parallel()
				filter := f.SubscriptionFilter
				filter.Type = on
				sub, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &filter})
				if f.refused {
					if err == nil {
						t.Fatal("accepted")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer sub.Close()
				got(t, sub, func(e *esdb.SubscriptionEvent) bool {
					if e.EventAppeared != nil {
						t.Errorf("let through %.40s", e.EventAppeared.OriginalEvent().StreamID)
					}
					return e.CaughtUp != nil
				})
				if err := c.CreatePersistentSubscriptionToAll(within(t), name("g"), esdb.PersistentAllSubscriptionOptions{Filter: &f.SubscriptionFilter}); err == nil && f.refused {
					t.Error("shared")
				}
			})
		}
	}
}

func TestLargeMetadataOfAStreamIsHeldToTheLimitOfAppends(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "e")...)
	large := strings.Repeat("x", 1<<20-200)
	m, a := esdb.StreamMetadata{}, esdb.Acl{}
	for i := range 100 {
		a.AddReadRoles(fmt.Sprint("role-", i))
	}
	m.SetAcl(a)
	m.SetMaxCount(2)
	m.AddCustomProperty("large", strings.Repeat("x", 1<<20))
	if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m); err == nil {
		t.Error("more than an append may have was accepted")
	}
	r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
	want(t, "events shown", len(collected(t, r, err)), 3)
	m = esdb.StreamMetadata{}
	m.SetMaxCount(2)
	m.AddCustomProperty("large", large)
	if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m); err != nil {
		t.Fatal(err)
	}
	back, err := c.GetStreamMetadata(t.Context(), stream, esdb.ReadStreamOptions{})
	if err != nil || back.CustomProperty("large") != large {
		t.Errorf("read back: %v", err)
	}
	r, err = c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
	want(t, "events shown", len(collected(t, r, err)), 2)
}

// What metadata hides is hidden from whoever pages backwards, too.
func TestPagesBackwardsEndWhereMetadataSays(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	for what, set := range map[string]struct {
		change func(*esdb.StreamMetadata)
		want   string
	}{
		"nothing":                       {func(*esdb.StreamMetadata) {}, "9 8 | 7 6 | 5 4 | 3 2 | 1 0 | "},
		"$maxCount":                     {func(m *esdb.StreamMetadata) { m.SetMaxCount(3) }, "9 8 | 7 | "},
		"$maxCount beyond all":          {func(m *esdb.StreamMetadata) { m.SetMaxCount(100) }, "9 8 | 7 6 | 5 4 | 3 2 | 1 0 | "},
		"$tb":                           {func(m *esdb.StreamMetadata) { m.SetTruncateBefore(6) }, "9 8 | 7 6 | "},
		"$tb behind the end":            {func(m *esdb.StreamMetadata) { m.SetTruncateBefore(10) }, ""},
		"$maxCount and $tb":             {func(m *esdb.StreamMetadata) { m.SetMaxCount(5); m.SetTruncateBefore(8) }, "9 8 | "},
		"$maxAge":                       {func(m *esdb.StreamMetadata) { m.SetMaxAge(time.Hour) }, "9 8 | 7 6 | 5 4 | 3 2 | 1 0 | "},
		"$maxAge with $maxCount and tb": {func(m *esdb.StreamMetadata) { m.SetMaxAge(time.Hour); m.SetMaxCount(4); m.SetTruncateBefore(2) }, "9 8 | 7 6 | "},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			stream := name("app")
			appended(t, c, stream, esdb.AppendToStreamOptions{}, events(10, "e")...)
			m := esdb.StreamMetadata{}
			set.change(&m)
			if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{}, m); err != nil {
				t.Fatal(err)
			}
			pages, from := "", esdb.StreamPosition(esdb.End{})
			for {
				r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{From: from, Direction: esdb.Backwards}, 2)
				list := collected(t, r, err)
				if len(list) == 0 {
					break
				}
				pages += numbers(list) + "| "
				last := list[len(list)-1].OriginalEvent().EventNumber
				if last == 0 {
					break
				}
				from = esdb.Revision(last - 1)
			}
			want(t, "pages", pages, set.want)
		})
	}
}

func TestTenThousandStreamsAreListed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const all = 10_000
	var group errgroup.Group
	group.SetLimit(128)
	for i := range all {
		group.Go(func() error {
			_, err := s.log.Append(t.Context(), eventstore.Stream(fmt.Sprint("app-", i)), eventstore.NoStream, eventstore.Entry{ID: uuid.New(), Type: "e", Data: []byte("{}")})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	c := s.client(t, "")
	for _, o := range []esdb.ReadStreamOptions{{From: esdb.Start{}}, {From: esdb.End{}, Direction: esdb.Backwards}} {
		seen := map[string]bool{}
		for len(seen) < all {
			r, err := c.ReadStream(t.Context(), "$streams", o, 3000)
			if err != nil {
				t.Fatal(err)
			}
			n, last := 0, uint64(0)
			for {
				e, err := r.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				n, last = n+1, e.OriginalEvent().EventNumber
				seen[string(e.OriginalEvent().Data)] = true
			}
			r.Close()
			if n == 0 {
				t.Fatalf("the pages end after %d streams", len(seen))
			}
			if o.Direction == esdb.Backwards {
				o.From = esdb.Revision(last - 1)
			} else {
				o.From = esdb.Revision(last + 1)
			}
		}
	}
}
