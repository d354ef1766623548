package streamapi_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func numbers(list []*esdb.ResolvedEvent) string {
	s := ""
	for _, e := range list {
		s += fmt.Sprint(e.OriginalEvent().EventNumber, " ")
	}
	return s
}

func TestAStreamIsReadFromAnywhereBothWays(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(6, "e")...)
	for _, r := range []struct {
		o     esdb.ReadStreamOptions
		count uint64
		want  string
	}{
		{esdb.ReadStreamOptions{}, 100, "0 1 2 3 4 5 "},
		{esdb.ReadStreamOptions{From: esdb.Revision(4)}, 100, "4 5 "},
		{esdb.ReadStreamOptions{From: esdb.Revision(1)}, 2, "1 2 "},
		{esdb.ReadStreamOptions{From: esdb.Revision(6)}, 2, ""},
		{esdb.ReadStreamOptions{From: esdb.End{}}, 2, ""},
		{esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 2, "5 4 "},
		{esdb.ReadStreamOptions{From: esdb.Revision(2), Direction: esdb.Backwards}, 100, "2 1 0 "},
		{esdb.ReadStreamOptions{From: esdb.Revision(200), Direction: esdb.Backwards}, 1, "5 "},
		{esdb.ReadStreamOptions{From: esdb.Start{}, Direction: esdb.Backwards}, 10, "0 "},
	} {
		read, err := c.ReadStream(t.Context(), stream, r.o, r.count)
		if got := numbers(collected(t, read, err)); got != r.want {
			t.Errorf("%+v %d: got %s, want %s", r.o, r.count, got, r.want)
		}
	}
	_, err := collect(c.ReadStream(t.Context(), name("app"), esdb.ReadStreamOptions{}, 1))
	wantCode(t, err, esdb.ErrorCodeResourceNotFound)
}

func TestAllIsReadFromPositions(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	var at []uint64
	for range 5 {
		at = append(at, appended(t, c, name("app"), esdb.AppendToStreamOptions{}, events(1, "e")...).CommitPosition)
	}
	position := func(i int) esdb.Position { return esdb.Position{Commit: at[i], Prepare: at[i]} }
	for _, r := range []struct {
		o    esdb.ReadAllOptions
		want []uint64
	}{
		{esdb.ReadAllOptions{From: esdb.Start{}}, at},
		{esdb.ReadAllOptions{From: position(3)}, at[3:]}, // from a position: with what is there
		{esdb.ReadAllOptions{From: esdb.End{}}, nil},
		{esdb.ReadAllOptions{From: esdb.Start{}, Direction: esdb.Backwards}, nil},
		{esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, []uint64{at[4], at[3], at[2], at[1], at[0]}},
		{esdb.ReadAllOptions{From: position(2), Direction: esdb.Backwards}, []uint64{at[1], at[0]}}, // backwards: before it
	} {
		read, err := c.ReadAll(t.Context(), r.o, 100)
		got := []uint64{}
		for _, e := range collected(t, read, err) {
			got = append(got, e.OriginalEvent().Position.Commit)
		}
		if fmt.Sprint(got) != fmt.Sprint(append([]uint64{}, r.want...)) {
			t.Errorf("%+v: got %v, want %v", r.o, got, r.want)
		}
	}
}

func TestMetadataHidesEventsAndRemovesNone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.client(t, "")
	read := func(stream string) string {
		t.Helper()
		r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 100)
		return numbers(collected(t, r, err))
	}
	set := func(stream string, change func(*esdb.StreamMetadata)) {
		t.Helper()
		m := esdb.StreamMetadata{}
		change(&m)
		if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{}, m); err != nil {
			t.Fatal(err)
		}
	}
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(6, "e")...)
	set(stream, func(m *esdb.StreamMetadata) { m.SetMaxCount(2); m.AddCustomProperty("k", "v") })
	if got := read(stream); got != "4 5 " {
		t.Errorf("$maxCount 2: %s", got)
	}
	set(stream, func(m *esdb.StreamMetadata) { m.SetTruncateBefore(3) })
	if got := read(stream); got != "3 4 5 " {
		t.Errorf("$tb 3: %s", got)
	}
	set(stream, func(m *esdb.StreamMetadata) { m.SetMaxAge(time.Hour) })
	if got := read(stream); got != "0 1 2 3 4 5 " {
		t.Errorf("$maxAge of an hour: %s", got)
	}
	m, err := c.GetStreamMetadata(t.Context(), stream, esdb.ReadStreamOptions{})
	if err != nil || m.MaxAge() == nil || *m.MaxAge() != time.Hour || m.MaxCount() != nil {
		t.Errorf("what was said last counts: %+v, %v", m, err)
	}
	all, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	if n := len(collected(t, all, err)); n != 9 {
		t.Errorf("%d events in $all, want all 9", n)
	}
}

func TestADeletedStreamIsGoneUntilItIsWrittenAgain(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Any{}, esdb.Revision(2)} {
		stream := name("app")
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "e")...)
		m := esdb.StreamMetadata{}
		m.AddCustomProperty("kept", "yes")
		if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{}, m); err != nil {
			t.Fatal(err)
		}
		_, err := c.DeleteStream(t.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)})
		if err == nil {
			t.Fatal("deleted at another revision")
		}
		if _, err := c.DeleteStream(t.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(2)}); err != nil {
			t.Fatal(err)
		}
		_, err = collect(c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1))
		wantCode(t, err, esdb.ErrorCodeResourceNotFound)
		_, err = c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.StreamExists{}}, events(1, "e")...)
		wantCode(t, err, esdb.ErrorCodeStreamDeleted)

		r := appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events(2, "e")...)
		if r.NextExpectedVersion != 4 {
			t.Errorf("%v: goes on at %d", expected, r.NextExpectedVersion)
		}
		read, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
		if got := numbers(collected(t, read, err)); got != "3 4 " {
			t.Errorf("%v: read %s", expected, got)
		}
		kept, err := c.GetStreamMetadata(t.Context(), stream, esdb.ReadStreamOptions{})
		if err != nil || kept.CustomProperty("kept") != "yes" {
			t.Errorf("metadata became %+v, %v", kept, err)
		}
	}
}

func TestATombstoneIsForEver(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "e")...)
	if _, err := c.TombstoneStream(t.Context(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(2)}); err != nil {
		t.Fatal(err)
	}
	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Any{}, esdb.Revision(3), esdb.StreamExists{}} {
		_, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events(1, "e")...)
		wantCode(t, err, esdb.ErrorCodeStreamDeleted)
	}
	_, err := collect(c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1))
	wantCode(t, err, esdb.ErrorCodeStreamDeleted)
	_, err = c.DeleteStream(t.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	wantCode(t, err, esdb.ErrorCodeStreamDeleted)
	all, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	last := collected(t, all, err)[0].OriginalEvent()
	if last.EventType != "$streamDeleted" || last.EventNumber != 1<<63-1 || last.StreamID != stream {
		t.Errorf("got %+v", last)
	}
}

func TestVirtualStreamsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	cause := uuid.NewString()
	one, two, other := "one-"+uuid.NewString(), "one-"+uuid.NewString(), "other-"+uuid.NewString()
	typ := name("type")
	appended(t, c, one, esdb.AppendToStreamOptions{}, events(2, typ)...)
	appended(t, c, other, esdb.AppendToStreamOptions{}, esdb.EventData{EventType: typ, Data: []byte("x"), Metadata: fmt.Appendf(nil, `{"$correlationId":%q}`, cause)})
	last := appended(t, c, two, esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "t", Data: []byte("y"), Metadata: fmt.Appendf(nil, `{"$correlationId":%q}`, cause)})
	for stream, want := range map[string][]string{
		"$ce-one":      {"0@" + one, "1@" + one, "0@" + two},
		"$et-" + typ:   {"0@" + one, "1@" + one, "0@" + other},
		"$bc-" + cause: {"0@" + other, "0@" + two},
		"$streams":     {"0@" + one, "0@" + other, "0@" + two},
	} {
		for _, resolve := range []bool{false, true} {
			r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{ResolveLinkTos: resolve}, 100)
			var got []string
			for _, e := range collected(t, r, err) {
				if !resolve {
					if e.Event == nil || e.Event.EventType != "$>" || e.Event.StreamID != stream {
						t.Fatalf("%s: not a link: %+v", stream, e.Event)
					}
					got = append(got, string(e.Event.Data))
					continue
				}
				if e.Link == nil || e.Link.StreamID != stream || string(e.Link.Data) != fmt.Sprintf("%d@%s", e.Event.EventNumber, e.Event.StreamID) {
					t.Fatalf("%s: %+v %+v", stream, e.Link, e.Event)
				}
				got = append(got, string(e.Link.Data))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s resolved %v: got %v, want %v", stream, resolve, got, want)
			}
		}
		// Going on behind what was read, and backwards.
		r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1)
		first := collected(t, r, err)[0]
		r, err = c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{From: esdb.Revision(first.OriginalEvent().EventNumber + 1)}, 100)
		if n := len(collected(t, r, err)); n != len(want)-1 {
			t.Errorf("%s: %d events behind the first, want %d", stream, n, len(want)-1)
		}
		r, err = c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
		if got := string(collected(t, r, err)[0].OriginalEvent().Data); got != want[len(want)-1] {
			t.Errorf("%s backwards: %s", stream, got)
		}
	}
	_, err := collect(c.ReadStream(t.Context(), "$ce-none", esdb.ReadStreamOptions{}, 1))
	wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	_, err = c.AppendToStream(t.Context(), "$ce-one", esdb.AppendToStreamOptions{}, events(1, "e")...)
	if err == nil {
		t.Errorf("a virtual stream was written after %d", last.CommitPosition)
	}
}

func TestLinksThatProgramsWriteAreResolved(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream, links := name("app"), name("links")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "e")...)
	for _, to := range []string{"1@" + stream, "7@" + stream, "0@nowhere", "nonsense"} {
		appended(t, c, links, esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "$>", Data: []byte(to)})
	}
	r, err := c.ReadStream(t.Context(), links, esdb.ReadStreamOptions{ResolveLinkTos: true}, 10)
	list := collected(t, r, err)
	if len(list) != 4 || list[0].Event == nil || list[0].Event.StreamID != stream || list[0].Event.EventNumber != 1 || list[0].Link == nil {
		t.Fatalf("got %+v", list)
	}
	for _, e := range list[1:] {
		if e.Event != nil || e.Link == nil {
			t.Errorf("a link to nothing: %+v", e)
		}
	}
}

func TestAReadEndsWithItsDeadline(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	past := time.Nanosecond
	_, err := c.AppendToStream(t.Context(), name("app"), esdb.AppendToStreamOptions{Deadline: &past}, events(1, "e")...)
	var e *esdb.Error
	if err == nil || (errors.As(err, &e) && e.Code() != esdb.ErrorCodeDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
