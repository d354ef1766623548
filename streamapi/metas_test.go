package streamapi_test

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/streamapi"
)

// endless is a log in which so much was said about streams that it is never all heard.
type endless struct{ eventstore.Log }

func (l endless) Follow(ctx context.Context, after eventstore.Position, f eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	if !slices.Contains(f.Types, "$metadata") {
		return l.Log.Follow(ctx, after, f)
	}
	return func(yield func(eventstore.Batch[eventstore.Raw], error) bool) {
		<-ctx.Done()
		yield(eventstore.Batch[eventstore.Raw]{}, ctx.Err())
	}
}

func TestAServerAnswersRightlyBeforeItHasHeardWhatWasSaidOfAllStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *streamapi.Options) { o.Log = endless{o.Log} })
	<-s.server.Ready()
	c := s.client(t, "")
	stream, other := name("app"), name("app")
	for _, stream := range []string{stream, other} {
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(5, "e")...)
	}
	m := esdb.StreamMetadata{}
	m.SetMaxCount(2)
	if _, err := c.SetStreamMetadata(t.Context(), stream, esdb.AppendToStreamOptions{}, m); err != nil {
		t.Fatal(err)
	}
	r, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 10)
	want(t, "events shown", numbers(collected(t, r, err)), "3 4 ")
	if _, err := c.TombstoneStream(t.Context(), other, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	_, err = c.AppendToStream(t.Context(), other, esdb.AppendToStreamOptions{}, events(1, "e")...)
	if e, _ := esdb.FromError(err); err == nil || e.Code() != esdb.ErrorCodeStreamDeleted {
		t.Errorf("appended to a closed stream: %v", err)
	}
}
