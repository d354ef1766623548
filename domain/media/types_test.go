package media_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/media"
)

const typesDoc = "../../docs/accepted-types.md"

func TestAcceptedTypesAreDocumented(t *testing.T) {
	t.Parallel()
	got := typesPage()
	if domaintest.Update() {
		if err := os.WriteFile(typesDoc, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(typesDoc)
	if err != nil {
		t.Fatalf("%v: write it with go test ./domain/media -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/accepted-types.md does not say what is accepted: write it with go test ./domain/media -update")
	}
}

func TestFiftyTypesAndMoreAreAccepted(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range media.Formats() {
		if seen[f.Type] || len(f.Extensions) == 0 || media.Canonical(f.Type) != f.Type {
			t.Errorf("%+v", f)
		}
		seen[f.Type] = true
		for _, mime := range append([]string{f.Type}, f.Sniffed...) {
			got, err := media.Judge("a."+strings.ToUpper(f.Extensions[0]), f.Type, mime, media.DefaultPolicy())
			if err != nil || got != f.Type {
				t.Errorf("a file with the extension %s, declared as %s, that looks like %s: %q, %v", f.Extensions[0], f.Type, mime, got, err)
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d types", len(seen))
	}
	for _, evil := range []string{"image/svg+xml", "text/html", "application/zip", "application/x-msdownload", "application/javascript", "application/xhtml+xml"} {
		if got, err := media.Judge("", "", evil, media.DefaultPolicy()); err == nil {
			t.Errorf("%s is accepted, as %s", evil, got)
		}
	}
}

// typesPage is the page of accepted types.
func typesPage() []byte {
	var out bytes.Buffer
	all := media.Formats()
	fmt.Fprintf(&out, `# Accepted types

The %d types of content that are accepted, as the code has them (written by `+"`go test ./domain/media -update`"+`). What the content is decides; the extension
and the declared type have to agree with it where they say something. Everything else is refused with `+"`type_not_accepted`"+`: what a browser would run (SVG, HTML),
archives, documents with macros. Which of them get thumbnails by which tools, `+"`mediavault doctor`"+` and
[ADR 80](adr/0080-screening-in-children.md) say.
`, len(all))
	for _, part := range []struct{ title, prefix string }{{"Pictures", "image/"}, {"Videos", "video/"}, {"Sounds", "audio/"}, {"Documents", ""}} {
		fmt.Fprintf(&out, "\n## %s\n\n| type | extensions | also declared as |\n|---|---|---|\n", part.title)
		for _, f := range all {
			document := !slices.ContainsFunc([]string{"image/", "video/", "audio/"}, func(p string) bool { return strings.HasPrefix(f.Type, p) })
			if part.prefix == "" && document || part.prefix != "" && strings.HasPrefix(f.Type, part.prefix) {
				fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.Type, strings.Join(f.Extensions, ", "), strings.Join(f.Aliases, ", "))
			}
		}
	}
	return out.Bytes()
}
