package streamapi_test

import (
	"errors"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

func BenchmarkAppend(b *testing.B) {
	s := serve(b)
	c := s.client(b, "")
	data, meta := make([]byte, 164), make([]byte, 502)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		stream := name("app")
		for pb.Next() {
			_, err := c.AppendToStream(b.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
				esdb.EventData{EventID: uuid.New(), EventType: "e", ContentType: esdb.ContentTypeJson, Data: data, Metadata: meta})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	s := serve(b)
	c := s.client(b, "")
	entries := make([]eventstore.Entry, 5000)
	for i := range entries {
		entries[i] = eventstore.Entry{ID: uuid.New(), Type: "e", Data: make([]byte, 164), Metadata: append([]byte("{"), make([]byte, 501)...)}
	}
	for n := 0; n < 100_000; n += len(entries) {
		if _, err := s.log.Append(b.Context(), eventstore.Stream(name("app")), eventstore.NoStream, entries...); err != nil {
			b.Fatal(err)
		}
	}
	for what, read := range map[string]func(int) (*esdb.ReadStream, error){
		"all": func(n int) (*esdb.ReadStream, error) {
			return c.ReadAll(b.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, uint64(n))
		},
		"category": func(n int) (*esdb.ReadStream, error) {
			return c.ReadStream(b.Context(), "$ce-app", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, uint64(n))
		},
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for left := b.N; left > 0; {
				r, err := read(left)
				for ; err == nil && left > 0; left-- {
					_, err = r.Recv()
				}
				if err != nil && !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
