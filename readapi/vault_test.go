package readapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/apitest"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/internal/s3test"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
	"github.com/mediavault-io/mediavault/readapi"
)

func TestMain(m *testing.M) {
	dev.MaybeChild()
	os.Exit(m.Run())
}

// vault is the read API over a real database, real read models and a real S3; the log is in memory, and events get into it
// without commands.
type vault struct {
	*testing.T
	store  *eventstore.Store
	pool   *pgxpool.Pool
	engine *projections.Engine
	s3     *dev.S3
	blobs  *blobs.S3
	rec    *recorder
	api    *readapi.Server
	spec   *apitest.Spec
	client *http.Client
	url    string
}

type option func(*vault, *readapi.Parts, *web.Options)

func newVault(t *testing.T, options ...option) *vault {
	t.Helper()
	keys := storetest.Keys()
	codec, err := eventstore.NewCodec(keys, catalog.Types())
	must(t, err)
	log := memory.New()
	t.Cleanup(log.Close)
	v := &vault{T: t, store: eventstore.New(log, codec), pool: pgtest.New(t), s3: s3test.New(t)}
	v.engine, err = projections.New(v.pool, v.store, projections.Options{Log: quiet()},
		projections.Define(projections.LibraryProjection()), projections.Define(projections.SharesProjection()),
		projections.Define(projections.AccessProjection()), projections.Define(projections.ReviewProjection()), projections.Define(projections.FindingsProjection()),
		projections.Define(projections.AuditProjection()), projections.Define(projections.UsageProjection()),
		projections.Define(projections.DuplicatesProjection()), projections.Define(projections.SuggestionsProjection()), projections.Define(projections.NotificationsProjection()), projections.Define(projections.WebhooksProjection()))
	must(t, err)
	must(t, v.engine.Prepare(t.Context()))
	v.runEngine()
	v.blobs, err = blobs.Open(t.Context(), blobs.Config{
		Endpoint: v.s3.Endpoint(), AccessKey: v.s3.AccessKey(), SecretKey: v.s3.SecretKey(), Region: v.s3.Region(), Bucket: "vault",
	})
	must(t, err)

	v.rec = &recorder{store: v.store}
	p := readapi.Parts{Engine: v.engine, Blobs: v.blobs, Recorder: v.rec, Rebuilder: rebuilder{}, Parked: tray{}, Log: quiet(), Heartbeat: 50 * time.Millisecond}
	p.Library, err = projections.NewLibrary(v.engine, log)
	must(t, err)
	p.Access, err = projections.NewAccess(v.engine, log)
	must(t, err)
	p.Shares, err = projections.NewShares(v.engine, log, p.Access)
	must(t, err)
	p.Review, err = projections.NewReview(v.engine, keys, log)
	must(t, err)
	p.Findings, err = projections.NewFindings(v.engine, keys)
	must(t, err)
	p.Audit, err = projections.NewAudit(v.engine, keys)
	must(t, err)
	p.Usage, err = projections.NewUsage(v.engine)
	must(t, err)
	p.Notifications, err = projections.NewNotifications(v.engine)
	must(t, err)
	p.Webhooks, err = projections.NewWebhooks(v.engine)
	must(t, err)
	p.Recipients = recipients{}
	p.Duplicates, err = projections.NewDuplicates(v.engine, p.Access)
	must(t, err)
	p.Suggestions, err = projections.NewSuggestions(v.engine, keys)
	must(t, err)
	p.History, err = projections.NewHistory(v.engine, v.store, p.Access)
	must(t, err)
	o := web.Options{Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})), Identify: identify, Faults: []func(error) (*domain.Refusal, bool){fault}}
	for _, option := range options {
		option(v, &p, &o)
	}
	v.api = readapi.New(p)
	edge, err := web.New(o)
	must(t, err)
	router := web.NewRouter()
	web.Mount(router, v.api.Routes(), v.api.Refused)
	server := httptest.NewServer(edge.Serve(router))
	server.Config.ErrorLog = slog.NewLogLogger(quiet().Handler(), slog.LevelError)
	t.Cleanup(server.Close)
	t.Cleanup(edge.Drain)
	v.url = server.URL
	v.spec = apitest.Load(t, readapi.OpenAPI())
	v.client = apitest.Client(t, v.spec)
	t.Cleanup(v.client.CloseIdleConnections)
	return v
}

func (v *vault) runEngine() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.engine.Run(ctx) }()
	v.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			v.Errorf("the engine ended with: %v", err)
		}
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// identify takes `id role org` for a token; adapters/auth has tests of its own.
func identify(r *http.Request) (domain.Actor, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return domain.Actor{Roles: []domain.Role{domain.RoleGuest}}, nil
	}
	parts := strings.Fields(token)
	a := domain.Actor{ID: domain.UserID(parts[0]), Roles: []domain.Role{domain.Role(parts[1])}}
	if len(parts) > 2 {
		a.Org = domain.OrgID(parts[2])
	}
	return a, nil
}

func fault(err error) (*domain.Refusal, bool) {
	var connect *pgconn.ConnectError
	var server *pgconn.PgError
	var network net.Error
	if errors.Is(err, blobs.ErrUnavailable) || errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &server) && strings.HasPrefix(server.Code, "57") || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "closed pool") {
		return domain.Refuse(domain.Unavailable, "unavailable", "a neighbour does not answer"), true
	}
	return nil, false
}

type rebuilder struct{}

func (rebuilder) Rebuild(_ context.Context, name string, _ domain.Actor) error {
	if name != projections.LibraryName {
		return projections.ErrUnknown
	}
	return nil
}

func digest(b []byte) domain.Digest {
	sum := sha256.Sum256(b)
	return domain.Digest(hex.EncodeToString(sum[:]))
}

// by appends events as somebody, and answers the position of the last.
func (v *vault) by(who string, stream eventstore.Stream, events ...domain.Event) int64 {
	v.Helper()
	actor := domain.Actor{ID: domain.UserID(who), Roles: []domain.Role{domain.RoleUser}}
	meta := eventstore.Metadata{
		Command: uuid.New(), Actor: actor, Correlation: uuid.New(), Reason: domain.NewPersonal(actor.ID, "because"),
		Address: domain.NewPersonal(actor.ID, "192.0.2.7"),
	}
	receipt, err := v.store.Append(context.Background(), stream, eventstore.Any, meta, events...)
	must(v, err)
	return int64(receipt.Position)
}

// file puts bytes into storage.
func (v *vault) file(owner, name, kind string, content []byte) media.File {
	v.Helper()
	key := v.blobs.NewKey(domain.UserID(owner))
	_, err := v.blobs.Put(v.Context(), key, bytes.NewReader(content), int64(len(content)), kind)
	must(v, err)
	return media.File{
		Name: domain.NewPersonal(domain.UserID(owner), name), Type: kind, Size: int64(len(content)), SHA256: digest(content), Object: key, Way: media.WayBody,
	}
}

func mediaStream(id domain.MediaID) eventstore.Stream { return eventstore.StreamOf(media.Category, id) }
func shareStream(id domain.ShareID) eventstore.Stream { return eventstore.StreamOf(share.Category, id) }

// upload is an item that was uploaded and found clean; position is of the last of its events.
func (v *vault) upload(owner, name string, content []byte, org ...string) (domain.MediaID, int64) {
	v.Helper()
	id := domain.MediaID(uuid.Must(uuid.NewV7()).String())
	up := media.Uploaded{
		Media: id, Owner: domain.UserID(owner), Title: domain.NewPersonal(domain.UserID(owner), "About "+name), File: v.file(owner, name, "image/png", content),
	}
	if len(org) > 0 {
		up.Org = domain.OrgID(org[0])
	}
	v.by(owner, mediaStream(id), up)
	return id, v.screen(id, 1)
}

func (v *vault) screen(id domain.MediaID, version int) int64 {
	v.Helper()
	return v.by("system", mediaStream(id), media.Screened{Version: version, Verdict: media.VerdictClean, Score: 100})
}

func (v *vault) share(id domain.MediaID, owner string, with share.Grantee, terms share.Terms) (domain.ShareID, int64) {
	v.Helper()
	s := domain.ShareID(uuid.Must(uuid.NewV7()).String())
	if terms.Permissions == nil {
		terms.Permissions = []share.Permission{share.View}
	}
	return s, v.by(owner, shareStream(s), share.Granted{
		Share: s, Media: id, Owner: domain.UserID(owner), By: domain.UserID(owner), With: with, Terms: terms,
	})
}

// settled waits until the read models hold everything.
func (v *vault) settled() int64 {
	v.Helper()
	head, err := v.store.Head(context.Background())
	must(v, err)
	for _, name := range v.engine.Names() {
		for {
			err := v.engine.WaitFor(v.Context(), name, head)
			if err == nil {
				break
			}
			if !errors.Is(err, projections.ErrNotYet) { // the machine is busy
				v.Fatal(err)
			}
		}
	}
	return int64(head)
}

type answer struct {
	*http.Response
	body []byte
}

func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p)
	return p.Code
}

// get asks as somebody (`alice user`), or as a guest; headers are pairs of name and value.
func (v *vault) get(who, path string, headers ...string) answer {
	v.Helper()
	return v.ask(http.MethodGet, who, path, headers...)
}

func (v *vault) ask(method, who, path string, headers ...string) answer {
	v.Helper()
	res, err := v.client.Do(v.request(v.Context(), method, who, path, headers...))
	must(v, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(v, err)
	return answer{res, body}
}

func (v *vault) request(ctx context.Context, method, who, path string, headers ...string) *http.Request {
	v.Helper()
	r, err := http.NewRequestWithContext(ctx, method, v.url+path, nil)
	must(v, err)
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// into asks and reads the answer, which has to be 200.
func into[T any](v *vault, who, path string, headers ...string) T {
	v.Helper()
	a := v.get(who, path, headers...)
	var t T
	if a.StatusCode != http.StatusOK {
		v.Fatalf("GET %s as %q: %d %s", path, who, a.StatusCode, a.body)
	}
	must(v, json.Unmarshal(a.body, &t))
	return t
}

// refused asks, and wants this status and code.
func (v *vault) refused(status int, code, who, path string, headers ...string) answer {
	v.Helper()
	a := v.get(who, path, headers...)
	if a.StatusCode != status || a.code() != code {
		v.Errorf("GET %s as %q: %d %s, not %d %s", path, who, a.StatusCode, a.body, status, code)
	}
	return a
}

func after(position int64) []string {
	return []string{"Vault-After", strconv.FormatInt(position, 10)}
}

func rights(t *testing.T, v *vault, token func(domain.Role) string) {
	t.Helper()
	apitest.Rights(t, v.client, v.url, v.api.Routes(), token)
}
