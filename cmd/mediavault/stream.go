package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mediavault-io/mediavault/adapters/apikeys"
	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/adapters/correlations"
	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/readapi"
	"github.com/mediavault-io/mediavault/streamapi"
)

// streamPart is the stream API on all its addresses.
type streamPart struct {
	api   *streamapi.Server
	doors []streamDoor
	open  bool // one of them speaks no TLS
	grace time.Duration
}

type streamDoor struct {
	grpc     *grpc.Server
	listener net.Listener
}

// openStream listens, and answers nil when no address is configured.
func openStream(ctx context.Context, a *app) (_ *streamPart, err error) {
	cfg := a.cfg.Stream
	if len(cfg.Addrs) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to serve
	}
	if !onPostgres(a.cfg) {
		return nil, errors.New("MEDIAVAULT_STREAM_ADDR: the stream part serves a vault on Postgres; on an EventStoreDB programs read from that itself")
	}
	certificate, err := streamCertificate(cfg)
	if err != nil {
		return nil, err
	}
	part := &streamPart{grace: a.cfg.ShutdownGrace}
	keys := apikeys.New(a.pool)
	if part.api, err = newStreamAPI(a, &streamDoorman{keys: keys, verifier: a.verifier, people: a.keys}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			part.close()
		}
	}()
	for _, addr := range cfg.Addrs {
		host, secure := strings.CutPrefix(addr, "tls://")
		host, open := strings.CutPrefix(host, "plain://")
		secure = secure || (!open && certificate != nil)
		if secure && certificate == nil {
			return nil, errors.New("MEDIAVAULT_STREAM_ADDR has tls://, and MEDIAVAULT_STREAM_TLS_CERT is not set")
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", host)
		if err != nil {
			return nil, fmt.Errorf("stream API: %w (choose another address with MEDIAVAULT_STREAM_ADDR)", err)
		}
		if tcp, ok := listener.Addr().(*net.TCPAddr); cfg.Insecure && (!ok || !tcp.IP.IsLoopback()) {
			return nil, errors.Join(errors.New("MEDIAVAULT_STREAM_INSECURE is for addresses of this machine alone"), listener.Close())
		}
		var options []grpc.ServerOption
		if secure {
			options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{
				Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
			})))
		}
		part.open = part.open || !secure
		if len(part.doors) == 0 {
			part.api.ListensAt(reachable(listener.Addr()))
		}
		doorman := &streamDoorman{keys: keys, verifier: a.verifier, people: a.keys, insecure: cfg.Insecure, secure: secure}
		part.doors = append(part.doors, streamDoor{grpc: part.api.GRPCFor(doorman, options...), listener: listener})
	}
	return part, nil
}

// reachable is where others find a listener, as far as this process can know: one on all addresses is where the machine's name leads.
func reachable(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return at.String()
	}
	name, err := os.Hostname()
	if err != nil {
		return at.String()
	}
	return net.JoinHostPort(name, strconv.Itoa(tcp.Port))
}

func streamCertificate(cfg config.Stream) (*tls.Certificate, error) {
	if cfg.CertFile == "" && cfg.KeyFile == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	certificate, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_STREAM_TLS_CERT and _KEY: %w", err)
	}
	return &certificate, nil
}

func newStreamAPI(a *app, doorman *streamDoorman) (*streamapi.Server, error) {
	return streamapi.New(streamapi.Options{
		Log:           a.store.Log(),
		Authenticate:  doorman,
		Fresh:         apikeys.Fresh,
		Own:           catalog.Categories(),
		Open:          a.keys,
		Correlations:  correlations.New(a.pool),
		Subscriptions: subscriptions.New(a.pool),
		Endpoint:      a.cfg.Stream.Endpoint,
		MaxAppend:     int(min(a.cfg.Stream.MaxAppend, 64<<20)),
		Garbage:       streamapi.Garbage,
		Logger:        a.log,
	})
}

// addresses are where it listens.
func (p *streamPart) addresses() []string {
	var list []string
	for _, d := range p.doors {
		list = append(list, d.listener.Addr().String())
	}
	return list
}

func (p *streamPart) close() {
	for _, d := range p.doors {
		_ = d.listener.Close() // nothing was served on it
	}
}

// run serves until ctx ends, then lets appends and reads end, and ends subscriptions.
func (p *streamPart) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.api.Run(ctx) })
	for _, d := range p.doors {
		group.Go(func() error { return d.grpc.Serve(d.listener) })
		group.Go(func() error {
			<-ctx.Done()
			d.stop(p.grace)
			return nil
		})
	}
	return group.Wait()
}

// stop waits a moment for what is short; subscriptions never end by themselves.
func (d *streamDoor) stop(grace time.Duration) {
	over := make(chan struct{})
	go func() { // ends with Stop at the latest
		d.grpc.GracefulStop()
		close(over)
	}()
	t := time.NewTimer(min(grace, time.Second))
	defer t.Stop()
	select {
	case <-over:
	case <-t.C:
		d.grpc.Stop()
		<-over
	}
}

// streamDoorman says who the programs are that use the stream API: by API key, or by a token of the vault's issuer.
type streamDoorman struct {
	keys     *apikeys.Keys
	verifier *auth.Verifier
	people   readapi.People // who was forgotten
	insecure bool
	secure   bool // the door speaks TLS
}

func streamAdmin(id string) streamapi.Principal {
	all := []string{streamapi.Everything}
	return streamapi.Principal{ID: id, Roles: []string{"$admins"}, Categories: all, Organisations: all, Opened: true, WriteFree: true}
}

// Basic implements streamapi.Authenticator.
func (d *streamDoorman) Basic(ctx context.Context, login, password string) (streamapi.Principal, error) {
	if d.insecure && (!d.secure || (login == "admin" && password == "changeit")) {
		return streamAdmin(login), nil
	}
	g, err := d.keys.Verify(ctx, login, password)
	if errors.Is(err, apikeys.ErrUnknown) {
		return streamapi.Principal{}, streamapi.ErrUnauthenticated
	}
	if err != nil {
		return streamapi.Principal{}, err
	}
	p := streamapi.Principal{
		ID: g.ID, Roles: slices.Clone(g.Roles), Categories: g.Categories, Organisations: g.Organisations,
		Opened: g.Opened, WriteFree: g.WriteFree, WriteOwn: g.WriteOwn,
	}
	for i, role := range p.Roles {
		if role == string(domain.RoleAdmin) {
			p.Roles[i] = "$admins"
		}
	}
	return p, nil
}

// Bearer implements streamapi.Authenticator: the same roles see the same as through the read API's /v1/events.
func (d *streamDoorman) Bearer(ctx context.Context, token string) (streamapi.Principal, error) {
	if d.insecure && !d.secure {
		return streamAdmin("bearer"), nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	if err != nil {
		return streamapi.Principal{}, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	actor, err := d.verifier.Identify(r)
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return streamapi.Principal{}, err
	case err != nil, !actor.Known():
		return streamapi.Principal{}, streamapi.ErrUnauthenticated
	}
	// His token goes on being good until the identity provider ends it; subscriptions ask again every few seconds.
	if forgotten, err := d.people.Forgotten(ctx, actor.ID); err != nil {
		return streamapi.Principal{}, err
	} else if forgotten {
		return streamapi.Principal{}, streamapi.ErrUnauthenticated
	}
	p := streamapi.Principal{ID: string(actor.ID)}
	for _, role := range actor.Roles {
		p.Roles = append(p.Roles, string(role))
	}
	all := []string{streamapi.Everything}
	switch {
	case actor.Is(domain.RoleAdmin):
		p = streamAdmin(p.ID)
	case actor.Is(domain.RoleAuditor):
		p.Categories, p.Organisations, p.Opened = all, all, true
	case actor.Is(domain.RoleAnalyst):
		p.Categories, p.Organisations = all, all
	}
	return p, nil
}

// Nobody implements streamapi.Authenticator.
func (d *streamDoorman) Nobody(context.Context) (streamapi.Principal, error) {
	if d.insecure && !d.secure {
		return streamAdmin("anonymous"), nil
	}
	return streamapi.Principal{}, streamapi.ErrUnauthenticated
}

// announceStream tells where the stream API is, and warns where it believes everybody.
func announceStream(out io.Writer, part *streamPart, cfg config.Stream, log *slog.Logger) {
	if part == nil {
		return
	}
	for _, addr := range part.addresses() {
		fmt.Fprintln(out, "EventStoreDB's protocol is spoken at", addr)
	}
	warnStream(cfg, part.open, log)
}

// warnStream warns of what an address without TLS means; open: there is one.
func warnStream(cfg config.Stream, open bool, log *slog.Logger) {
	switch {
	case cfg.Insecure:
		log.Warn("the stream API is insecure: whoever reaches it on this machine is an admin", "variable", "MEDIAVAULT_STREAM_INSECURE")
	case open:
		log.Warn("the stream API has an address without TLS: official clients send no credentials there, and are refused", "variable", "MEDIAVAULT_STREAM_TLS_CERT")
	}
}
