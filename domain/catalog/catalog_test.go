package catalog_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/domaintest"
)

const eventsDoc = "../../docs/events.md"

func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	got := render(t)
	if domaintest.Update() {
		if err := os.MkdirAll(filepath.Dir(eventsDoc), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(eventsDoc, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(eventsDoc)
	if err != nil {
		t.Fatalf("%v: write it with go test ./domain/catalog -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/events.md does not say what the code says: write it with go test ./domain/catalog -update")
	}
}

func TestNamesAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, typ := range catalog.Types() {
		category, what, ok := strings.Cut(typ.Name, ".")
		if !ok || seen[typ.Name] || category != filepath.Base(typ.Go.PkgPath()) || what != snake(typ.Go.Name()) {
			t.Errorf("%s: the stored name of %s is not category.past_participle, or not its own", typ.Name, typ.Go)
		}
		seen[typ.Name] = true
		for i := range typ.Go.NumField() {
			if f := typ.Go.Field(i); name(f) == "" || name(f) == "-" {
				t.Errorf("%s: the field %s has no stored name", typ.Name, f.Name)
			}
		}
	}
}

func snake(s string) string {
	out := ""
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				out += "_"
			}
			r += 'a' - 'A'
		}
		out += string(r)
	}
	return out
}

func render(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(`# Events

Every fact that the vault stores, by aggregate. This page is generated from the code (` + "`go test ./domain/catalog -update`" + `) and
a test holds it against it. Stored bytes never change: a field that is added later is missing in older events, and then not
known. A type marked _sealed_ is text about a person, encrypted under the key of its subject: ` + "`{\"sealed\": base64, \"subject\": id}`" + `.
What is known of every event besides - who, when, from where, why, because of what - stands in its metadata.
`)
	types := catalog.Types()
	pages := map[string]page{}
	category := ""
	for _, typ := range types {
		pkg := typ.Go.PkgPath()
		if _, ok := pages[pkg]; !ok {
			pages[pkg] = load(t, filepath.Join("..", filepath.Base(pkg)))
		}
		p := pages[pkg]
		if c, _, _ := strings.Cut(typ.Name, "."); c != category {
			category = c
			fmt.Fprintf(&out, "\n## %s\n\n%s\n", c, strings.TrimSpace(p.about))
		}
		fmt.Fprintf(&out, "\n### %s\n\n%s\n", typ.Name, p.meaning(typ.Go.Name()))
		table(&out, p, typ.Go)
	}
	parts(&out, pages, types)
	return out.Bytes()
}

// parts are the structs and words that events are made of.
func parts(out *bytes.Buffer, pages map[string]page, types []domain.Type) {
	found := map[reflect.Type]bool{}
	for _, typ := range types {
		collect(typ.Go, found, true)
	}
	var sorted []reflect.Type
	for typ := range found {
		sorted = append(sorted, typ)
	}
	slices.SortFunc(sorted, func(a, b reflect.Type) int { return cmp.Compare(a.String(), b.String()) })
	out.WriteString("\n## What events are made of\n")
	for _, typ := range sorted {
		p := pages[typ.PkgPath()]
		fmt.Fprintf(out, "\n### %s\n\n%s\n", typ, p.meaning(typ.Name()))
		if typ.Kind() == reflect.Struct {
			table(out, p, typ)
			continue
		}
		if values := p.values[typ.Name()]; len(values) > 0 {
			out.WriteString("\n| value | meaning |\n|---|---|\n")
			for _, v := range values {
				fmt.Fprintf(out, "| `%s` | %s |\n", v.value, v.meaning)
			}
		}
	}
}

func collect(t reflect.Type, found map[reflect.Type]bool, top bool) {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	ours := strings.Contains(t.PkgPath(), "/domain/")
	if !ours || found[t] {
		return
	}
	if !top {
		found[t] = true
	}
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			collect(t.Field(i).Type, found, false)
		}
	}
}

func table(out *bytes.Buffer, p page, t reflect.Type) {
	out.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", name(f), typeName(f), p.fields[t.Name()+"."+f.Name])
	}
}

func name(f reflect.StructField) string {
	n, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return n
}

func typeName(f reflect.StructField) string {
	t, list := f.Type, ""
	if t.Kind() == reflect.Slice {
		t, list = t.Elem(), "list of "
	}
	optional := ""
	if _, o, _ := strings.Cut(f.Tag.Get("json"), ","); o != "" {
		optional = ", may be missing"
	}
	switch {
	case t == reflect.TypeFor[domain.Personal]():
		return list + "_sealed_ text" + optional
	case t.String() == "time.Time":
		return list + "time (RFC 3339, UTC)" + optional
	case t.String() == "time.Duration":
		return list + "nanoseconds" + optional
	}
	return list + "`" + t.String() + "`" + optional
}

// page is what a package's comments say.
type page struct {
	about  string
	types  map[string]string
	fields map[string]string
	values map[string][]word
}

type word struct{ value, meaning string }

func (p page) meaning(typ string) string {
	return strings.ReplaceAll(strings.TrimSpace(p.types[typ]), "\n", " ")
}

func load(t *testing.T, dir string) page {
	t.Helper()
	files := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, file := range names {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	pkg, err := doc.NewFromFiles(files, parsed, dir, doc.AllDecls|doc.PreserveAST)
	if err != nil {
		t.Fatal(err)
	}
	p := page{about: summary(pkg.Doc), types: map[string]string{}, fields: map[string]string{}, values: map[string][]word{}}
	for _, typ := range pkg.Types {
		p.types[typ.Name] = typ.Doc
		for _, spec := range typ.Decl.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok {
				p.structOf(s)
			}
		}
		for _, c := range typ.Consts {
			p.constants(typ.Name, c.Decl)
		}
	}
	return p
}

// summary is the prose of a package comment, up to its first drawing.
func summary(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	return text
}

func (p page) structOf(s *ast.TypeSpec) {
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		text := strings.TrimSpace(f.Doc.Text() + " " + f.Comment.Text())
		for _, n := range f.Names {
			p.fields[s.Name.Name+"."+n.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

func (p page) constants(typ string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			continue
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok {
			text := strings.Join(strings.Fields(v.Doc.Text()+" "+v.Comment.Text()), " ")
			p.values[typ] = append(p.values[typ], word{value: strings.Trim(lit.Value, `"`), meaning: text})
		}
	}
}
