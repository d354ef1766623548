package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/adapters/clamd"
	"github.com/mediavault-io/mediavault/adapters/keys"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/internal/sandbox"
	"github.com/mediavault-io/mediavault/migrations"
	"github.com/mediavault-io/mediavault/projections"
	"github.com/mediavault-io/mediavault/reactors"
)

// history is the lower half of the vault: what happened, and the keys that open it.
type history struct {
	cfg   config.Config
	log   *slog.Logger
	pool  *pgxpool.Pool
	keys  *keys.Ring
	raw   eventLog
	store *eventstore.Store
}

// openHistory connects to the database and opens the event store. It migrates when it is told to.
func openHistory(ctx context.Context, cfg config.Config, log *slog.Logger, migrate bool) (*history, error) {
	if migrate {
		if err := migrations.Up(ctx, cfg.DatabaseURL); err != nil {
			return nil, err
		}
	}
	poolConfig, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, errors.New("MEDIAVAULT_DATABASE_URL cannot be read") // the error would show the password
	}
	poolConfig.MaxConns = int32(cfg.DatabaseConns) //nolint:gosec // at most 1,000
	if poolConfig.ConnConfig.ConnectTimeout == 0 {
		// Connections that nobody answers keep their places in the pool, also once somebody answers again.
		poolConfig.ConnConfig.ConnectTimeout = connectTime
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	h := &history{cfg: cfg, log: log, pool: pool}
	masters, err := masterKeys(cfg)
	if err == nil {
		h.keys, err = keys.Open(ctx, pool, masters)
	}
	if err == nil {
		h.raw, err = openLog(ctx, cfg, pool, log)
	}
	var codec *eventstore.Codec
	if err == nil {
		codec, err = eventstore.NewCodec(h.keys, catalog.Types())
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("open the event store: %w", err)
	}
	h.store = eventstore.New(h.raw, codec, catalog.Categories()...)
	return h, nil
}

// connectTime bounds one attempt to connect to the database, where its URL does not (connect_timeout).
const connectTime = 10 * time.Second

func masterKeys(cfg config.Config) (keys.Masters, error) {
	var list []string
	for _, k := range cfg.MasterKeys {
		list = append(list, fmt.Sprintf("%x", k.Key))
	}
	return keys.ParseMasters(strings.Join(list, ","))
}

func (h *history) close() {
	if h.raw != nil {
		h.raw.Close()
	}
	if h.keys != nil {
		h.keys.Close()
	}
	h.pool.Close()
}

// models are the read models' queries, over one engine.
type models struct {
	engine   *projections.Engine
	library  *projections.Library
	access   *projections.Access
	shares   *projections.Shares
	review   *projections.Review
	findings *projections.Findings
	audit    *projections.Audit
	usage    *projections.Usage
	history  *projections.History
	told     *projections.Notifications
	twins    *projections.Duplicates
	captions *projections.Suggestions
	objects  *projections.Objects
	webhooks *projections.Webhooks
}

func openModels(h *history, observe func(projections.Batch)) (*models, error) {
	engine, err := projections.New(h.pool, h.store, projections.Options{Log: h.log, Observe: observe},
		projections.Define(projections.LibraryProjection()), projections.Define(projections.SharesProjection()),
		projections.Define(projections.AccessProjection()), projections.Define(projections.ReviewProjection()),
		projections.Define(projections.FindingsProjection()),
		projections.Define(projections.AuditProjection()), projections.Define(projections.UsageProjection()),
		projections.Define(projections.NotificationsProjection()),
		projections.Define(projections.DuplicatesProjection()), projections.Define(projections.SuggestionsProjection()),
		projections.Define(projections.ObjectsProjection()), projections.Define(projections.WebhooksProjection()))
	if err != nil {
		return nil, err
	}
	m := &models{engine: engine}
	var errs [13]error
	m.library, errs[0] = projections.NewLibrary(engine, h.raw)
	m.access, errs[1] = projections.NewAccess(engine, h.raw)
	m.shares, errs[2] = projections.NewShares(engine, h.raw, m.access)
	m.review, errs[3] = projections.NewReview(engine, h.keys, h.raw)
	m.audit, errs[4] = projections.NewAudit(engine, h.keys)
	m.usage, errs[5] = projections.NewUsage(engine)
	m.history, errs[6] = projections.NewHistory(engine, h.store, m.access)
	m.findings, errs[7] = projections.NewFindings(engine, h.keys)
	m.told, errs[8] = projections.NewNotifications(engine)
	m.twins, errs[9] = projections.NewDuplicates(engine, m.access)
	m.captions, errs[10] = projections.NewSuggestions(engine, h.keys)
	m.objects, errs[11] = projections.NewObjects(engine)
	m.webhooks, errs[12] = projections.NewWebhooks(engine)
	return m, errors.Join(errs[:]...)
}

// app is the whole vault. This file and serve.go are the only place where its parts meet.
type app struct {
	*history
	models   *models
	blobs    *blobs.S3
	vault    *commands.Vault
	media    *commands.Media
	access   *commands.Access
	findings *commands.Findings
	verifier *auth.Verifier
	reactors *reactors.Engine
	registry *prometheus.Registry
	metrics  *metrics
	rebuilds *rebuilds
	people   *addresses    // while it serves
	children *sandbox.Pool // decode untrusted bytes
	tools    analyzers.Tools
	spent    reactors.Spent // what screening costs
}

func openApp(ctx context.Context, cfg config.Config, log *slog.Logger, migrate bool) (*app, error) {
	h, err := openHistory(ctx, cfg, log, migrate)
	if err != nil {
		return nil, err
	}
	a := &app{history: h, registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics = newMetrics(a.registry, h.raw)
	err = a.build(ctx)
	if err == nil && migrate {
		err = a.models.engine.Prepare(ctx)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return a, nil
}

func (a *app) build(ctx context.Context) error {
	cfg := a.cfg
	var err error
	if a.models, err = openModels(a.history, a.metrics.observe); err != nil {
		return err
	}
	if a.blobs, err = blobs.Open(ctx, blobs.Config{
		Endpoint: cfg.S3.Endpoint, PublicEndpoint: cfg.S3.PublicEndpoint, Secure: cfg.S3.TLS, Region: cfg.S3.Region, Bucket: cfg.S3.Bucket,
		AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey, Timeout: cfg.S3.Timeout,
	}); err != nil {
		return fmt.Errorf("open the blob store: %w", err)
	}
	if a.verifier, err = auth.NewVerifier(auth.Options{Issuer: cfg.OIDCIssuer, Audience: cfg.OIDCAudience, Client: cfg.OIDCClient, Learned: a.learn}); err != nil {
		return err
	}
	policy := media.DefaultPolicy()
	policy.MaxSize = cfg.MaxUpload
	a.vault = commands.NewVault(a.store, policy)
	a.vault.Index = a.models.shares
	a.vault.Cases = projections.NewCaseIndex(a.models.review, a.models.shares)
	a.vault.FourEyes, a.vault.Lease, a.vault.Timeout = cfg.FourEyesRemove, cfg.ReviewLease, cfg.CommandTimeout
	a.media = commands.NewMedia(a.vault, a.blobs)
	a.keys.OnForgotten(a.vault.ForgetStates)
	a.access = commands.NewAccess(a.vault)
	a.findings = commands.NewFindings(a.vault, a.models.findings)
	patterns, err := pii.Load(cfg.PIIPatterns)
	if err != nil {
		return err
	}
	screening := a.screening(policy)
	content, err := a.contentStages(patterns)
	if err != nil {
		return err
	}
	screening.Stages = append(screening.Stages, content...)
	a.reactors = reactors.NewEngine(a.store, a.pool, reactors.Options{Logger: a.log, Transient: unavailable, Neighbour: blamed, Metrics: a.registry},
		screening, a.derivatives(), reactors.Enforcement{Media: a.media},
		reactors.Review{Moderation: commands.NewModeration(a.vault), Least: cfg.FindingsLeast},
		reactors.Describing{Media: a.media, Describer: describersOf(cfg)}, reactors.Lookalikes{Media: a.media, Index: a.models.twins}, reactors.Destruction{Media: a.media})
	keeping, err := a.keeping()
	if err != nil {
		return err
	}
	a.reactors.Add(keeping...)
	a.reactors.Add(reactors.Findings{Findings: a.findings, Patterns: patterns})
	a.rebuilds = newRebuilds(a.models.engine, a.log)
	return nil
}

// parts are what `serve` can run.
var partNames = []string{"write", "read", "project", "react", "stream"}

// parts says which of them run.
type parts map[string]bool

func partsOf(names []string) (parts, error) {
	if len(names) == 0 {
		names = partNames
	}
	p := parts{}
	for _, n := range names {
		if !slices.Contains(partNames, n) {
			return nil, fmt.Errorf("there is no part %q; accepted are write, read, project, react and stream", n)
		}
		p[n] = true
	}
	return p, nil
}

// unavailable says which faults are a neighbour that does not answer: no fault of who asks, and worth asking again.
func unavailable(err error) bool {
	return errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, blobs.ErrUnavailable) || errors.Is(err, clamd.ErrUnavailable) ||
		lostDatabase(err)
}

// blamed says which neighbour of reactors a fault is of; "" is the database, or nobody.
func blamed(err error) string {
	switch {
	case errors.Is(err, clamd.ErrUnavailable):
		return reactors.VirusScanner
	case errors.Is(err, blobs.ErrUnavailable):
		return reactors.Storage
	}
	return ""
}

// grace bounds what is done after the context that ended a command.
func grace() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}
