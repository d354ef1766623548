package esdb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

const appendMethod = "/event_store.client.streams.Streams/Append"

// losing does each n-th append, and answers that the connection was lost.
func losing(n int64) (grpc.ServerOption, *atomic.Int64) {
	var count, lost atomic.Int64
	return grpc.ChainStreamInterceptor(func(srv any, call grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if info.FullMethod != appendMethod || count.Add(1)%n != 0 {
			return handler(srv, call)
		}
		if err := handler(srv, mute{call}); err != nil {
			return err
		}
		lost.Add(1)
		return status.Error(codes.Unavailable, "connection reset")
	}), &lost
}

// mute keeps answers back.
type mute struct{ grpc.ServerStream }

func (mute) SendMsg(any) error { return nil }

// written appends from many goroutines to streams of their own and to one that they share, and holds the store to it that each append is
// there once, where its receipt says.
func written(t *testing.T, log *esdb.Log, store eventstore.Log, meanwhile func()) {
	t.Helper()
	const writers, each = 8, 25
	var group sync.WaitGroup
	receipts := make([]map[uuid.UUID]eventstore.Receipt, writers)
	for w := range writers {
		receipts[w] = map[uuid.UUID]eventstore.Receipt{}
		group.Go(func() {
			for n := range each {
				stream := eventstore.Stream(fmt.Sprint("test-", w))
				if n%3 == 0 {
					stream = "test-shared"
				}
				e := happened()
				r, err := log.Append(t.Context(), stream, eventstore.Any, e)
				if err != nil || r.Repeated {
					t.Errorf("%+v, %v", r, err)
					return
				}
				receipts[w][e.ID] = r
			}
		})
	}
	meanwhile()
	group.Wait()
	found := map[uuid.UUID]int{}
	for raw, err := range storetest.Sparse(store).ReadAll(t.Context(), eventstore.Read{Filter: eventstore.Filter{Categories: []string{"test"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		found[raw.ID]++
		for w := range writers {
			if r, ok := receipts[w][raw.ID]; ok && (r.Stream != raw.Stream || r.Revision != raw.Revision || r.Position != raw.Position || !r.At.Equal(raw.At)) {
				t.Errorf("there is %+v, and the receipt says %+v", raw, r)
			}
		}
	}
	for w := range writers {
		for id := range receipts[w] {
			if found[id] != 1 {
				t.Errorf("%s is there %d times", id, found[id])
			}
		}
	}
	if len(found) != writers*each {
		t.Errorf("%d events, want %d", len(found), writers*each)
	}
}

func TestAnAppendWhoseAnswerWasLostIsThereOnce(t *testing.T) {
	t.Parallel()
	store := memory.New()
	option, lost := losing(3)
	v := startVault(t, storetest.Sparse(store), "127.0.0.1:0", option)
	t.Cleanup(func() { v.stop(t) })
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	written(t, log, store, func() {})
	if lost.Load() < 20 {
		t.Errorf("%d answers were lost", lost.Load())
	}
}

// Whoever gave up does not know what became of it, and finds out by the same ids.
func TestWhoGaveUpFindsOutByTheSameIDs(t *testing.T) {
	t.Parallel()
	store := memory.New()
	option, _ := losing(1)
	v := startVault(t, storetest.Sparse(store), "127.0.0.1:0", option)
	log, err := logAt(t, "esdb://"+v.address+"?tls=false", esdb.WithTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	e := happened()
	if r, err := log.Append(ctx, "test-1", eventstore.NoStream, e); err == nil {
		t.Fatalf("an append that nobody answered got %+v", r)
	}
	v.stop(t)
	v = startVault(t, storetest.Sparse(store), v.address)
	t.Cleanup(func() { v.stop(t) })
	for _, expected := range []eventstore.Expected{eventstore.Any, eventstore.NoStream, eventstore.Exactly(7)} {
		if r, err := log.Append(t.Context(), "test-1", expected, e); err != nil || !r.Repeated || r.Revision != 0 || r.Position != storetest.Gap {
			t.Errorf("expecting %d: %+v, %v", expected, r, err)
		}
	}
}

func TestAppendsOutliveAServerThatIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	store := memory.New()
	v := startVault(t, storetest.Sparse(store), "127.0.0.1:0")
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	written(t, log, store, func() {
		for range 5 {
			before := log.Stats().Appends
			for deadline := time.Now().Add(5 * time.Second); log.Stats().Appends < before+10 && time.Now().Before(deadline); {
				if _, err := log.Head(t.Context()); err != nil { // takes its time, and its turn
					t.Error(err)
				}
			}
			v.stop(t)
			v = startVault(t, storetest.Sparse(store), v.address)
		}
	})
	v.stop(t)
}

func TestAppendsGoOnWhileTheLeaderChanges(t *testing.T) {
	t.Parallel()
	store := memory.New()
	var leads atomic.Int64
	var addresses [2]atomic.Pointer[string]
	node := func(i int64) *vault {
		v := startVault(t, storetest.Sparse(store), "127.0.0.1:0", grpc.ChainStreamInterceptor(
			func(srv any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				if other := 1 - i; leads.Load() == other {
					return notLeader(call, *addresses[other].Load())
				}
				return handler(srv, call)
			}))
		addresses[i].Store(&v.address)
		t.Cleanup(func() { v.stop(t) })
		return v
	}
	first := node(0)
	node(1)
	log, err := logAt(t, "esdb://"+first.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	written(t, log, store, func() {
		for n := range int64(6) {
			before := log.Stats().Appends
			for deadline := time.Now().Add(5 * time.Second); log.Stats().Appends < before+10 && time.Now().Before(deadline); {
				if _, err := log.Head(t.Context()); err != nil {
					t.Error(err)
				}
			}
			leads.Store((n + 1) % 2)
		}
	})
	if log.Stats().Links < 4 {
		t.Errorf("%+v", log.Stats())
	}
}

func TestTLSAndCredentials(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	var told atomic.Pointer[string]
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0",
		grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}})),
		grpc.ChainStreamInterceptor(func(srv any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			md, _ := metadata.FromIncomingContext(call.Context())
			sent := strings.Join(md.Get("authorization"), ",")
			told.Store(&sent)
			return handler(srv, call)
		}))
	t.Cleanup(func() { v.stop(t) })
	for _, query := range []string{"tlsCaFile=" + authority, "tlsVerifyCert=false"} {
		settings, err := esdb.Parse("esdb://"+v.address+"?"+query, "vault", "hush-hush")
		if err != nil {
			t.Fatal(err)
		}
		log, err := esdb.Open(t.Context(), settings)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if _, err := log.Append(t.Context(), "test-1", eventstore.Any, happened()); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		log.Close()
		if got := *told.Load(); got != "Basic dmF1bHQ6aHVzaC1odXNo" {
			t.Errorf("%s: the server is told %q", query, got)
		}
	}
	for _, query := range []string{"", "tls=false"} {
		_, err := logAt(t, "esdb://vault:hush-hush@"+v.address+"?"+query, esdb.WithTimeout(500*time.Millisecond))
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", query, err)
		}
	}
}

func TestAServerThatSaysNothingIsUnavailableAndClosingDoesNotWaitForIt(t *testing.T) {
	t.Parallel()
	var opened atomic.Bool
	s := &scripted{
		read: func(call streams.Streams_ReadServer, _ *streams.ReadReq) error {
			if opened.Load() {
				<-call.Context().Done()
			}
			return nil
		},
		add: func(call streams.Streams_AppendServer) error { <-call.Context().Done(); return nil },
	}
	address := s.serve(t)
	for _, known := range []bool{false, true} { // a stream that is known is not read again: the round is what hangs
		opened.Store(false)
		log, err := logAt(t, "esdb://"+address+"?tls=false", esdb.WithTimeout(3*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		patient, err := logAt(t, "esdb://"+address+"?tls=false", esdb.WithTimeout(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []*esdb.Log{log, patient} {
			if known {
				for raw, err := range l.ReadStream(t.Context(), "test-1", eventstore.StreamRead{}) {
					t.Error(raw, err)
				}
			}
		}
		opened.Store(true)
		if _, err := log.Append(t.Context(), "test-1", eventstore.Any, happened()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := patient.Append(ctx, "test-1", eventstore.Any, happened()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
		ended, begun := make(chan error, 8), make(chan struct{}, 8)
		for i := range 8 {
			go func() {
				begun <- struct{}{}
				_, err := patient.Append(t.Context(), eventstore.Stream(fmt.Sprint("test-", i)), eventstore.Any, happened())
				ended <- err
			}()
		}
		for range 8 {
			<-begun
		}
		patient.Close()
		for range 8 {
			if err := <-ended; !errors.Is(err, eventstore.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		}
	}
}
