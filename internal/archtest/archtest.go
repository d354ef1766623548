// Package archtest holds the house's rules that a machine can check: who may import whom (table.go), and a few of style. Its
// test reads the sources of the whole module; it runs nothing.
package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/mediavault-io/mediavault"

// maxLines is past where a file is two subjects.
const maxLines = 450

// source is one parsed file.
type source struct {
	pkg   string // the folder below the module's root, with slashes
	name  string
	lines int
	files *token.FileSet
	file  *ast.File
}

func (s source) test() bool   { return strings.HasSuffix(s.name, "_test.go") }
func (s source) path() string { return path.Join(s.pkg, s.name) }
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path(), s.files.Position(n.Pos()).Line)
}

// load parses every Go file of the module at root; generated ones and those of nested modules are not ours to judge.
func load(root string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, file, d.Name())
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's, gone by now
		}
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(dir), d.Name(), string(text))
		if err == nil && !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return err
	})
	return all, err
}

func enter(root, dir, name string) error {
	if dir == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	if err == nil || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") {
		return filepath.SkipDir
	}
	return nil
}

func parse(pkg, name, text string) (source, error) {
	s := source{pkg: pkg, name: name, lines: strings.Count(text, "\n"), files: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.files, s.path(), text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

// matches reports whether name fits a pattern: * is one folder, ** at the end is anything.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// within reports whether an import path is of one of the modules.
func within(modules []string, imported string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return m == "**" || imported == m || strings.HasPrefix(imported, m+"/")
	})
}

// imports says which imports of a file the table does not allow.
func imports(s source) []string {
	rules := table()
	at := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, s.pkg) })
	if at < 0 {
		return []string{s.path() + ": the package " + s.pkg + " has no line in internal/archtest/table.go"}
	}
	r := rules[at]
	var found []string
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		own, ours := strings.CutPrefix(imported, module+"/")
		first, _, _ := strings.Cut(imported, "/")
		var allowed bool
		switch {
		case ours && s.test():
			allowed = own == s.pkg || matchesAny(r.inside, own) || matchesAny(testsMaySee(s.pkg), own)
		case ours:
			allowed = matchesAny(r.inside, own) && (!matchesAny(forTests(), own) || onlyForTests(s.pkg))
		case strings.Contains(first, "."):
			allowed = s.test() || within(r.outside, imported)
		default:
			allowed = s.test() || !strings.HasPrefix(s.pkg+"/", "domain/") || s.pkg == "domain/domaintest" || slices.Contains(pure(), imported)
		}
		if !allowed {
			found = append(found, fmt.Sprintf("%s: %s may not import %s (internal/archtest/table.go)", s.at(spec), s.pkg, imported))
		}
	}
	return found
}

// onlyForTests reports whether a package may use what is made for tests: it is such itself, or runs the vault in one piece.
func onlyForTests(pkg string) bool {
	return matchesAny(forTests(), pkg) || matches("cmd/**", pkg) || pkg == "internal/bench"
}

var (
	todo    = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	counted = regexp.MustCompile(`\bTODO\(#\d+\)`)
	vague   = regexp.MustCompile(`(Manager|Helper|Helpers|Util|Utils)$`)
)

// style says where a file breaks a rule of style that can be seen without understanding.
func style(s source) []string {
	var found []string
	complain := func(n ast.Node, what string) { found = append(found, s.at(n)+": "+what) }
	if s.lines > maxLines && !s.test() {
		complain(s.file, fmt.Sprintf("%d lines: past 400 a file is two subjects; split it by prefix", s.lines))
	}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if todo.MatchString(counted.ReplaceAllString(c.Text, "")) {
				complain(c, "a TODO names an issue, TODO(#12), or is not there")
			}
		}
	}
	pureHere := strings.HasPrefix(s.pkg+"/", "domain/") && !s.test() && s.pkg != "domain/domaintest"
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				complain(n, "no init: cmd/mediavault builds everything")
			}
		case *ast.TypeSpec:
			if vague.MatchString(n.Name.Name) {
				complain(n, n.Name.Name+" says nothing: name what it is")
			}
		case *ast.SelectorExpr:
			from, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			if slices.Contains(impure()[from.Name], n.Sel.Name) && pureHere {
				complain(n, from.Name+"."+n.Sel.Name+": the domain has no clock and no chance; what a decision needs is a field of the command")
			}
			if (s.test() || matchesAny(forTests(), s.pkg)) && s.pkg != "internal/dev" && from.Name == "time" && n.Sel.Name == "Sleep" {
				complain(n, "time.Sleep in a test: wait for what is to happen")
			}
			if (from.Name == "t" || from.Name == "b" || from.Name == "tb") && strings.HasPrefix(n.Sel.Name, "Skip") {
				complain(n, "a test that is skipped proves nothing")
			}
		}
		return true
	})
	return found
}

// undocumented are the packages without a package comment.
func undocumented(all []source) []string {
	documented, first := map[string]bool{}, map[string]string{}
	for _, s := range all {
		if s.test() {
			continue
		}
		documented[s.pkg] = documented[s.pkg] || s.file.Doc != nil
		if first[s.pkg] == "" {
			first[s.pkg] = s.path()
		}
	}
	var found []string
	for pkg, ok := range documented {
		if !ok {
			found = append(found, first[pkg]+": a package comment says in two lines what "+pkg+" is for and what it does not do")
		}
	}
	slices.Sort(found)
	return found
}
