package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const clientModule = "github.com/EventStore/EventStore-Client-Go/v4"

// The official EventStoreDB client ends the program at answers that it does not understand (log.Fatalf), or panics. No recover helps
// against the first, so that what the vault uses of it must not lead there: docs/adr/0072-esdb.md.
func TestNothingThatTheVaultUsesOfTheOfficialClientEndsTheProgram(t *testing.T) {
	t.Parallel()
	all, err := load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var users, used []string
	for _, s := range all {
		if name := importedAs(s.file, clientModule+"/esdb"); name != "" && !s.test() {
			if users = append(users, s.path()); s.pkg == "eventstore/esdb" {
				used = append(used, selected(s.file, name)...)
			}
		}
	}
	slices.Sort(users)
	// The bench is a client of the vault's own server.
	if want := []string{"eventstore/esdb/settings.go", "internal/bench/stream_load.go"}; !slices.Equal(users, want) {
		t.Errorf("it is used by %v", users)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", clientModule).Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "esdb", "*.go"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	calls, lethal := map[string][]string{}, map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				calls["init"] = append(calls["init"], mentioned(d)...) // variables begin with what they are set to
				continue
			}
			names := mentioned(f)
			calls[f.Name.Name] = append(calls[f.Name.Name], names...)
			if slices.Contains(names, "panic") || slices.ContainsFunc(names, func(n string) bool {
				return strings.HasPrefix(n, "Fatal") || strings.HasPrefix(n, "Panic") || n == "Exit" || n == "Goexit"
			}) {
				lethal[f.Name.Name] = true
			}
		}
	}
	if !lethal["createdFromProto"] || !lethal["Recv"] {
		t.Errorf("what is known to end the program is not found, so that other things are not, either: %v", lethal)
	}
	reached := map[string]bool{}
	for todo := append(used, "init"); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if reached[name] {
			continue
		}
		reached[name] = true
		if lethal[name] {
			t.Errorf("%s may end the program, and is reached from %v", name, used)
		}
		todo = append(todo, calls[name]...)
	}
	if !reached["parseSetting"] || len(used) < 3 {
		t.Errorf("of %v only %d functions are reached", used, len(reached))
	}
}

// importedAs is the name under which a file imports a package; "" when it does not.
func importedAs(file *ast.File, path string) string {
	for _, i := range file.Imports {
		if strings.Trim(i.Path.Value, `"`) == path {
			if i.Name != nil {
				return i.Name.Name
			}
			return path[strings.LastIndexByte(path, '/')+1:]
		}
	}
	return ""
}

// selected are the names that a file uses of a package.
func selected(file *ast.File, pkg string) []string {
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				names = append(names, s.Sel.Name)
			}
		}
		return true
	})
	return names
}

// mentioned are all names in a declaration: whatever it calls is among them.
func mentioned(d ast.Node) []string {
	var names []string
	ast.Inspect(d, func(n ast.Node) bool {
		if i, ok := n.(*ast.Ident); ok {
			names = append(names, i.Name)
		}
		return true
	})
	return names
}
