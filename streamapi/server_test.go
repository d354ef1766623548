package streamapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// A served vault: the server on a free port over a database of its own.
type served struct {
	log    *postgres.Log
	server *streamapi.Server
	addr   string // plain; clients show no credentials there
	tls    string
}

// consumers authenticates by a map from "login:password".
type consumers map[string]streamapi.Principal

func (c consumers) Basic(_ context.Context, login, password string) (streamapi.Principal, error) {
	if p, ok := c[login+":"+password]; ok {
		return p, nil
	}
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}

func (c consumers) Bearer(context.Context, string) (streamapi.Principal, error) {
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}

func (c consumers) Nobody(context.Context) (streamapi.Principal, error) {
	if p, ok := c[""]; ok {
		return p, nil
	}
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}

func admin() streamapi.Principal {
	return streamapi.Principal{
		ID: "admin", Roles: []string{"$admins"}, Categories: []string{streamapi.Everything}, Organisations: []string{streamapi.Everything},
		WriteFree: true, WriteOwn: true, Opened: true,
	}
}

func own() []string { return []string{"media", "share", "moderation", "access"} }

func serve(t testing.TB, change ...func(*streamapi.Options)) *served {
	t.Helper()
	log, err := postgres.Open(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	o := streamapi.Options{Log: log, Authenticate: consumers{"": admin()}, Own: own()}
	for _, f := range change {
		f(&o)
	}
	server, err := streamapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{log: log, server: server}
	ctx, stop := context.WithCancel(context.Background())
	var work errgroup.Group
	work.Go(func() error { return server.Run(ctx) })
	door := func(options ...grpc.ServerOption) (addr string, end func()) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g := server.GRPC(options...)
		work.Go(func() error { return g.Serve(listener) })
		return listener.Addr().String(), g.Stop
	}
	plain, secure := func() {}, func() {}
	s.addr, plain = door()
	s.tls, secure = door(grpc.Creds(credentials.NewServerTLSFromCert(certificate(t))))
	t.Cleanup(func() {
		plain()
		secure()
		stop()
		if err := work.Wait(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client connects as somebody, "login:password", or as nobody.
func (s *served) client(t testing.TB, who string) *esdb.Client {
	t.Helper()
	address := fmt.Sprintf("esdb://%s?tls=false&keepAliveInterval=-1", s.addr)
	if who != "" {
		address = fmt.Sprintf("esdb://%s@%s?tlsVerifyCert=false&keepAliveInterval=-1", who, s.tls)
	}
	config, err := esdb.ParseConnectionString(address)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func events(n int, typ string) []esdb.EventData {
	list := make([]esdb.EventData, n)
	for i := range list {
		list[i] = esdb.EventData{EventID: uuid.New(), EventType: typ, ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return list
}

func appended(t testing.TB, c *esdb.Client, stream string, o esdb.AppendToStreamOptions, list ...esdb.EventData) *esdb.WriteResult {
	t.Helper()
	r, err := c.AppendToStream(t.Context(), stream, o, list...)
	if err != nil {
		t.Fatalf("append to %s: %v", stream, err)
	}
	return r
}

func collected(t testing.TB, r *esdb.ReadStream, err error) []*esdb.ResolvedEvent {
	t.Helper()
	list, err := collect(r, err)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func collect(r *esdb.ReadStream, err error) ([]*esdb.ResolvedEvent, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []*esdb.ResolvedEvent
	for {
		e, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
}

func wantCode(t testing.TB, err error, code esdb.ErrorCode) {
	t.Helper()
	var e *esdb.Error
	if !errors.As(err, &e) || e.Code() != code {
		t.Fatalf("want error code %d, got %v", code, err)
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func name(prefix string) string { return prefix + "-" + strings.ReplaceAll(uuid.NewString(), "-", "") }
