package esdb_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// The log through EventStoreDB's protocol, beside the log itself: the same load, on the same machine, in the same run. Unless
// MEDIAVAULT_TEST_ESDB names another, the server is the vault's own, in this process, so that the CPU counted is that of client and
// server together, without Postgres. Events have 164 bytes of data and 502 of metadata, as those of the vault mostly have. On a server
// that was named the streams stay, as bench-<id>.
//
//	go test ./eventstore/esdb -run xxx -bench Append -benchtime 6400x; go test ./eventstore/esdb -run xxx -bench ReadAll

const callers = 64

func BenchmarkAppend(b *testing.B) {
	for what, open := range benched() {
		log := open(b)
		for _, events := range []int{1, 10} {
			b.Run(fmt.Sprintf("%s/%dx%d", what, callers, events), func(b *testing.B) {
				used := cpu(b)
				var left atomic.Int64
				left.Store(int64(b.N))
				var work sync.WaitGroup
				for range callers {
					work.Go(func() {
						stream := eventstore.Stream("bench-" + uuid.NewString())
						for left.Add(-1) >= 0 {
							if _, err := log.Append(b.Context(), stream, eventstore.Any, entries(events)...); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				work.Wait()
				report(b, b.N*events, used)
			})
		}
	}
}

func BenchmarkReadAll(b *testing.B) {
	const held = 50_000
	for what, open := range benched() {
		b.Run(what, func(b *testing.B) {
			log := open(b)
			begun, err := log.Head(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for range held / 5000 {
				if _, err := log.Append(b.Context(), eventstore.Stream("bench-"+uuid.NewString()), eventstore.NoStream, entries(5000)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			used, n := cpu(b), 0
			for range b.N {
				for _, err := range log.ReadAll(b.Context(), eventstore.Read{After: begun, Limit: held}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			if n != b.N*held {
				b.Fatalf("%d events were read, %d times", n, b.N)
			}
			report(b, n, used)
		})
	}
}

// benched are the logs that are compared.
func benched() map[string]func(testing.TB) eventstore.Log {
	native := func(t testing.TB) *postgres.Log {
		log, err := postgres.Open(t.Context(), pgtest.New(t, pgtest.Durable()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(log.Close)
		return log
	}
	return map[string]func(testing.TB) eventstore.Log{
		"postgres": func(t testing.TB) eventstore.Log { return native(t) },
		"esdb": func(t testing.TB) eventstore.Log {
			connection := os.Getenv("MEDIAVAULT_TEST_ESDB")
			if connection == "" {
				v := startVault(t, storetest.Sparse(native(t)), "127.0.0.1:0")
				t.Cleanup(func() { v.stop(t) })
				connection = "esdb://" + v.address + "?tls=false"
			}
			settings, err := esdb.Parse(connection, "", "")
			if err != nil {
				t.Fatal(err)
			}
			log, err := esdb.Open(t.Context(), settings)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(log.Close)
			return log
		},
	}
}

func entries(n int) []eventstore.Entry {
	list := make([]eventstore.Entry, n)
	data, metadata := make([]byte, 164), make([]byte, 502)
	metadata[0] = '{'
	for i := range list {
		list[i] = eventstore.Entry{ID: uuid.New(), Type: "bench.happened", Data: data, Metadata: metadata}
	}
	return list
}

// cpu answers how much this process computed since.
func cpu(b *testing.B) func() time.Duration {
	b.Helper()
	runtime.GC()
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begun := now()
	return func() time.Duration { return now() - begun }
}

func report(b *testing.B, events int, used func() time.Duration) {
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(used().Microseconds())/float64(events), "CPU-us/event")
	b.ReportMetric(0, "ns/op") // of an append, or of a whole read: the events say more
}
