package writeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/apitest"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/s3test"
	"github.com/mediavault-io/mediavault/internal/web"
)

func TestMain(m *testing.M) {
	dev.MaybeChild()
	os.Exit(m.Run())
}

const bucket = "vault"

// vault is the write API over real HTTP, with real tokens, commands and S3, and an event log in memory.
type vault struct {
	t       testing.TB
	url     string
	handler http.Handler
	client  *http.Client // holds every answer against openapi.yaml
	spec    *apitest.Spec
	server  *Server
	store   *eventstore.Store
	s3      *minio.Client
	storage *dev.S3
	tray    *tray
	issuer  *auth.Issuer
	shared  *commands.Vault
	waiting *queue

	mu     sync.Mutex // guards tokens
	tokens map[string]string
}

// newVault starts a vault; change, when it is not nil, changes the server before it serves.
func newVault(t testing.TB, change func(*Server)) *vault {
	t.Helper()
	ctx := t.Context()
	s3 := s3test.New(t)
	// Killing is quick; stopping waits for connections that nobody uses.
	t.Cleanup(func() { _ = s3.Kill() })
	blobStore, err := blobs.Open(ctx, blobs.Config{
		Endpoint: s3.Endpoint(), AccessKey: s3.AccessKey(), SecretKey: s3.SecretKey(), Region: s3.Region(), Bucket: bucket,
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := minio.New(strings.TrimPrefix(s3.Endpoint(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s3.AccessKey(), s3.SecretKey(), ""), Region: s3.Region(),
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := storetest.Keys()
	codec, err := eventstore.NewCodec(keys, catalog.Types())
	if err != nil {
		t.Fatal(err)
	}
	log := memory.New()
	t.Cleanup(log.Close)
	v := &vault{t: t, spec: apitest.Load(t, OpenAPI()), store: eventstore.New(log, codec), s3: raw, storage: s3, tokens: map[string]string{}, tray: &tray{}}
	v.client = apitest.Client(t, v.spec)

	issuing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.issuer.Handler().ServeHTTP(w, r) }))
	t.Cleanup(issuing.Close)
	if v.issuer, err = auth.OpenIssuer(t.TempDir(), issuing.URL); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.NewVerifier(auth.Options{Issuer: issuing.URL, Audience: auth.Audience})
	if err != nil {
		t.Fatal(err)
	}

	commanded := commands.NewVault(v.store, media.DefaultPolicy())
	v.shared, v.waiting = commanded, &queue{}
	commanded.Cases = v.waiting
	v.server = &Server{
		Media: commands.NewMedia(commanded, blobStore), Shares: commands.NewShares(commanded),
		Moderation: commands.NewModeration(commanded), Findings: commands.NewFindings(commanded, nothingFound{}),
		Operations: commands.NewOperations(commanded, v.tray), Notifications: commands.NewNotifications(commanded, inbox{v}),
		People:  commands.NewPeople(commanded, nil, subjects{keys}, nil),
		MaxFile: media.DefaultPolicy().MaxSize, Refused: v.refused(commands.NewAccess(commanded)),
	}
	if change != nil {
		change(v.server)
	}
	edge, err := web.New(web.Options{
		Log: quiet(), Identify: verifier.Identify, Refused: v.server.Refused, Faults: []func(error) (*domain.Refusal, bool){unavailable},
	})
	if err != nil {
		t.Fatal(err)
	}
	router := web.NewRouter()
	v.server.Routes(router)
	v.handler = edge.Serve(router)
	serving := httptest.NewServer(v.handler)
	t.Cleanup(serving.Close)
	v.url = serving.URL
	return v
}

// queue is an index of cases that knows what the test says.
type queue struct {
	mu  sync.Mutex // guards ids
	ids []domain.CaseID
}

func (q *queue) set(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids = nil
	for _, id := range ids {
		q.ids = append(q.ids, domain.CaseID(id))
	}
}

// Waiting implements commands.CaseIndex.
func (q *queue) Waiting(context.Context, domain.Actor, int) ([]domain.CaseID, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ids, nil
}

// ClaimedBy implements commands.CaseIndex.
func (q *queue) ClaimedBy(ctx context.Context, _ domain.UserID, _ int) ([]domain.CaseID, error) {
	return q.Waiting(ctx, domain.Actor{}, 0)
}

// SharesOf implements commands.CaseIndex.
func (q *queue) SharesOf(context.Context, domain.MediaID) ([]domain.ShareID, error) { return nil, nil }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func unavailable(err error) (*domain.Refusal, bool) {
	return domain.Refuse(domain.Unavailable, "unavailable", "storage does not answer"), errors.Is(err, blobs.ErrUnavailable)
}

// token is a bearer token of somebody with these roles.
func (v *vault) token(id domain.UserID, roles ...domain.Role) string {
	v.t.Helper()
	if len(roles) == 0 {
		roles = []domain.Role{domain.RoleUser}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	key := string(id) + string(roles[0])
	if v.tokens[key] == "" {
		token, err := v.issuer.Token(domain.Actor{ID: id, Roles: roles}, time.Hour)
		if err != nil {
			v.t.Fatal(err)
		}
		v.tokens[key] = token
	}
	return v.tokens[key]
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (r reply) text(name string) string { s, _ := r.body[name].(string); return s }
func (r reply) code() string            { return r.text("code") }
func (r reply) id() string              { return r.text("id") }

// do sends a request as somebody; "" is a guest. A string body that begins with { is JSON.
func (v *vault) do(who domain.UserID, method, path string, body any, headers ...string) reply {
	v.t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		content = b
	case string:
		content = strings.NewReader(b)
	case []byte:
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, content)
	if err != nil {
		v.t.Fatal(err)
	}
	if s, ok := body.(string); ok && strings.HasPrefix(s, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case who == "":
	case strings.HasPrefix(string(who), "mod"):
		r.Header.Set("Authorization", "Bearer "+v.token(who, domain.RoleModerator))
	default:
		r.Header.Set("Authorization", "Bearer "+v.token(who))
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return v.send(r)
}

func (v *vault) send(r *http.Request) reply {
	v.t.Helper()
	res, err := v.client.Do(r)
	if err != nil {
		v.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	got := reply{status: res.StatusCode, header: res.Header, raw: raw}
	_ = json.Unmarshal(raw, &got.body) // what is not JSON has no fields
	return got
}

// want fails the test when the answer has another status or code.
func (v *vault) want(got reply, status int, code string) reply {
	v.t.Helper()
	if got.status != status || got.code() != code {
		v.t.Fatalf("got %d %s, wanted %d %s", got.status, got.raw, status, code)
	}
	return got
}

// upload puts a picture into the vault for somebody and answers its id.
func (v *vault) upload(who domain.UserID, title string) string {
	v.t.Helper()
	got := v.do(who, http.MethodPost, "/v1/media", picture(title), "Content-Type", "image/png", "Content-Disposition", `attachment; filename="p.png"`)
	return v.want(got, http.StatusCreated, "").id()
}

// events are all events in the log, by type.
func (v *vault) events() []eventstore.Recorded {
	v.t.Helper()
	var all []eventstore.Recorded
	for rec, err := range v.store.ReadAll(context.WithoutCancel(v.t.Context()), eventstore.Read{}) {
		if err != nil {
			v.t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}

// objects counts what is in the bucket, parts of uploads that were begun and not ended included.
func (v *vault) objects() int {
	v.t.Helper()
	n := 0
	for o := range v.s3.ListObjects(v.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			v.t.Fatal(o.Err)
		}
		n++
	}
	for u := range v.s3.ListIncompleteUploads(v.t.Context(), bucket, "", true) {
		if u.Err != nil {
			v.t.Fatal(u.Err)
		}
		n++
	}
	return n
}

// picture is a PNG that is different for each name.
func picture(name string) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 16, 16))
	for i, c := range []byte(name) {
		img.Set(i%16, i/16%16, color.RGBA{R: c, G: byte(i), B: 99, A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// refused appends what was refused, with no more than the request says; readapi records it in the vault.
func (v *vault) refused(a *commands.Access) web.Refused {
	return func(r *http.Request, rt web.Route, refusal *domain.Refusal) {
		env := commands.Envelope{Actor: web.Actor(r), Address: web.ClientAddr(r)}
		env.Reason, _ = web.Reason(r)
		err := a.Refused(r.Context(), env, access.Refused{
			Action: rt.Action(), Resource: mux.Vars(r)["id"], Code: refusal.Code, Status: web.Status(refusal.Kind),
		})
		if err != nil {
			v.t.Error(err)
		}
	}
}
