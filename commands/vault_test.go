package commands_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/s3test"
)

func TestMain(m *testing.M) {
	dev.MaybeChild()
	os.Exit(m.Run())
}

const bucket = "vault"

// vault is a whole write side: a log in memory, a real S3, and every command.
type vault struct {
	t          testing.TB
	store      *eventstore.Store
	blobs      *blobs.S3
	s3         *minio.Client
	shared     *commands.Vault
	media      *commands.Media
	shares     *commands.Shares
	moderation *commands.Moderation
	access     *commands.Access
	clock      *clock
	index      *index
}

// newVault makes one; with an S3 only where bytes matter, because that is a child process.
func newVault(t testing.TB, withS3 bool) *vault {
	t.Helper()
	return newVaultOn(t, withS3, memory.New())
}

func newVaultOn(t testing.TB, withS3 bool, log eventstore.Log) *vault {
	t.Helper()
	codec, err := eventstore.NewCodec(storetest.Keys(), catalog.Types())
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{t: t, store: eventstore.New(log, codec), clock: &clock{now: time.Now().UTC()}}
	if withS3 {
		s := s3test.New(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if v.blobs, err = blobs.Open(ctx, blobs.Config{
			Endpoint: s.Endpoint(), AccessKey: s.AccessKey(), SecretKey: s.SecretKey(), Bucket: bucket,
		}); err != nil {
			t.Fatal(err)
		}
		if v.s3, err = minio.New(s.Endpoint(), &minio.Options{
			Creds: credentials.NewStaticV4(s.AccessKey(), s.SecretKey(), ""), Region: s.Region(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	v.index = &index{store: v.store}
	v.shared = commands.NewVault(v.store, media.DefaultPolicy())
	v.shared.Now, v.shared.Index = v.clock.Now, v.index
	v.media, v.shares = commands.NewMedia(v.shared, v.blobs), commands.NewShares(v.shared)
	v.moderation, v.access = commands.NewModeration(v.shared), commands.NewAccess(v.shared)
	return v
}

type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// index finds shares by reading the log, as a read model would that is never behind.
type index struct{ store *eventstore.Store }

func (i *index) SharesWith(ctx context.Context, item domain.MediaID, actor domain.Actor) ([]domain.ShareID, error) {
	var ids []domain.ShareID
	for rec, err := range i.store.ReadAll(ctx, eventstore.Read{Filter: eventstore.Filter{Types: []string{"share.granted"}}}) {
		if err != nil {
			return nil, err
		}
		if g, ok := rec.Event.(share.Granted); ok && g.Media == item && (g.With.User == actor.ID || actor.MemberOf(g.With.Organisation)) {
			ids = append(ids, g.Share)
		}
	}
	return ids, nil
}

var (
	alice = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	bob   = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	carol = domain.Actor{ID: "carol", Roles: []domain.Role{domain.RoleUser}}
	mod   = domain.Actor{ID: "mod", Roles: []domain.Role{domain.RoleModerator}}
	judge = domain.Actor{ID: "judge", Roles: []domain.Role{domain.RoleModerator}}
	guest = domain.Actor{}
)

func by(a domain.Actor) commands.Envelope {
	return commands.Envelope{Actor: a, Address: "192.0.2.1", UserAgent: "test", Reason: "because"}
}

func keyed(a domain.Actor, key string) commands.Envelope {
	env := by(a)
	env.IdempotencyKey = key
	return env
}

// item puts an item straight into the log: what became of its bytes does not matter to the test.
func (v *vault) item(owner domain.Actor, verdict media.Verdict) domain.MediaID {
	v.t.Helper()
	id := domain.MediaID(v.shared.NewID().String())
	events := []domain.Event{media.Uploaded{
		Media: id, Owner: owner.ID, Title: domain.NewPersonal(owner.ID, "T"),
		File: media.File{Name: domain.NewPersonal(owner.ID, "a.png"), Type: "image/png", Size: 10, SHA256: digest([]byte("x")), Object: "k", Way: media.WayBody},
	}}
	if verdict != "" {
		events = append(events, media.Screened{Version: 1, Verdict: verdict, Score: 50})
	}
	_, err := v.store.Append(v.t.Context(), eventstore.StreamOf("media", id), eventstore.NoStream, eventstore.Metadata{Command: v.shared.NewID()}, events...)
	if err != nil {
		v.t.Fatal(err)
	}
	return id
}

func (v *vault) events(stream eventstore.Stream) []eventstore.Recorded {
	v.t.Helper()
	var all []eventstore.Recorded
	for rec, err := range v.store.Stream(v.t.Context(), stream, 0) {
		if err != nil {
			v.t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}

func (v *vault) types(stream eventstore.Stream) []string {
	v.t.Helper()
	var all []string
	for _, rec := range v.events(stream) {
		all = append(all, rec.Type)
	}
	return all
}

func must[T any](got T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
}

func refused(t *testing.T, err error, want *domain.Refusal) {
	t.Helper()
	if r, ok := domain.AsRefusal(err); !ok || !errors.Is(err, want) || r.Kind != want.Kind {
		t.Errorf("want the refusal %s, got %v", want.Code, err)
	}
}

func digest(b []byte) domain.Digest {
	sum := sha256.Sum256(b)
	return domain.Digest(hex.EncodeToString(sum[:]))
}

// picture draws a PNG that differs by its shade.
func picture(t *testing.T, shade uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = shade + uint8(i*7) //nolint:gosec // wraps on purpose
	}
	img.Set(0, 0, color.White)
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// together runs n calls at once and waits for all.
func together(n int, call func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	wg.Wait()
}
