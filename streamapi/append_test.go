package streamapi_test

import (
	"bytes"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func TestWhatIsAppendedIsReadByteForByte(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	list := []esdb.EventData{
		{EventID: uuid.New(), EventType: "a", ContentType: esdb.ContentTypeJson, Data: []byte(`{"b": 1,  "a":2}`), Metadata: []byte(`{ "x" : 1}`)},
		{EventID: uuid.New(), EventType: "b", ContentType: esdb.ContentTypeBinary, Data: []byte{0, 1, 2, 255}, Metadata: []byte{1, 2, 3}},
		{EventID: uuid.New(), EventType: "c", ContentType: esdb.ContentTypeJson, Data: []byte(`not json`), Metadata: []byte{2}},
		{EventID: uuid.New(), EventType: "d", ContentType: esdb.ContentTypeBinary, Data: []byte(`{}`), Metadata: nil},
		{EventID: uuid.New(), EventType: "ä d", ContentType: esdb.ContentTypeJson, Data: []byte{}, Metadata: []byte{1}},
	}
	r := appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, list...)
	if r.NextExpectedVersion != 4 || r.CommitPosition == 0 {
		t.Fatalf("got %+v", r)
	}
	stored, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
	for i, e := range collected(t, stored, err) {
		got, want := e.OriginalEvent(), list[i]
		content := "application/octet-stream"
		if want.ContentType == esdb.ContentTypeJson {
			content = "application/json"
		}
		if got.EventID != want.EventID || got.EventType != want.EventType || got.ContentType != content || got.EventNumber != uint64(i) ||
			!bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.UserMetadata, want.Metadata) || got.StreamID != stream {
			t.Errorf("event %d: got %+v, want %+v", i, got, want)
		}
	}
}

func TestExpectationsAreHeld(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	first := events(2, "e")
	appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, first...)
	for what, expected := range map[string]esdb.ExpectedRevision{"no stream": esdb.NoStream{}, "too early": esdb.Revision(0), "too late": esdb.Revision(5)} {
		_, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events(1, "e")...)
		if err == nil {
			t.Fatalf("%s: accepted", what)
		}
		wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)
	}
	_, err := c.AppendToStream(t.Context(), name("app"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.StreamExists{}}, events(1, "e")...)
	wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)

	again := appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, first...)
	if again.NextExpectedVersion != 1 {
		t.Errorf("the same append again: got %+v", again)
	}
	r := appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.StreamExists{}}, events(1, "e")...)
	r = appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(r.NextExpectedVersion)}, events(3, "e")...)
	if r.NextExpectedVersion != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestAnAppendOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	for _, size := range []int{1<<20 + 1, 6 << 20} {
		_, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			esdb.EventData{EventType: "big", Data: make([]byte, size)})
		if err == nil {
			t.Fatal("accepted")
		}
	}
	appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, esdb.EventData{EventType: "big", Data: make([]byte, 1<<20)})
}
