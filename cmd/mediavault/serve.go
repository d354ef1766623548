package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/readapi"
	"github.com/mediavault-io/mediavault/writeapi"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve [write] [read] [project] [react] [stream]",
		Short: "Run the vault, or the parts that are named, against what the environment names",
		Long: `Run the vault, or the parts that are named, against the Postgres, S3 and identity provider that the environment names
(see "mediavault config"). The stream part listens where MEDIAVAULT_STREAM_ADDR says, or at 127.0.0.1:2113 when it is named. SIGTERM drains: requests finish, batches are committed, checkpoints are saved.`,
		ValidArgs: partNames,
	}
	noMigrate := c.Flags().Bool("no-migrate", false, "leave the database as it is; run \"mediavault migrate\" before")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := partsOf(args)
		if err != nil {
			return err
		}
		cfg, err := config.Load(os.Environ(), config.Needs()...)
		if err != nil {
			return err
		}
		if slices.Contains(args, "stream") && len(cfg.Stream.Addrs) == 0 {
			cfg.Stream.Addrs = []string{"127.0.0.1:2113"}
		}
		log := cfg.Logger(os.Stderr)
		for _, name := range cfg.Unknown {
			log.Warn("nobody reads this variable; is it misspelt?", "variable", name)
		}
		a, err := openApp(cmd.Context(), cfg, log, !*noMigrate)
		if err != nil {
			return err
		}
		defer a.close()
		listener, url, err := listen(cmd.Context(), cfg.Addr)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "Media Vault is at", url)
		log.Info("serving", "url", url, "parts", args, "version", version())
		return a.serve(cmd.Context(), p, listener, nil)
	}
	return c
}

func migrateCommand() *cobra.Command {
	c := &cobra.Command{Use: "migrate", Short: "Bring the database forward to this version", Args: cobra.NoArgs}
	dir := dataFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := findSurroundings(cmd.Context(), *dir)
		if err != nil {
			return err
		}
		h, err := openHistory(cmd.Context(), s.cfg, slog.New(slog.DiscardHandler), true)
		if err != nil {
			return errors.Join(err, s.stop())
		}
		m, err := openModels(h, nil)
		if err == nil {
			err = m.engine.Prepare(cmd.Context())
		}
		h.close()
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), "the database is up to date")
		}
		return errors.Join(err, s.stop())
	}
	return c
}

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Print every variable, its value and what it is for; secrets are masked", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(os.Environ(), config.Needs()...)
			if printErr := cfg.Print(cmd.OutOrStdout()); printErr != nil {
				return printErr
			}
			for _, name := range cfg.Unknown {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: nobody reads this variable; is it misspelt?\n", name)
			}
			return err
		},
	}
}

// handler is everything that is answered over HTTP. more adds routes of dev's own.
func (a *app) handler(p parts, more func(*mux.Router)) (*web.Edge, http.Handler, error) {
	cfg := a.cfg
	m := a.models
	api := readapi.New(readapi.Parts{
		Engine: m.engine, Library: m.library, Access: m.access, Shares: m.shares, Review: m.review, Findings: m.findings, Audit: m.audit, Usage: m.usage,
		History: m.history, Duplicates: m.twins, Suggestions: m.captions, Blobs: a.blobs, Recorder: recorder{a.access}, Rebuilder: a.rebuilds, Notifications: m.told, Webhooks: m.webhooks, Recipients: recipients{a},
		Parked: shown{desk{a.reactors, a.models.engine}}, People: a.keys, Log: a.log,
	})
	edge, err := web.New(web.Options{
		Log: a.log, Identify: a.verifier.Identify, Until: a.verifier.Until, Refused: api.Refused, Metrics: a.registry,
		Faults:         []func(error) (*domain.Refusal, bool){neighbourFault},
		TrustedProxies: cfg.TrustedProxies, AdminNetworks: cfg.AdminNetworks, Origins: cfg.CORSOrigins, Limits: limitsOf(cfg),
		Timeout: cfg.RequestTimeout, Idle: cfg.IdleTimeout,
		Exempt: []string{"/healthz", "/readyz", "/health", "/health/", "/metrics", "/openapi.json", "/docs", "/docs/", "/.well-known/"},
	})
	if err != nil {
		return nil, nil, err
	}
	router := web.NewRouter()
	told := commands.NewNotifications(a.vault, a.models.told)
	if !cfg.WebhooksAny {
		told.Public = notify.Public
	}
	if p["write"] {
		(&writeapi.Server{
			Media: a.media, Shares: commands.NewShares(a.vault), Moderation: commands.NewModeration(a.vault), Findings: a.findings,
			Notifications: told,
			Operations:    commands.NewOperations(a.vault, desk{a.reactors, a.models.engine}),
			People:        a.forgetting(),
			MaxFile:       cfg.MaxUpload, Refused: api.Refused,
		}).Routes(router)
	}
	if p["read"] {
		web.Mount(router, api.Routes(), api.Refused)
	}
	a.health(router)
	router.Handle("/metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{})).Methods(http.MethodGet)
	if err := describe(router, p); err != nil {
		return nil, nil, err
	}
	if more != nil {
		more(router)
	}
	return edge, edge.Serve(router), nil
}

// describe registers the description of the parts that are served, and the page that shows it.
func describe(router *mux.Router, p parts) error {
	var sources [][]byte
	if p["write"] {
		sources = append(sources, writeapi.OpenAPI())
	}
	if p["read"] {
		sources = append(sources, readapi.OpenAPI())
	}
	doc, err := web.MergeOpenAPI("Media Vault", sources...)
	if err != nil {
		return err
	}
	page, err := web.Docs("/docs", "Media Vault", "/openapi.json")
	if err != nil {
		return err
	}
	router.HandleFunc("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc)
	}).Methods(http.MethodGet)
	router.PathPrefix("/docs").Handler(page).Methods(http.MethodGet)
	router.Handle("/", http.RedirectHandler("/docs", http.StatusFound)).Methods(http.MethodGet)
	return nil
}

func limitsOf(cfg config.Config) web.Limits {
	limits := web.Limits{PerIP: web.Limit(cfg.LimitPerIP)}
	for _, l := range cfg.LimitPerPrincipal {
		limits.PerPrincipal = append(limits.PerPrincipal, web.Limit(l))
	}
	return limits
}

// serve runs the parts until ctx ends, then drains: no new requests, those under way finish, batches and checkpoints are
// written. It closes the listener. more adds routes of dev's own.
func (a *app) serve(ctx context.Context, p parts, listener net.Listener, more func(*mux.Router)) error {
	edge, handler, err := a.handler(p, more)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	var stream *streamPart
	if p["stream"] {
		if stream, err = openStream(ctx, a); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	server := web.NewServer(handler, a.log)
	a.people = newAddresses(commands.NewNotifications(a.vault, nil))
	a.keys.OnForgotten(a.people.clear)
	// The parts behind the requests outlive the requests: they end when the drain is over.
	behind, endBehind := context.WithCancel(context.WithoutCancel(ctx))
	defer endBehind()
	var background errgroup.Group
	if p["project"] {
		background.Go(labelled(behind, "project", func(ctx context.Context) error { return a.models.engine.Run(ctx) }))
	}
	if p["react"] {
		background.Go(labelled(behind, "react", a.reactors.Run))
	}
	background.Go(func() error { a.flushRefusals(behind); return nil })
	streaming, endStreaming := context.WithCancel(ctx)
	defer endStreaming()
	if stream != nil {
		announceStream(os.Stdout, stream, a.cfg.Stream, a.log)
		background.Go(func() error { return stream.run(streaming) })
	}
	served := make(chan error, 1)
	serve := labelled(ctx, "http", func(context.Context) error { return server.Serve(listener) })
	go func() { served <- serve() }() // ends with Shutdown or Close, below

	select {
	case err = <-served:
	case <-ctx.Done():
		edge.Drain()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.ShutdownGrace)
		err = server.Shutdown(drain)
		cancel()
		if err != nil {
			err = errors.Join(fmt.Errorf("some requests did not end in %v: %w", a.cfg.ShutdownGrace, err), server.Close())
		}
		<-served
	}
	endStreaming()
	a.rebuilds.stop()
	a.people.stop()
	last, cancel := grace()
	defer cancel()
	closeErr := a.access.Close(last)
	endBehind()
	return errors.Join(err, closeErr, background.Wait())
}

// labelled tells CPU profiles on whose account the goroutines are that f starts: `go tool pprof -tags`.
func labelled(ctx context.Context, part string, f func(context.Context) error) func() error {
	return func() (err error) {
		pprof.Do(ctx, pprof.Labels("part", part), func(ctx context.Context) { err = f(ctx) })
		return err
	}
}

// flushRefusals records, once a minute, the refusals of guests that were only counted.
func (a *app) flushRefusals(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := a.access.Flush(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("refusals of guests are not recorded yet", "error", err)
			}
		}
	}
}
