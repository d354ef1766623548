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

// Where ffmpeg is installed it has to work; where it is not, the test above says what is missing.
func TestAVideoGetsAPosterACopyWithoutPlaceAndOneThatPlays(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	d.screening.Tools = analyzers.FindTools()
	if d.screening.Tools.FFmpeg == "" || d.screening.Tools.FFprobe == "" {
		return
	}
	path := filepath.Join(t.TempDir(), "film.mov")
	out, err := exec.CommandContext(t.Context(), d.screening.Tools.FFmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:d=1", "-c:v", "libx264",
		"-preset", "ultrafast", "-metadata", "location=+53.5511+009.9937/", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	film, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := d.upload("film.mov", film)
	s := d.react(rec)
	v := s.Versions[0]
	if said(s) != "clean no_scanner" || v.Inspected.Place.Text() != "53.551100,9.993700" || v.Inspected.Video != "h264" || v.Inspected.Width != 320 {
		t.Fatalf("got %s, %+v", said(s), v.Inspected)
	}
	clean, ok := v.Clean()
	if !ok || bytes.Contains(d.bytes(clean.Object), []byte("+53.5")) {
		t.Error("there is no copy without the place")
	}
	makes := reactors.Derivatives{Media: d.media, Examiner: d.screening.Examiner, Tools: d.screening.Tools}
	for range 2 {
		for rec, err := range d.store.Stream(t.Context(), rec.Stream, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if _, screened := rec.Event.(media.Screened); !screened {
				continue
			}
			if err := makes.React(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	v = d.state(rec).Versions[0]
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
