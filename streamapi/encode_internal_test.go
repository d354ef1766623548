package streamapi

import (
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/eventstore"
)

func drawn(t *rapid.T, label string) *shown {
	return &shown{
		raw: eventstore.Raw{
			Position: eventstore.Position(rapid.Int64Min(0).Draw(t, label+" position")),
			Stream:   eventstore.Stream(rapid.String().Draw(t, label+" stream")),
			ID:       uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label+" id")),
			Type:     rapid.String().Draw(t, label+" type"),
			Data:     rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label+" data"),
			At:       time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, label+" at")),
		},
		revision: eventstore.Revision(rapid.Int64Min(0).Draw(t, label+" revision")),
		custom:   rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label+" custom"),
		isJSON:   rapid.Bool().Draw(t, label+" json"),
	}
}

func message(s *shown, text bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	if s == nil {
		return nil
	}
	content := contentBinary
	if s.isJSON {
		content = contentJSON
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id: uuidTo(s.raw.ID, text), StreamIdentifier: identifierOf(s.raw.Stream), StreamRevision: uint64(s.revision),
		PreparePosition: uint64(s.raw.Position), CommitPosition: uint64(s.raw.Position),
		Metadata:       map[string]string{keyType: s.raw.Type, keyCreated: strconv.FormatInt(s.raw.At.UnixNano()/100, 10), keyContentType: content},
		CustomMetadata: s.custom, Data: s.raw.Data,
	}
}

func TestAnEncodedEventIsWhatTheMessageWouldBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := &encoder{text: rapid.Bool().Draw(t, "text")}
		var event, link *shown
		if rapid.Bool().Draw(t, "event") {
			event = drawn(t, "event")
		}
		if rapid.Bool().Draw(t, "link") {
			link = drawn(t, "link")
		}
		position := eventstore.Position(rapid.Int64Min(0).Draw(t, "position"))
		var got streams.ReadResp
		if err := proto.Unmarshal(e.read(event, link, position), &got); err != nil {
			t.Fatal(err)
		}
		want := &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
			Event: message(event, e.text), Link: message(link, e.text),
			Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(position)},
		}}}
		if !proto.Equal(&got, want) {
			t.Fatalf("got  %v\nwant %v", &got, want)
		}
	})
}

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		custom := rapid.SliceOfN(rapid.ByteRange(0, 4), 0, 4).Draw(t, "custom")
		isJSON := rapid.Bool().Draw(t, "json")
		gotCustom, gotJSON := unpack(pack(custom, isJSON))
		if string(gotCustom) != string(custom) || gotJSON != isJSON {
			t.Fatalf("%v %v became %v %v", custom, isJSON, gotCustom, gotJSON)
		}
	})
}

func TestPatternsOfDotNetThatFiltersUseAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{`^[^\$].*`, "$metadata", false}, {`^[^\$].*`, "order", true},
		{`^(?!\$)`, "$metadata", false}, {`^(?!\$).*`, "order", true},
		{`^(?!(a|b[)])-)c?.*x$`, "a-x", false}, {`^(?!(a|b[)])-)c?.*x$`, "cx", true}, {`^(?!(a|b[)])-)c?.*x$`, "cy", false},
	} {
		match, err := patternOf(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if match(c.name) != c.want {
			t.Errorf("%s on %s: want %v", c.pattern, c.name, c.want)
		}
	}
	for _, pattern := range []string{`(`, `a(?=b)`, `^(?!a`} {
		if _, err := patternOf(pattern); err == nil {
			t.Errorf("%s: accepted", pattern)
		}
	}
}
