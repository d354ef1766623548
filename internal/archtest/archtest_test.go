package archtest

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheHouse(t *testing.T) {
	t.Parallel()
	all, err := load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files were found", len(all))
	}
	t.Run("imports point inward", func(t *testing.T) {
		t.Parallel()
		for _, s := range all {
			for _, complaint := range imports(s) {
				t.Error(complaint)
			}
		}
	})
	t.Run("style that a machine can see", func(t *testing.T) {
		t.Parallel()
		for _, s := range all {
			for _, complaint := range style(s) {
				t.Error(complaint)
			}
		}
		for _, complaint := range undocumented(all) {
			t.Error(complaint)
		}
	})
}

func TestEachRuleFires(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ pkg, file, text, want string }{
		"a sibling of the domain":     {"domain/media", "a.go", `import _ "` + module + `/domain/share"`, "may not import"},
		"the domain and a context":    {"domain/media", "a.go", `import _ "context"`, "may not import"},
		"the domain and the network":  {"domain", "a.go", `import _ "net/http"`, "may not import"},
		"SQL in an API":               {"readapi", "a.go", `import _ "github.com/jackc/pgx/v5"`, "may not import"},
		"outward":                     {"commands", "a.go", `import _ "` + module + `/writeapi"`, "may not import"},
		"an adapter and another":      {"adapters/auth", "a.go", `import _ "` + module + `/adapters/blobs"`, "may not import"},
		"what is for tests, in code":  {"projections", "a.go", `import _ "` + module + `/internal/pgtest"`, "may not import"},
		"a module nobody listed":      {"internal/config", "a.go", `import _ "github.com/x/y"`, "may not import"},
		"a module that is only alike": {"internal/web", "a.go", `import _ "github.com/gorilla/muxxx"`, "may not import"},
		"a test of an outer package":  {"domain/media", "a_test.go", `import _ "` + module + `/commands"`, "may not import"},
		"a package nobody listed":     {"helpers", "a.go", ``, "has no line"},
		"a clock in the domain":       {"domain/media", "a.go", `var x = time.Now`, "no clock"},
		"chance in the domain":        {"domain", "a.go", `var x = uuid.NewV7`, "no chance"},
		"init":                        {"commands", "a.go", `func init() {}`, "no init"},
		"a skipped test":              {"commands", "a_test.go", `func f() { t.Skipf("") }`, "skipped"},
		"a sleeping test":             {"commands", "a_test.go", `func f() { time.Sleep(1) }`, "time.Sleep"},
		"a TODO without a number":     {"commands", "a.go", "// TO" + "DO: later", "TODO"},
		"a name that says nothing":    {"commands", "a.go", "type MediaManager int", "says nothing"},
		"a file of two subjects":      {"commands", "a.go", strings.Repeat("\n", maxLines+1), "two subjects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(test.pkg, test.file, "package x\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			found := append(imports(s), style(s)...)
			if len(found) != 1 || !strings.Contains(found[0], test.want) {
				t.Errorf("%q", found)
			}
		})
	}
	for name, test := range map[string]struct{ pkg, file, text string }{
		"the adapters' way in":   {"commands", "a.go", `import _ "` + module + `/adapters/blobs"`},
		"a package of a module":  {"projections", "a.go", `import _ "github.com/jackc/pgx/v5/pgxpool"`},
		"tests use the real one": {"commands", "a_test.go", `import _ "` + module + `/internal/pgtest"`},
		"the catalog knows all":  {"domain/catalog", "a.go", `import _ "` + module + `/domain/media"`},
		"cmd knows everybody":    {"cmd/mediavault", "a.go", `import _ "` + module + `/internal/dev"`},
		"a TODO with its number": {"commands", "a.go", "// TO" + "DO(#12): later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(test.pkg, test.file, "package x\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			if found := append(imports(s), style(s)...); len(found) != 0 {
				t.Errorf("%q", found)
			}
		})
	}
}
