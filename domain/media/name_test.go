package media_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain/media"
)

func TestCleanName(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"photo.jpg": "photo.jpg", "  my   photo .jpg ": "my photo .jpg", "Ferien in Köln 🌅👩‍👩‍👧.JPG": "Ferien in Köln 🌅👩‍👩‍👧.JPG",
		"写真.png": "写真.png", "صورة.png": "صورة.png", `a"b*c?.jpg`: "a_b_c_.jpg", "photo.jpg...": "photo.jpg", ".jpg": "jpg",
		"archive.2024.01.jpg": "archive.2024.01.jpg", "no extension": "no extension", "O'Brien & sons, 100%.pdf": "O'Brien & sons, 100%.pdf",
		"console.png": "console.png", "www.example.com.png": "www.example.com.png", "a..b.jpg": "a..b.jpg", "12:30.jpg": "12_30.jpg",
		"component.test.png": "component.test.png",
	} {
		if got, err := media.CleanName(raw, policy); err != nil || got != want {
			t.Errorf("%q: want %q, got %q, %v", raw, want, got, err)
		}
	}
	for _, raw := range []string{
		"", "   ", "...", "..", "../../etc/passwd", `..\..\boot.ini`, "/etc/passwd", `C:\photo.jpg`, "a/b.jpg", "a\u2044b.jpg", "a／b.jpg",
		"..jpg", "%2e%2e%2fa.jpg", "a%00.jpg", "a\x00.jpg", "a\nb.jpg", "a\x7f.jpg", "a\u0085.jpg", "photo\u202Egpj.exe", "a\u200Fb.jpg",
		"a\u2066b.jpg", "a\u200Bb.jpg", "\ufeffa.jpg", "a\u2028b.jpg", "bad\xff.jpg", "CON", "con.jpg", "NUL.tar.png", "COM1.jpg", "lpt9.png", "com¹.jpg",
		"aux .jpg", "shell.php", "shell.PHP", "shell.php.jpg", "a.pHtMl.png", "run.exe", "invoice.pdf.exe", "a.sh", "a.bat", "a.js", "a.html", "a.svg",
		"a.jsp;.jpg", "a.php:.jpg", "a.php::$DATA", "a.exe ", "a.exe.", "a.php .jpg", "a․php.jpg", "a．exe", ".htaccess", "<script>.jpg", "a`id`.jpg", "$(id).jpg", "${x}.jpg",
		"{{x}}.jpg", "javascript:a.jpg", "a.docm", "a.zip", "a.com", strings.Repeat("a", 256), strings.Repeat("a", 10<<10) + ".jpg",
		strings.Repeat("é", 128) + ".jpg",
	} {
		if got, err := media.CleanName(raw, policy); !errors.Is(err, media.ErrName) {
			t.Errorf("%q: want a refusal, got %q, %v", raw, got, err)
		}
	}
}

func TestCleanNamesStayClean(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		".", "..", "/", `\`, "php", "exe", "jpg", " ", "CON", ":", ";", "%2e", "\u202e", "\u200d", "🌅", "<", "_", "*",
	}))
	rapid.Check(t, func(t *rapid.T) {
		raw := strings.Join(rapid.SliceOfN(piece, 1, 8).Draw(t, "pieces"), "")
		name, err := media.CleanName(raw, policy)
		if err != nil {
			return
		}
		if name == "" || len(name) > policy.MaxName || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\n<>:\"|?*") || name == "." || name == ".." {
			t.Fatalf("%q became %q", raw, name)
		}
		if again, err := media.CleanName(name, policy); err != nil || again != name {
			t.Fatalf("%q became %q, and then %q, %v", raw, name, again, err)
		}
	})
}

func FuzzCleanName(f *testing.F) {
	f.Add("photo.jpg")
	f.Add("a.php\u202e.jpg")
	f.Fuzz(func(t *testing.T, raw string) {
		name, err := media.CleanName(raw, policy)
		if err != nil {
			return
		}
		if again, err := media.CleanName(name, policy); err != nil || again != name {
			t.Fatalf("%q became %q, and then %q, %v", raw, name, again, err)
		}
	})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	if n := len(media.Formats()); n < 50 {
		t.Errorf("%d types are accepted, the owner asked for 50 and more", n)
	}
	for _, c := range []struct{ name, declared, sniffed, want string }{
		{"a.jpg", "", "image/jpeg", "image/jpeg"},
		{"a.JPEG", "image/jpg", "image/jpeg", "image/jpeg"},
		{"a", "application/octet-stream", "image/png", "image/png"},
		{"a.png", "image/png", "image/vnd.mozilla.apng", "image/apng"},
		{"a.csv", "text/csv", "text/csv", "text/csv"},
		{"a.csv", "text/csv", "text/plain; charset=utf-8", "text/csv"},
		{"a.md", "", "text/plain", "text/markdown"},
		{"a", "", "text/plain", "text/plain"},
		{"a.dng", "", "image/tiff", "image/x-adobe-dng"},
		{"a.tiff", "", "image/tiff", "image/tiff"},
		{"a.mka", "", "video/x-matroska", "audio/x-matroska"},
		{"a.m4a", "audio/mp4", "audio/x-m4a", "audio/mp4"},
		{"a.wma", "", "video/x-ms-asf", "audio/x-ms-wma"},
		{"a.docx", "", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	} {
		if got, err := media.Judge(c.name, c.declared, c.sniffed, policy); err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	for _, c := range []struct{ name, declared, sniffed string }{
		{"a.jpg", "", "image/png"}, {"a.jpg", "image/png", "image/jpeg"}, {"a.jpg", "", "text/html"}, {"a.jpg", "", "application/x-msdownload"},
		{"a.docx", "", "application/zip"}, {"a", "", "application/octet-stream"}, {"a.txt", "", "text/html"}, {"a.svg", "", "image/svg+xml"},
		{"a.mp4", "video/mp4", "application/pdf"}, {"a.jpg", "text/html", "image/jpeg"}, {"a", "", ""}, {"a.xyz", "", "image/png"},
	} {
		if got, err := media.Judge(c.name, c.declared, c.sniffed, policy); !errors.Is(err, media.ErrType) {
			t.Errorf("%+v: want a refusal, got %q, %v", c, got, err)
		}
	}
	few := policy
	few.Accepted = []string{"image/png"}
	if _, err := media.Judge("a.jpg", "", "image/jpeg", few); !errors.Is(err, media.ErrType) {
		t.Error("what the policy does not accept is refused")
	}
}

func TestARefusalOfATypeNamesWhatIsAcceptedAndBothTypes(t *testing.T) {
	t.Parallel()
	policy := media.DefaultPolicy()
	_, name := media.CleanName("a.exe", policy)
	_, other := media.Judge("a.jpg", "video/mp4", "image/png", policy)
	_, strange := media.Judge("a", "", "application/x-elf", policy)
	for _, c := range []struct {
		err  error
		says []string
	}{
		{name, []string{"jpg", "pdf"}},
		{other, []string{"the content is image/png", "its extension says image/jpeg", "its declared type is video/mp4"}},
		{strange, []string{"not accepted", "jpg", "pdf"}},
		{media.Plausible("secret.ann", "", policy), []string{"jpg", "pdf"}},
	} {
		for _, word := range c.says {
			if c.err == nil || !strings.Contains(c.err.Error(), word) || strings.Contains(c.err.Error(), "ann,") {
				t.Errorf("%v does not say %s", c.err, word)
			}
		}
	}
}
