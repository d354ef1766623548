package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/streamapi"
)

// StreamOptions say how much to measure. The zero StreamOptions measure what docs/benchmarks.md shows.
type StreamOptions struct {
	Options
	Subscribers int // at once; 1,000

	only func(*streamBench) error // nil: everything
}

// Stream measures the stream API through the official Go client, on the migrated database at url, beside the native store in
// the same run, and prints what it found to w. Server, clients and Postgres share the machine; the clients are a process of their
// own: this binary has to answer to `bench stream-load` with StreamLoad.
func Stream(ctx context.Context, url string, w io.Writer, o StreamOptions) (err error) {
	o.Options = o.orDefault()
	if o.Subscribers == 0 {
		o.Subscribers = 1000
	}
	opened, err := openStore(ctx, url, media.Types)
	if err != nil {
		return err
	}
	defer opened.close()
	server, err := streamapi.New(streamapi.Options{
		Log: opened.log, Authenticate: everybody{}, Own: catalog.Categories(), Garbage: streamapi.Garbage,
	})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	g := server.GRPC()
	var work sync.WaitGroup
	work.Go(func() { _ = server.Run(running) })
	work.Go(func() { _ = g.Serve(listener) }) // ends with Stop
	defer func() {
		g.Stop()
		stop()
		work.Wait()
	}()
	load, err := startLoad(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.stop()) }()
	b := streamBench{
		storeBench: storeBench{
			Options: o.Options, ctx: ctx, w: w, url: url, pool: opened.pool, log: opened.log, store: opened.store, codec: opened.codec, cpu: opened.cpu,
		},
		subscribers: o.Subscribers, addr: listener.Addr().String(), load: load,
	}
	if o.only != nil {
		return o.only(&b)
	}
	return b.run()
}

// everybody is an admin who may write everything.
type everybody struct{}

func (everybody) Basic(context.Context, string, string) (streamapi.Principal, error) {
	return allRights(), nil
}
func (everybody) Bearer(context.Context, string) (streamapi.Principal, error) {
	return allRights(), nil
}
func (everybody) Nobody(context.Context) (streamapi.Principal, error) { return allRights(), nil }

func allRights() streamapi.Principal {
	all := []string{streamapi.Everything}
	return streamapi.Principal{ID: "bench", Roles: []string{"$admins"}, Categories: all, Organisations: all, WriteFree: true, WriteOwn: true}
}

type streamBench struct {
	storeBench
	subscribers int
	addr        string
	load        *loadProcess
}

func (b *streamBench) run() error {
	prepared, err := b.prepare(20_000)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.w, "an event is %d bytes of data and %d of metadata; server, clients and Postgres are on this machine, each a process of its own\n\n",
		len(prepared[0].Data), len(prepared[0].Metadata))
	for _, each := range []int{1, 10} {
		fmt.Fprint(b.w, "native      ")
		if _, err := b.appends(prepared, each); err != nil {
			return err
		}
		for _, how := range []string{"append", "batch"} {
			if err := b.streamAppends(prepared, how, each); err != nil {
				return err
			}
		}
	}
	if err := b.storeBench.reads(prepared); err != nil {
		return err
	}
	if err := b.streamReads(); err != nil {
		return err
	}
	return b.subscriptions(prepared)
}

const connections = 4

// ask lets the load process do a task, and answers what it found and what each event cost in CPU time.
func (b *streamBench) ask(t loadTask) (loadResult, string, error) {
	b.cpu.start()
	before, _ := processOf(b.load.pid())
	r, err := b.load.ask(t)
	own, pg := b.cpu.read()
	after, ok := processOf(b.load.pid())
	if err != nil || !ok {
		return r, "CPU not known", err
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(r.N, 1)) }
	return r, fmt.Sprintf("CPU each: %5.2f us server, %5.2f us clients, %5.2f us Postgres",
		each(own-b.cpu.own), each(after.used-before.used), each(pg-b.cpu.pg)), nil
}

// streamAppends is what appends does, through the client or as BatchAppend.
func (b *streamBench) streamAppends(prepared []eventstore.Entry, how string, each int) error {
	r, cpu, err := b.ask(loadTask{
		Do: how, Addr: b.addr, Connections: connections, Callers: b.Callers, Each: each, For: b.For, Samples: prepared[:256],
	})
	if err == nil {
		f := figures{perSecond: r.PerSecond, p50: r.P50, p99: r.P99, max: r.Max, cpu: cpu}
		fmt.Fprintf(b.w, "stream API  %6s, %d callers x %2d: %s\n", how, b.Callers, each, f)
	}
	return err
}

// streamReads reads $all and a category, by one reader.
func (b *streamBench) streamReads() error {
	for range 2 {
		var all time.Duration
		for _, read := range []struct {
			what, stream string
			resolve      bool
		}{{what: "$all"}, {"$ce-media, links resolved", "$ce-media", true}, {"$ce-media, links alone", "$ce-media", false}} {
			r, cpu, err := b.ask(loadTask{Do: "read", Addr: b.addr, Stream: read.stream, Resolve: read.resolve, Most: uint64(b.Events)}) //nolint:gosec // positive
			if err != nil {
				return err
			}
			each := r.Took / time.Duration(r.N)
			if read.stream == "" {
				all = each
			}
			fmt.Fprintf(b.w, "stream API  read %s, one reader, %d events: %9.0f ev/s (%.2f times $all's time)   %s\n",
				read.what, r.N, r.PerSecond, float64(each)/float64(all), cpu)
		}
	}
	return nil
}

// subscriptions measures how long an event takes from the call of its append to a subscriber: to one, to many, and to many beside
// some that stand still; and what the server remembers for them.
func (b *streamBench) subscriptions(prepared []eventstore.Entry) error {
	for _, s := range []struct {
		what                                         string
		subscribers, connections, stalled, perSecond int
		prefix                                       string
	}{
		{"one subscriber, 1,000 ev/s", 1, 1, 0, 1000, ""},
		{fmt.Sprintf("%d subscribers on 10 connections with a filter, 20 ev/s", b.subscribers), b.subscribers, 10, 0, 20, "bench-"},
		{fmt.Sprintf("%d subscribers and %d that stand still, 20 ev/s", b.subscribers, b.subscribers/100), b.subscribers, 10, b.subscribers / 100, 20, "bench-"},
	} {
		alone := footprint()
		if _, err := b.load.ask(loadTask{
			Do: "listen", Addr: b.addr, Connections: s.connections, Subscribers: s.subscribers, Stalled: s.stalled, Prefix: s.prefix,
		}); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		idle := footprint()
		r, cpu, err := b.ask(loadTask{
			Do: "go", Addr: b.addr, Subscribers: s.subscribers, Prefix: s.prefix, PerSecond: s.perSecond, For: b.For, Samples: prepared[:256],
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		busy := footprint()
		if _, err := b.load.ask(loadTask{Do: "stop"}); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		fmt.Fprintf(b.w, "stream API  from append to %s: p50 %s   p99 %s   max %s   %s\n", s.what, short(r.P50), short(r.P99), short(r.Max), cpu)
		fmt.Fprintf(b.w, "            server: without them %s, with them %s, after %d events %s\n", alone, idle, r.N/s.subscribers, busy)
	}
	return nil
}

// memory is what a process uses: what lives on the heap and what goroutines stand on, and what the system counts.
type memory struct{ heap, resident uint64 }

func (m memory) String() string {
	return fmt.Sprintf("heap %d MB, RSS %d MB", m.heap>>20, m.resident>>20)
}

func footprint() memory {
	debug.FreeOSMemory()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m := memory{heap: s.HeapAlloc + s.StackInuse - min(s.HeapAlloc, streamapi.Garbage)} // which is counted, and is not there
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(statm); len(fields) > 1 {
			pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			m.resident = pages * uint64(os.Getpagesize()) //nolint:gosec // positive
		}
	}
	return m
}

// loadProcess makes the load.
type loadProcess struct {
	command *exec.Cmd
	tasks   *json.Encoder
	answers *json.Decoder
	in      io.Closer
}

// startLoad starts this binary, which answers to `bench stream-load`, as the load process.
func startLoad(ctx context.Context) (*loadProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, "bench", "stream-load") //nolint:gosec // this binary
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("run the clients: %w", err)
	}
	return &loadProcess{command: command, tasks: json.NewEncoder(in), answers: json.NewDecoder(out), in: in}, nil
}

func (p *loadProcess) pid() string { return strconv.Itoa(p.command.Process.Pid) }

func (p *loadProcess) ask(t loadTask) (r loadResult, err error) {
	if err := p.tasks.Encode(t); err != nil {
		return r, fmt.Errorf("ask the clients: %w", err)
	}
	if err := p.answers.Decode(&r); err != nil {
		return r, fmt.Errorf("read what the clients saw: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// stop ends the process and waits for it.
func (p *loadProcess) stop() error {
	return errors.Join(p.in.Close(), p.command.Wait())
}
