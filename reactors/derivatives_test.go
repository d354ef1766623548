package reactors_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// mp4 is the beginning of a video in which a telephone marked where it was taken.
const mp4 = "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\x00\x00\x00\x24moov\x00\x00\x00\x1cudta\x00\x00\x00\x14\xa9xyz\x00\x08\x15\xc7+53+9.9/"

func TestWithoutToolsAVideoThatTellsIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	s := d.react(d.upload("film.mp4", []byte(mp4)))
	object := s.Versions[0].File.Object
	if said(s) != "clean no_scanner" || !s.Versions[0].Inspected.Telling {
		t.Fatalf("got %s, %+v", said(s), s.Versions[0].Inspected)
	}
	if others, own := s.Handed(0, object, false, false), s.Handed(0, object, false, true); !errors.Is(others, media.ErrTelling) || own != nil {
		t.Errorf("others %v, the owner %v", others, own)
	}
}

// filmed is a short video with a place, as a telephone makes it.
func filmed(t *testing.T, tools analyzers.Tools) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mov")
	out, err := exec.CommandContext(t.Context(), tools.FFmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:d=1", "-c:v", "libx264",
		"-preset", "ultrafast", "-metadata", "location=+53.5511+009.9937/", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	film, err := os.ReadFile(path)
	must(t, err)
	return film
}

// made has the slow derivatives made of what was screened, twice.
func (d *darkroom) made(rec eventstore.Recorded, tools analyzers.Tools) media.Version {
	d.t.Helper()
	makes := reactors.Derivatives{Media: d.media, Examiner: d.screening.Examiner, Tools: tools}
	for range 2 {
		for rec, err := range d.store.Stream(d.t.Context(), rec.Stream, 0) {
			must(d.t, err)
			if _, screened := rec.Event.(media.Screened); screened {
				must(d.t, makes.React(d.t.Context(), rec))
			}
		}
	}
	return d.state(rec).Versions[0]
}

// blank is a PDF with one empty page.
const blank = "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n" +
	"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]>>\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

func TestWithoutToolsEverythingIsDeliverableAndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	heic, err := os.ReadFile("../adapters/analyzers/testdata/scene.heic")
	must(t, err)
	for name, content := range map[string][]byte{"film.mp4": []byte(mp4), "page.pdf": []byte(blank), "scene.heic": heic} {
		rec := d.upload(name, content)
		s := d.react(rec)
		v := d.made(rec, analyzers.Tools{})
		if !s.Deliverable(0) || len(v.Derivatives) > 0 || v.NoPicture != media.NoPictureToolMissing {
			t.Errorf("%s: %s, %+v, %q", name, said(s), v.Derivatives, v.NoPicture)
		}
	}
}

func TestWithToolsPicturesAreMadeOfWhatTheyKnow(t *testing.T) {
	t.Parallel()
	d, tools := newDarkroom(t), analyzers.FindTools()
	d.screening.Tools = tools
	heic, err := os.ReadFile("../adapters/analyzers/testdata/scene.heic")
	must(t, err)
	for _, c := range []struct {
		name, tool string
		content    []byte
	}{{"page.pdf", tools.PDFToPPM, []byte(blank)}, {"scene.heic", tools.HEIFThumbnailer, heic}} {
		rec := d.upload(c.name, c.content)
		s := d.react(rec)
		v := d.made(rec, tools)
		_, shown := media.Find(v.Derivatives, media.KindThumbnail, "400")
		if !s.Deliverable(0) || shown != (c.tool != "") || shown == (v.NoPicture != "") || shown != (v.Blurhash != "") {
			t.Errorf("%s by %q: %s, %+v, %q", c.name, c.tool, said(s), v.Derivatives, v.NoPicture)
		}
	}
	t.Run("and what none of them can read says so", func(t *testing.T) {
		rec := d.upload("half.heic", heic[:len(heic)/2])
		s := d.react(rec)
		want := media.NoPictureUndecodable
		if tools.HEIFThumbnailer == "" {
			want = media.NoPictureToolMissing
		}
		if got := s.Versions[0].NoPicture; got != want || len(s.Versions[0].Derivatives) > 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestAVideoGetsAPosterACopyWithoutPlaceAndOneThatPlays(t *testing.T) {
	t.Parallel()
	if tools := analyzers.FindTools(); tools.FFmpeg != "" && tools.FFprobe != "" {
		tools.CWebP = ""       // has a test of its own
		videoByTools(t, tools) // without them: the tests above
	}
}

func videoByTools(t *testing.T, tools analyzers.Tools) {
	t.Helper()
	d := newDarkroom(t)
	d.screening.Tools = tools
	rec := d.upload("film.mov", filmed(t, tools))
	s := d.react(rec)
	v := s.Versions[0]
	if said(s) != "clean no_scanner" || v.Inspected.Place.Text() != "53.551100,9.993700" || v.Inspected.Video != "h264" || v.Inspected.Width != 320 {
		t.Fatalf("got %s, %+v", said(s), v.Inspected)
	}
	clean, ok := v.Clean()
	if !ok || bytes.Contains(d.bytes(clean.Object), []byte("+53.5")) {
		t.Error("there is no copy without the place")
	}
	v = d.made(rec, tools)
	_, poster := media.Find(v.Derivatives, media.KindThumbnail, "400")
	playable, plays := media.Find(v.Derivatives, media.KindPlayable, "")
	if !poster || !plays || v.Blurhash == "" || len(v.Derivatives) != 4 {
		t.Fatalf("got %+v", v.Derivatives)
	}
	if bytes.Contains(d.bytes(playable.Object), []byte("+53.5")) {
		t.Error("what is to be played tells")
	}
	if n := d.objects(); n != 5 {
		t.Errorf("%d objects: doing it again left some", n)
	}
}
