package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// exported are the metrics of a vault with their labels, those too that have nothing to say yet.
type exported map[string][]string

// exports answers what a vault registers, of which its /metrics shows what has a value.
func exports(t *testing.T) exported {
	t.Helper()
	v := startVault(t, t.TempDir())
	t.Cleanup(v.stop)
	s, err := findSurroundings(t.Context(), v.dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := openApp(t.Context(), s.cfg, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	p, err := partsOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, handler, err := a.handler(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := httptest.NewRecorder()
	handler.ServeHTTP(shown, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	list := exported{}
	described := make(chan *prometheus.Desc)
	go func() {
		a.registry.Describe(described)
		close(described)
	}()
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	for d := range described {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s is not understood", d)
		}
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		for _, end := range []string{"", "_bucket", "_sum", "_count"} {
			list[m[1]+end] = labels
		}
		list[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
	}
	if shown.Code != http.StatusOK || !strings.Contains(shown.Body.String(), "\nmediavault_http_requests_in_flight ") {
		t.Fatalf("/metrics answers %d %s", shown.Code, shown.Body)
	}
	for line := range strings.Lines(shown.Body.String()) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") && list[fields[2]] == nil {
			if _, ok := list[fields[2]]; !ok {
				t.Errorf("/metrics shows %s, which nobody registered", fields[2])
			}
		}
	}
	return list
}

// What deploy/monitoring/prometheus.yaml adds to each metric.
var ofTheScrape = []string{"job", "instance", "part"}

// check parses a query as Prometheus does, and answers the labels that its result can have.
func (e exported) check(t *testing.T, where, query string) []string {
	t.Helper()
	expr, err := parser.ParseExpr(strings.ReplaceAll(query, "$__rate_interval", "5m"))
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	known := slices.Clone(ofTheScrape)
	var asked []string
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			labels, ok := e[n.Name]
			if !ok {
				t.Errorf("%s: no vault has the metric %q", where, n.Name)
			}
			known = append(known, labels...)
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" && !slices.Contains(labels, m.Name) && !slices.Contains(ofTheScrape, m.Name) {
					t.Errorf("%s: %s has no label %s", where, n.Name, m.Name)
				}
			}
			counter := slices.ContainsFunc(path, func(p parser.Node) bool {
				c, ok := p.(*parser.Call)
				return ok && slices.Contains([]string{"rate", "irate", "increase"}, c.Func.Name)
			})
			if is := regexp.MustCompile(`_(total|bucket|count|sum)$`).MatchString(n.Name); is != counter {
				t.Errorf("%s: %s is a counter: %v, and is used as one: %v", where, n.Name, is, counter)
			}
		case *parser.AggregateExpr:
			asked = append(asked, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				asked = append(asked, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	for _, label := range asked {
		if !slices.Contains(known, label) {
			t.Errorf("%s: nothing in it has the label %s", where, label)
		}
	}
	return known
}

// rules are Prometheus' rule files, strictly.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// dashboard is what Grafana reads, as far as it asks for anything.
type dashboard struct {
	Title, UID string
	Templating struct{ List []struct{ Name string } }
	Panels     []struct {
		ID         int
		Title      string
		Datasource struct{ UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct{ Expr, LegendFormat string }
	}
}

func monitoring(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "monitoring", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAlertsAndDashboardAskForWhatAVaultExports(t *testing.T) {
	t.Parallel()
	metrics := exports(t)
	t.Run("alerts", func(t *testing.T) {
		var r rules
		d := yaml.NewDecoder(strings.NewReader(string(monitoring(t, "alerts.yaml"))))
		d.KnownFields(true)
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, rule := range r.Groups[0].Rules {
			labels := metrics.check(t, rule.Alert, rule.Expr)
			if seen[rule.Alert] || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) {
				t.Errorf("%s is twice, or says too little: %+v", rule.Alert, rule)
			}
			seen[rule.Alert] = true
			if rule.For != "" && !regexp.MustCompile(`^[0-9]+[smh]$`).MatchString(rule.For) {
				t.Errorf("%s waits %q", rule.Alert, rule.For)
			}
			for name, text := range rule.Annotations {
				human := func(float64) string { return "" }
				said, err := template.New(name).Funcs(template.FuncMap{"humanizePercentage": human, "humanizeDuration": human, "humanize": human}).
					Option("missingkey=error").Parse(`{{ $labels := .Labels }}{{ $value := .Value }}` + text)
				if err != nil {
					t.Errorf("%s: %v", rule.Alert, err)
					continue
				}
				given := map[string]string{}
				for _, label := range labels {
					given[label] = label
				}
				if err := said.Execute(io.Discard, map[string]any{"Labels": given, "Value": 1.0}); err != nil {
					t.Errorf("%s: %v", rule.Alert, err)
				}
				for _, command := range regexp.MustCompile("`mediavault ([a-z]+)").FindAllStringSubmatch(text, -1) {
					if found, _, err := root().Find(command[1:]); err != nil || found.Name() != command[1] {
						t.Errorf("%s: there is no command %s", rule.Alert, command[1])
					}
				}
			}
		}
		if len(seen) < 10 {
			t.Errorf("%d alerts", len(seen))
		}
	})
	t.Run("dashboard", func(t *testing.T) {
		var d dashboard
		if err := json.Unmarshal(monitoring(t, "dashboard.json"), &d); err != nil {
			t.Fatal(err)
		}
		if d.UID == "" || len(d.Panels) < 10 || d.Templating.List[0].Name != "source" {
			t.Errorf("%q has %d panels", d.Title, len(d.Panels))
		}
		ids, places := map[int]bool{}, map[[2]int]bool{}
		for _, p := range d.Panels {
			place := [2]int{p.GridPos.X, p.GridPos.Y}
			if ids[p.ID] || places[place] || p.Title == "" || len(p.Targets) == 0 || p.Datasource.UID != "${source}" {
				t.Errorf("panel %d, %q: twice, in the place of another, or without a source", p.ID, p.Title)
			}
			ids[p.ID], places[place] = true, true
			for _, target := range p.Targets {
				labels := metrics.check(t, p.Title, target.Expr)
				for _, name := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(labels, name[1]) {
						t.Errorf("%s: its legend names %s", p.Title, name[1])
					}
				}
			}
		}
	})
	t.Run("what Prometheus is told", func(t *testing.T) {
		var c struct {
			RuleFiles     []string `yaml:"rule_files"`
			ScrapeConfigs []struct {
				JobName        string `yaml:"job_name"`
				RelabelConfigs []struct {
					TargetLabel string `yaml:"target_label"`
				} `yaml:"relabel_configs"`
			} `yaml:"scrape_configs"`
		}
		if err := yaml.Unmarshal(monitoring(t, "prometheus.yaml"), &c); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.RuleFiles, []string{"alerts.yaml"}) || c.ScrapeConfigs[0].JobName != "mediavault" {
			t.Errorf("%+v", c)
		}
		for _, r := range c.ScrapeConfigs[0].RelabelConfigs {
			if r.TargetLabel != "" && !slices.Contains(ofTheScrape, r.TargetLabel) {
				t.Errorf("a label %s that nobody expects", r.TargetLabel)
			}
		}
	})
}

// The container that runs first has its secrets in files, and no data folder.
func TestOnKubernetesTheDatabaseIsBroughtForwardFirst(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsFolder(t)
	if err := os.WriteFile(filepath.Join(secrets, "database-url"), []byte(pgtest.URL(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, all := manifests(t, "base")
	for _, m := range all {
		if m.Kind != "Deployment" {
			continue
		}
		first := m.Spec.Template.Spec.InitContainers[0]
		cmd := exec.Command(path, first.Args...)
		cmd.Dir = t.TempDir()
		cmd.Env = environment(t, settingsOf(t), &first, secrets)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "up to date") {
			t.Errorf("%s: %v\n%s", m.Metadata.Name, err, out)
		}
	}
}
