package doctext

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.MaybeChild(Jobs())
	os.Exit(m.Run())
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func page(t *testing.T, contents ...string) []byte {
	t.Helper()
	b := bytes.NewBufferString("%PDF-1.4\n")
	for i, c := range contents {
		var packed bytes.Buffer
		z := zlib.NewWriter(&packed)
		if _, err := z.Write([]byte(c)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, "%d 0 obj\n<</Length %d /Filter /FlateDecode>>\nstream\n%s\nendstream\nendobj\n", i+1, packed.Len(), packed.Bytes())
	}
	return b.Bytes()
}

const (
	docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	odt  = "application/vnd.oasis.opendocument.text"
)

func TestTheTextOfDocumentsIsRead(t *testing.T) {
	t.Parallel()
	pool := sandbox.NewPool(sandbox.Options{Children: 1})
	t.Cleanup(func() { _ = pool.Close() })
	reader := Reader{Pool: pool}
	const want = "DE89 3704 0044 0532 0130 00"
	for name, c := range map[string]struct {
		mime string
		all  []byte
	}{
		"plain":        {"text/plain; charset=utf-8", []byte("IBAN " + want)},
		"csv, western": {"text/csv", []byte("M\xfcller;" + want + "\n")},
		"UTF-16":       {"text/plain", append([]byte{0xFF, 0xFE}, []byte(strings.Join(strings.Split("x "+want, ""), "\x00")+"\x00")...)},
		"rtf":          {"application/rtf", []byte(`{\rtf1\ansi{\fonttbl{\f0 Arial 4111;}}{\*\generator secret}\f0 M\'fcller \u8364? DE89 3704 00{\b 44 05}32 0130 00\par}`)},
		"docx, in runs": {docx, archive(t, map[string]string{
			"word/document.xml": `<w:document xmlns:w="w"><w:p><w:r><w:t>DE89 3704 00</w:t></w:r><w:r><w:t>44 0532 0130 00</w:t></w:r></w:p></w:document>`, "word/styles.xml": "<a>style</a>",
		})},
		"xlsx": {xlsx, archive(t, map[string]string{"xl/sharedStrings.xml": "<sst><si><t>DE89 3704 0044 0532 </t><t>0130 00</t></si></sst>"})},
		"odt":  {odt, archive(t, map[string]string{"content.xml": "<text:p xmlns:text='t'>DE89<text:s/>3704 0044 0532 0130 00</text:p>"})},
		"pdf":  {"application/pdf", page(t, "BT /F1 12 Tf 72 720 Td [(DE89 37) 20 (04) -300 (0044 0532 \\060130 00)] TJ ET")},
		"pdf, numbered glyphs": {"application/pdf", page(t,
			"begincmap 1 beginbfrange <0001> <0010> <0030> endbfrange 2 beginbfchar <0020> <0044> <0021> <0045> endbfchar 1 beginbfchar <0022> <0020> endbfchar",
			"BT <00200021"+glyphs("89 3704 0044 0532 0130 00")+"> Tj ET")},
	} {
		text, whole, err := reader.Text(t.Context(), c.mime, bytes.NewReader(c.all))
		if err != nil || !whole || !strings.Contains(text, want) {
			t.Errorf("%s: %q, whole %t, %v", name, text, whole, err)
		}
		for _, hidden := range []string{"secret", "Arial", "style", "4111"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %q", name, text)
			}
		}
	}
	if reader.Reads("image/jpeg") {
		t.Error("a picture has text")
	}
}

func glyphs(digits string) string {
	var s strings.Builder
	for _, r := range digits {
		if r == ' ' {
			s.WriteString("0022")
		} else {
			fmt.Fprintf(&s, "%04X", r-'0'+1)
		}
	}
	return s.String()
}

func TestBombsEndInAShortText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mime string
		all  []byte
	}{
		"a long text":     {"text/plain", bytes.Repeat([]byte("a "), maxText)},
		"a zip bomb":      {docx, archive(t, map[string]string{"word/document.xml": "<p>" + strings.Repeat("a", maxUnpacked)})},
		"deep markup":     {odt, archive(t, map[string]string{"content.xml": strings.Repeat("<p>", 100_000)})},
		"a packed stream": {"application/pdf", page(t, strings.Repeat("BT (aaaaaaaa) Tj ET ", 8<<20/20*10))},
		"an encrypted":    {"application/pdf", []byte("%PDF-1.4 /Encrypt 1 0 R")},
		"no archive":      {docx, []byte("PK\x03\x04 nothing")},
	} {
		if text, whole := Extract(c.mime, c.all); len(text) > maxText || whole {
			t.Errorf("%s: %d bytes, whole %t", name, len(text), whole)
		}
	}
}

func FuzzExtractNeverFails(f *testing.F) {
	for _, mime := range []string{"text/plain", "application/rtf", docx, "application/pdf"} {
		for _, seed := range []string{"", `{\rtf1\u`, `{\rtf1\'f`, "PK\x05\x06", "stream(\\", "stream BT <", "stream\nBT (a\\0", "stream begincmap beginbfchar<>endbfchar endstream stream BT <00> ET endstream"} {
			f.Add(mime, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, mime string, all []byte) {
		if text, _ := Extract(mime, all); len(text) > 3*maxText {
			t.Errorf("%d bytes", len(text))
		}
	})
}
