package analyzers_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.MaybeChild(analyzers.Jobs())
	os.Exit(m.Run())
}

// examiner has small limits, so that what exceeds them does so soon.
func examiner(t testing.TB) analyzers.Examiner {
	t.Helper()
	p := sandbox.NewPool(sandbox.Options{Children: 2, Limits: sandbox.Limits{Memory: 1 << 30, CPU: 20 * time.Second}})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return analyzers.Examiner{Pool: p}
}

func examine(t testing.TB, e analyzers.Examiner, kind string, b []byte) analyzers.Examination {
	t.Helper()
	got, err := e.Examine(t.Context(), analyzers.Request{Type: kind, Size: int64(len(b))}, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// said is every finding as verdict:code, sorted; a failure is its code.
func said(e analyzers.Examination) string {
	if e.Failure != nil {
		return "failure:" + e.Failure.Code
	}
	var all []string
	for _, f := range e.Report.Findings {
		verdict := string(f.Verdict)
		if verdict == "" {
			verdict = "note"
		}
		all = append(all, verdict+":"+f.Code)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestEveryOddOrHostileFileIsDecidedAbout(t *testing.T) {
	t.Parallel()
	e := examiner(t)
	small := scene(64, 48)
	photo, flat := jpegOf(t, small), pngOf(t, small)
	cmyk := image.NewNRGBA64(image.Rect(0, 0, 40, 30))
	zeros := make([]byte, 64<<20)
	inner := zipOf(t, map[string][]byte{"a.txt": []byte("a")})
	inner = zipOf(t, map[string][]byte{"b.zip": inner})
	const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	for name, c := range map[string]struct {
		kind  string
		bytes []byte
		want  string
	}{
		"a photo":                      {"image/jpeg", photo, ""},
		"a drawing":                    {"image/png", flat, ""},
		"16 bit":                       {"image/png", pngOf(t, cmyk), ""},
		"grey":                         {"image/jpeg", jpegOf(t, image.NewGray(image.Rect(0, 0, 30, 30))), ""},
		"one pixel":                    {"image/png", pngOf(t, scene(1, 1)), ""},
		"a ladder":                     {"image/png", pngOf(t, scene(2, 9000)), ""},
		"a horizon":                    {"image/png", pngOf(t, scene(9000, 2)), ""},
		"20,000 x 20,000":              {"image/png", pngBomb(20_000, 20_000), "blocked:too_many_pixels"},
		"a lie about its size":         {"image/png", pngBomb(9_000, 9_000), "review:undecodable"},
		"an animation":                 {"image/gif", gifOf(t, 5, 40, 30), ""},
		"an animation without an end":  {"image/gif", gifOf(t, 400, 3000, 3000), "blocked:too_many_frames"},
		"no width":                     {"image/tiff", withoutWidth(t), "review:undecodable"},
		"half a photo":                 {"image/jpeg", photo[:len(photo)/2], "review:undecodable"},
		"the beginning of a photo":     {"image/jpeg", photo[:4], "review:undecodable"},
		"half a drawing":               {"image/png", flat[:len(flat)-30], "review:undecodable"},
		"noise that says it is one":    {"image/jpeg", append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte("noise"), 100)...), "review:undecodable"},
		"nothing":                      {"image/jpeg", nil, "review:undecodable"},
		"a photo and an archive":       {"image/jpeg", append(bytes.Clone(photo), inner...), "review:polyglot"},
		"a drawing and a program":      {"image/png", append(bytes.Clone(flat), "MZ\x90\x00 a program"...), "review:polyglot"},
		"a page in a drawing":          {"image/png", pngWith(flat, "tEXt", []byte("Comment\x00<SCRIPT>alert(1)</SCRIPT>")), "review:script"},
		"a program in a photo":         {"image/jpeg", withEXIF(photo, append(exif(1, false), "<?php system($_GET[0]); ?>"...)), "review:script"},
		"a HEIC":                       {"image/heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x0f\xc0\x00\x00\x0b\xd0"), "note:not_decoded"},
		"a document":                   {docx, zipOf(t, map[string][]byte{"[Content_Types].xml": []byte("<a/>"), "word/document.xml": []byte("<b/>")}), ""},
		"a document that grows":        {docx, zipOf(t, map[string][]byte{"word/document.xml": zeros}), "blocked:decompression_bomb"},
		"a document in a document":     {docx, zipOf(t, map[string][]byte{"word/embeddings/a.xlsx": zipOf(t, map[string][]byte{"a": nil})}), ""},
		"archives in archives":         {docx, zipOf(t, map[string][]byte{"c.zip": inner}), "blocked:nested_archives"},
		"a way out of a document":      {docx, zipOf(t, map[string][]byte{"../../etc/passwd": []byte("x")}), "blocked:entry_path"},
		"macros":                       {docx, zipOf(t, map[string][]byte{"word/vbaProject.bin": []byte("x")}), "review:macros"},
		"a program in a document":      {docx, zipOf(t, map[string][]byte{"word/media/a.png": []byte("MZ\x90\x00aaaaaa")}), "review:embedded_program"},
		"an archive that is none":      {docx, []byte("PK\x03\x04 and no more"), "review:undecodable"},
		"a PDF":                        {"application/pdf", pdfOf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page>>"), ""},
		"a PDF with a program":         {"application/pdf", pdfOf("<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert)>>>>"), "review:javascript"},
		"a PDF that hides it":          {"application/pdf", pdfOf("<</Type/Catalog/OpenAction<</S/J#61vaScript>>>>"), "review:javascript"},
		"a PDF that hides it deeper":   {"application/pdf", pdfOf(pdfStream("/Type/ObjStm/N 1", []byte("1 0 <</S/Launch/F(cmd.exe)>>"))), "review:launch"},
		"a PDF that grows":             {"application/pdf", pdfOf(pdfStream("", zeros)), "blocked:decompression_bomb"},
		"a PDF with too many pages":    {"application/pdf", pdfOf("<</Type/Pages/Count 99999>>"), "blocked:too_many_pages"},
		"a PDF that is an archive too": {"application/pdf", append(pdfOf("<</Type/Catalog>>"), inner...), "review:polyglot"},
		"an old document with macros":  {"application/msword", append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), []byte("_\x00V\x00B\x00A\x00_\x00P\x00R\x00O\x00J\x00E\x00C\x00T\x00")...), "review:macros"},
		"rich text with an object":     {"text/rtf", []byte(`{\rtf1{\object\objdata 0105}}`), "review:embedded_object"},
		"plain text":                   {"text/plain", []byte("hello"), ""},
		"the beginning of a video":     {"video/mp4", []byte("\x00\x00\x00\x18ftypmp42"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := examine(t, e, c.kind, c.bytes); said(got) != c.want {
				t.Errorf("got %q, want %q", said(got), c.want)
			}
		})
	}
}

// corner is the colour of a picture near a corner, by name.
func corner(img image.Image, right, low bool) string {
	b := img.Bounds()
	x, y := b.Min.X+b.Dx()/8, b.Min.Y+b.Dy()/8
	if right {
		x = b.Max.X - b.Dx()/8 - 1
	}
	if low {
		y = b.Max.Y - b.Dy()/8 - 1
	}
	c, _ := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	switch {
	case c.R > 150 && c.G > 150:
		return "w"
	case c.R > 150:
		return "r"
	case c.G > 150:
		return "g"
	}
	return "b"
}

func TestThumbnailsAreUpright(t *testing.T) {
	t.Parallel()
	e := examiner(t)
	// The corners of the picture as it is seen: upper left, upper right, lower left, lower right.
	for orientation, want := range []string{1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"} {
		if orientation == 0 {
			continue
		}
		b := withEXIF(jpegOf(t, scene(1200, 800)), exif(orientation, false))
		r := examine(t, e, "image/jpeg", b).Report
		if r.Orientation != orientation || len(r.Pictures) != 2 || r.Telling {
			t.Fatalf("%d: got %+v", orientation, r)
		}
		for _, p := range r.Pictures {
			img, err := jpeg.Decode(bytes.NewReader(p.Bytes))
			if err != nil {
				t.Fatal(err)
			}
			got := corner(img, false, false) + corner(img, true, false) + corner(img, false, true) + corner(img, true, true)
			if got != want {
				t.Errorf("%d: %s has corners %s, want %s", orientation, p.Name, got, want)
			}
			upright := image.Pt(400, 266)
			if orientation >= 5 {
				upright = image.Pt(400, 600)
			}
			if size := img.Bounds().Size(); p.Name == "200" && size != image.Pt(200, 200) || p.Name == "400" && size != upright {
				t.Errorf("%d: %s is %v", orientation, p.Name, size)
			}
		}
		if r.Blurhash == "" || r.Camera != "Acme One" || r.TakenAt.IsZero() {
			t.Errorf("%d: got %+v", orientation, r)
		}
	}
}

func TestPlaceAndNamesAreFoundAndTakenOut(t *testing.T) {
	t.Parallel()
	e := examiner(t)
	photo := withEXIF(jpegOf(t, scene(300, 200)), exif(6, true))
	xmp := "XML:com.adobe.xmp\x00\x00\x00\x00\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'>Alice Example</x:xmpmeta>"
	heic := append([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic....Exif\x00\x00"), exif(1, true)...)
	heic = append(heic, "and the picture"...)
	for name, c := range map[string]struct {
		kind  string
		bytes []byte
	}{
		"a photo":               {"image/jpeg", photo},
		"a photo with a second": {"image/jpeg", append(jpegOf(t, scene(30, 20)), photo...)},
		"a drawing":             {"image/png", pngWith(pngOf(t, scene(30, 20)), "iTXt", []byte(xmp))},
		"a HEIC":                {"image/heic", heic},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := examine(t, e, c.kind, c.bytes)
			r := got.Report
			if !r.Telling || len(r.Edits) == 0 {
				t.Fatalf("nothing was found: %+v, %+v", got.Failure, r)
			}
			clean, err := io.ReadAll(analyzers.Apply(bytes.NewReader(c.bytes), r.Edits))
			if err != nil || int64(len(clean)) != analyzers.EditedSize(int64(len(c.bytes)), r.Edits) {
				t.Fatalf("%d bytes, %v", len(clean), err)
			}
			if bytes.Contains(clean, []byte("Alice")) {
				t.Error("the name is still there")
			}
			again := examine(t, e, c.kind, clean).Report
			if again.Telling || again.Place != "" || again.Author != "" || again.Width != r.Width || again.Orientation != r.Orientation {
				t.Errorf("the copy says %+v, the original %+v", again, r)
			}
			if len(r.Pictures) > 0 && !bytes.Equal(r.Pictures[0].Bytes, again.Pictures[0].Bytes) {
				t.Error("the copy looks different")
			}
			for _, p := range r.Pictures {
				if bytes.Contains(p.Bytes, []byte("Alice")) || bytes.Contains(p.Bytes, []byte("Exif")) {
					t.Error("a thumbnail tells")
				}
			}
		})
	}
	r := examine(t, e, "image/jpeg", photo).Report
	if r.Place != "53.551111,-9.993611" || !strings.Contains(r.Author, "Alice Example") || r.Width != 200 || r.Height != 300 {
		t.Errorf("got %+v", r)
	}
}

func TestTheSameBytesMakeTheSamePictures(t *testing.T) {
	t.Parallel()
	e := examiner(t)
	b := jpegOf(t, scene(1500, 1000))
	first, second := examine(t, e, "image/jpeg", b), examine(t, e, "image/jpeg", b)
	for i, p := range first.Report.Pictures {
		if !bytes.Equal(p.Bytes, second.Report.Pictures[i].Bytes) {
			t.Errorf("%s differs", p.Name)
		}
	}
}
