package reactors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/image/webp"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/adapters/clamd"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/s3test"
	"github.com/mediavault-io/mediavault/internal/sandbox"
	"github.com/mediavault-io/mediavault/reactors"
)

func TestMain(m *testing.M) {
	sandbox.MaybeChild(analyzers.Jobs())
	dev.MaybeChild()
	os.Exit(m.Run())
}

var owner = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}

// darkroom is what screening needs: a log in memory, a real S3, real children.
type darkroom struct {
	t         *testing.T
	store     *eventstore.Store
	media     *commands.Media
	s3        *minio.Client
	screening reactors.Screening
}

func newDarkroom(t *testing.T) *darkroom {
	t.Helper()
	codec, err := eventstore.NewCodec(storetest.Keys(), catalog.Types())
	if err != nil {
		t.Fatal(err)
	}
	s := s3test.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store, err := blobs.Open(ctx, blobs.Config{Endpoint: s.Endpoint(), AccessKey: s.AccessKey(), SecretKey: s.SecretKey(), Bucket: "vault"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(s.Endpoint(), &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey(), s.SecretKey(), ""), Region: s.Region()})
	if err != nil {
		t.Fatal(err)
	}
	pool := sandbox.NewPool(sandbox.Options{Children: 2})
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &darkroom{t: t, store: eventstore.New(memory.New(), codec), s3: client}
	d.media = commands.NewMedia(commands.NewVault(d.store, media.DefaultPolicy()), store)
	stages := append([]reactors.Stage{reactors.Integrity{}, reactors.TypeStage{Policy: media.DefaultPolicy()}, reactors.NameStage{Policy: media.DefaultPolicy()}, reactors.Malware{}}, reactors.ExaminedStages()...)
	d.screening = reactors.Screening{
		Media: d.media, Examiner: analyzers.Examiner{Pool: pool}, Stages: stages, MinScore: 50,
	}
	return d
}

// upload puts a file into the vault and answers its event.
func (d *darkroom) upload(name string, content []byte) eventstore.Recorded {
	d.t.Helper()
	got, err := d.media.Upload(d.t.Context(), commands.Envelope{Actor: owner}, commands.File{Name: name, Size: -1, Way: media.WayBody}, bytes.NewReader(content))
	if err != nil {
		d.t.Fatal(err)
	}
	for rec, err := range d.store.Stream(d.t.Context(), got.Stream, 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		return rec
	}
	d.t.Fatal("no event")
	return eventstore.Recorded{}
}

func (d *darkroom) state(rec eventstore.Recorded) media.State {
	d.t.Helper()
	s, err := d.media.Facts(d.t.Context(), domain.MediaID(rec.Stream.ID()))
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *darkroom) react(rec eventstore.Recorded) media.State {
	d.t.Helper()
	if err := d.screening.React(d.t.Context(), rec); err != nil {
		d.t.Fatal(err)
	}
	return d.state(rec)
}

func (d *darkroom) objects() int {
	n := 0
	for o := range d.s3.ListObjectsIter(d.t.Context(), "vault", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			d.t.Fatal(o.Err)
		}
		n++
	}
	return n
}

func (d *darkroom) bytes(key domain.ObjectKey) []byte {
	d.t.Helper()
	b, err := d.media.Open(d.t.Context(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	defer b.Close()
	all, err := io.ReadAll(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// photo is a JPEG with a comment in which somebody is named, as some cameras write it.
func photo(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 900, 600))
	for i := range img.Pix {
		img.Pix[i] = byte(i / 700)
	}
	img.SetRGBA(0, 0, color.RGBA{255, 0, 0, 255})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	xmp := "http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>" +
		"<rdf:Description xmlns:a='http://a/' a:OwnerName='Alice Example'/></rdf:RDF></x:xmpmeta>"
	segment := append([]byte{0xff, 0xe1, byte((len(xmp) + 2) >> 8), byte(len(xmp) + 2)}, xmp...)
	return append(append(bytes.Clone(b.Bytes()[:2]), segment...), b.Bytes()[2:]...)
}

// said is the verdict and all codes.
func said(s media.State) string {
	v := s.Versions[0].Screened
	var codes []string
	for _, st := range v.Stages {
		codes = append(codes, st.Codes...)
	}
	slices.Sort(codes)
	return strings.TrimSpace(string(v.Verdict) + " " + strings.Join(codes, " "))
}

func TestThumbnailsAreInWebPTooWhereThereIsATool(t *testing.T) {
	t.Parallel()
	tools := analyzers.FindTools()
	d := newDarkroom(t)
	d.screening.Tools.CWebP = tools.CWebP
	v := d.react(d.upload("harbour.jpg", photo(t))).Versions[0]
	for _, name := range []string{"200", "400"} {
		plain, _ := media.Find(v.Derivatives, media.KindThumbnail, name)
		got, ok := media.Find(v.Derivatives, media.KindThumbnail, name+media.InWebP)
		if ok != (tools.CWebP != "") {
			t.Fatalf("%s in WebP: %v, with %q", name, ok, tools.CWebP)
		}
		if !ok {
			continue // cwebp is not installed, and nothing is amiss: the JPEG is there
		}
		img, err := webp.Decode(bytes.NewReader(d.bytes(got.Object)))
		if err != nil || got.Type != "image/webp" || got.Size >= plain.Size || img.Bounds().Dx() != plain.Width || img.Bounds().Dy() != plain.Height {
			t.Errorf("%s: %v, %+v beside %+v", name, err, got, plain)
		}
	}
}

func TestAGoodPhotoIsDeliverableWithItsThumbnails(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	original := photo(t)
	rec := d.upload("harbour.jpg", original)
	if err := d.state(rec).Delivery(0); !errors.Is(err, media.ErrNotScreened) {
		t.Fatalf("before: %v", err)
	}
	s := d.react(rec)
	v := s.Versions[0]
	if s.Delivery(0) != nil || said(s) != "clean no_scanner" || v.Screened.Score != 95 || v.Screened.MinScore != 50 {
		t.Fatalf("got %+v", v.Screened)
	}
	if v.Inspected.Width != 900 || v.Inspected.Height != 600 || !v.Inspected.Telling || v.Blurhash == "" {
		t.Errorf("got %+v", v.Inspected)
	}
	for _, name := range []string{"200", "400"} {
		got, ok := media.Find(v.Derivatives, media.KindThumbnail, name)
		if !ok {
			t.Fatalf("no thumbnail %s", name)
		}
		img, err := jpeg.Decode(bytes.NewReader(d.bytes(got.Object)))
		if err != nil || img.Bounds().Dx() != got.Width || img.Bounds().Dy() != got.Height {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	if _, ok := media.Find(v.Derivatives, media.KindThumbnail, "400"+media.InWebP); ok {
		t.Error("a thumbnail in WebP, without the tool")
	}
	clean, ok := v.Clean()
	if !ok {
		t.Fatal("no copy without names")
	}
	if b := d.bytes(clean.Object); bytes.Contains(b, []byte("Alice")) || int64(len(b)) != clean.Size {
		t.Error("the copy tells who it is")
	}
	if !bytes.Equal(d.bytes(v.File.Object), original) {
		t.Error("the original changed")
	}
	before := d.objects()
	again := d.react(rec)
	if fmt.Sprint(again) != fmt.Sprint(s) || d.objects() != before {
		t.Error("reacting again changed something")
	}
	t.Run("and purging leaves nothing of it, recorded or not", func(t *testing.T) {
		id, env := domain.MediaID(rec.Stream.ID()), commands.Envelope{Actor: owner}
		if _, err := d.media.StoreDerivative(t.Context(), owner.ID, id, "nobody recorded this", strings.NewReader("x"), 1, "text/plain"); err != nil {
			t.Fatal(err)
		}
		_, err := d.media.Delete(t.Context(), env, id)
		if err == nil {
			_, err = d.media.Purge(t.Context(), env, id)
		}
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range d.store.Stream(t.Context(), rec.Stream, 0) {
			if _, purged := rec.Event.(media.Purged); purged {
				err = errors.Join(err, reactors.Destruction{Media: d.media}.React(t.Context(), rec))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := d.objects(); n != 0 {
			t.Errorf("%d objects are left", n)
		}
		// Screened late, with the bytes gone: nothing comes back.
		if s := d.react(rec); s.Phase != media.Gone || d.objects() != 0 {
			t.Errorf("something came back: %v", s.Phase)
		}
	})
}

// examinerFunc is an Examiner that says what a test wants, after it has read everything.
type examinerFunc func() (analyzers.Examination, error)

func (f examinerFunc) Examine(_ context.Context, _ analyzers.Request, in io.Reader) (analyzers.Examination, error) {
	if _, err := io.Copy(io.Discard, in); err != nil {
		return analyzers.Examination{}, err
	}
	return f()
}

func TestWhatIsNotWellIsNotDelivered(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`
	replace := func(content string) func(eventstore.Recorded) {
		return func(rec eventstore.Recorded) {
			t.Helper()
			key := string(d.state(rec).Versions[0].File.Object)
			if _, err := d.s3.PutObject(t.Context(), "vault", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := []byte("some plain text\n")
	for name, c := range map[string]struct {
		file    string
		content []byte
		meddle  func(eventstore.Recorded)
		want    string
	}{
		"plain text is well":                  {"a.txt", text, nil, "clean no_scanner"},
		"the scanners' test file":             {"a.txt", []byte(eicar), nil, "blocked eicar malware"},
		"the scanners' test file far within":  {"b.txt", append(bytes.Repeat([]byte("text text "), 30_000), eicar...), nil, "blocked eicar malware"},
		"bytes that changed":                  {"a.txt", []byte("text that changes\n"), replace("TEXT that changes\n"), "blocked sha256_mismatch"},
		"bytes that are fewer":                {"a.txt", []byte("text that shrinks\n"), replace("text that"), "blocked size_mismatch"},
		"bytes that are another thing by now": {"a.txt", []byte("text for a while\n"), replace("%PDF-1.4 text...\n"), "blocked sha256_mismatch"},
		"half a photo":                        {"a.jpg", photo(t)[:2000], nil, "review no_scanner undecodable"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := d.upload(c.file, c.content)
			if c.meddle != nil {
				c.meddle(rec)
			}
			s := d.react(rec)
			if said(s) != c.want || s.Deliverable(0) != strings.HasPrefix(c.want, "clean") {
				t.Errorf("got %q, want %q", said(s), c.want)
			}
			if strings.HasPrefix(c.want, "blocked") && len(s.Versions[0].Derivatives) > 0 {
				t.Error("something was made of it")
			}
		})
	}
	t.Run("bytes that are gone", func(t *testing.T) {
		rec := d.upload("gone.txt", []byte("gone soon"))
		if err := d.s3.RemoveObject(t.Context(), "vault", string(d.state(rec).Versions[0].File.Object), minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := said(d.react(rec)); got != "blocked missing" {
			t.Errorf("got %q", got)
		}
	})
	for code, want := range map[string]string{
		"crashed": "review decoder_crashed no_scanner", "killed": "review decoder_killed no_scanner",
		"timed_out": "review decoder_timed_out no_scanner", "out_of_memory": "blocked decoder_out_of_memory no_scanner",
	} {
		t.Run("what makes a child "+code, func(t *testing.T) {
			hostile := *d
			hostile.screening.Examiner = examinerFunc(func() (analyzers.Examination, error) {
				return analyzers.Examination{Failure: &analyzers.Failure{Code: code, Step: "decode"}}, nil
			})
			if got := said(hostile.react(hostile.upload(code+".txt", text))); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("a child that was killed once says nothing about the bytes", func(t *testing.T) {
		unlucky, asked := *d, 0
		unlucky.screening.Examiner = examinerFunc(func() (analyzers.Examination, error) {
			if asked++; asked == 1 {
				return analyzers.Examination{Failure: &analyzers.Failure{Code: "killed"}}, nil
			}
			return analyzers.Examination{}, nil
		})
		if got := said(unlucky.react(unlucky.upload("unlucky.txt", text))); got != "clean no_scanner" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("and an examiner that cannot be asked is no verdict", func(t *testing.T) {
		broken := *d
		broken.screening.Examiner = examinerFunc(func() (analyzers.Examination, error) { return analyzers.Examination{}, io.ErrClosedPipe })
		rec := broken.upload("later.txt", text)
		if err := broken.screening.React(t.Context(), rec); !errors.Is(err, io.ErrClosedPipe) || broken.state(rec).Deliverable(0) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAScannerThatDoesNotAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	d.screening.Stages = []reactors.Stage{reactors.Integrity{}, reactors.Malware{Scanner: clamd.New(address)}}
	rec := d.upload("a.txt", []byte("plain text"))
	if err := d.screening.React(t.Context(), rec); !errors.Is(err, clamd.ErrUnavailable) || d.state(rec).Versions[0].Screened.Verdict != "" {
		t.Errorf("got %v", err)
	}
}
