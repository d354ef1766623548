package reactors_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// damaged turns bits, overwrites pieces, leaves some out, and cuts the end off, a third of the times.
func damaged(rnd *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rnd.IntN(3) {
		at := min(16, len(b)-1) + rnd.IntN(max(1, len(b)-16)) // its first bytes say what it is
		piece := min(1+rnd.IntN(64), len(b)-at)
		switch rnd.IntN(4) {
		case 0:
			b[at] ^= 1 << rnd.IntN(8)
		case 1:
			for i := range b[at : at+piece] {
				b[at+i] = byte(rnd.IntN(256))
			}
		case 2:
			b = append(b[:at], b[at+piece:]...)
		case 3:
			b = b[:max(at, len(b)*2/3)]
		}
	}
	return b
}

func TestWhateverIsDamagedComesToAnEnd(t *testing.T) {
	t.Parallel()
	d, tools := newDarkroom(t), analyzers.FindTools()
	d.screening.Tools = tools
	var docx bytes.Buffer
	z := zip.NewWriter(&docx)
	for _, name := range []string{"[Content_Types].xml", "word/document.xml"} {
		w, err := z.Create(name)
		must(t, err)
		_, err = fmt.Fprint(w, "<a>some words</a>")
		must(t, err)
	}
	must(t, z.Close())
	files := map[string][]byte{"photo.jpg": photo(t), "page.pdf": []byte(blank), "letter.docx": docx.Bytes(), "start.mp4": []byte(mp4)}
	for _, name := range []string{"scene.heic", "scene.avif", "scene.jxl", "scene.jp2", "animated.webp"} {
		content, err := os.ReadFile(filepath.Join("..", "adapters", "analyzers", "testdata", name))
		must(t, err)
		files[name] = content
	}
	if tools.FFmpeg != "" {
		files["film.mov"] = filmed(t, tools)
	}
	ends := map[string]int{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			b := damaged(rnd, files[name])
			got, err := d.media.Upload(t.Context(), commands.Envelope{Actor: owner}, commands.File{Name: name, Size: -1, Way: media.WayBody}, bytes.NewReader(b))
			if _, refused := domain.AsRefusal(err); refused {
				ends["refused"]++
				continue
			}
			must(t, err)
			for rec, err := range d.store.Stream(t.Context(), got.Stream, 0) {
				must(t, err)
				if _, uploaded := rec.Event.(media.Uploaded); !uploaded {
					continue
				}
				s := d.react(rec)
				v := d.made(rec, tools)
				ends[string(v.Screened.Verdict)]++
				if clean := v.Screened.Verdict == media.VerdictClean; v.Screened.Verdict == "" || s.Deliverable(0) != clean {
					t.Errorf("round %d, %s: %s", round, name, said(s))
				}
				if _, shown := media.Find(v.Derivatives, media.KindThumbnail, "400"); !shown && v.NoPicture == "" && v.Screened.Verdict != media.VerdictBlocked && name != "letter.docx" {
					t.Errorf("round %d, %s: neither a picture nor a word why not: %s", round, name, said(s))
				}
			}
		}
	}
	t.Logf("%v", ends)
}
