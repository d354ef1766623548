package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"go.yaml.in/yaml/v3"

	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/readapi"
	"github.com/mediavault-io/mediavault/writeapi"
)

func TestOnKubernetesEveryPartRunsAsTheProgramUnderstands(t *testing.T) {
	t.Parallel()
	k, all := manifests(t, "base")
	secrets, shared := secretsFolder(t), settingsOf(t)
	router := mux.NewRouter()
	(&app{}).health(router)
	var served []string
	for _, m := range all {
		if m.Kind != "Deployment" && m.Kind != "StatefulSet" {
			continue
		}
		p := m.Spec.Template.Spec
		part := m.Spec.Template.Metadata.Labels["app.kubernetes.io/component"]
		if m.Metadata.Name != "mediavault-"+part {
			t.Errorf("%s is the part %s", m.Metadata.Name, part)
		}
		if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken || !p.SecurityContext.RunAsNonRoot || p.SecurityContext.RunAsUser == 0 || p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
			t.Errorf("%s may too much", m.Metadata.Name)
		}
		for _, c := range append(slices.Clone(p.InitContainers), p.Containers...) {
			s := c.SecurityContext
			if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: %s may too much", m.Metadata.Name, c.Name)
			}
			if c.Image != k.Images[0].Name || c.Resources.Limits["memory"] == "" || c.Resources.Requests["cpu"] == "" {
				t.Errorf("%s: %s is %q, and has %v", m.Metadata.Name, c.Name, c.Image, c.Resources)
			}
			for _, at := range c.VolumeMounts {
				if !slices.ContainsFunc(p.Volumes, func(v named) bool { return v.Name == at.Name }) {
					t.Errorf("%s: there is no volume %s", m.Metadata.Name, at.Name)
				}
			}
			if ran := runs(t, c.Args); c.Name == "vault" {
				served = append(served, ran...)
				if !slices.Equal(ran, []string{part}) {
					t.Errorf("%s runs %v", m.Metadata.Name, ran)
				}
			}
			cfg, err := config.Load(environment(t, shared, &c, secrets), config.Needs()...)
			if err != nil || len(cfg.Unknown) > 0 {
				t.Errorf("%s: %s: %v, nobody reads %v", m.Metadata.Name, c.Name, err, cfg.Unknown)
			}
			if c.Name == "vault" {
				listens(t, m.Metadata.Name, &c, cfg, m.Spec.Template.Metadata.Annotations, router)
				if left := p.TerminationGracePeriodSeconds - c.Lifecycle.PreStop.Sleep.Seconds - int(cfg.ShutdownGrace.Seconds()); left < 10 {
					t.Errorf("%s is killed %d s after it drained", m.Metadata.Name, left)
				}
				if limit := mebibytes(t, c.Resources.Limits["memory"]); part == "react" && int64(limit) < int64(cfg.Screening.Children)*cfg.Screening.ChildMemory>>20+512 {
					t.Errorf("%s has %d MiB for %d children of %d bytes", m.Metadata.Name, limit, cfg.Screening.Children, cfg.Screening.ChildMemory)
				}
			}
		}
	}
	slices.Sort(served)
	if want := slices.Sorted(slices.Values(partNames)); !slices.Equal(served, want) {
		t.Errorf("%v run, of %v", served, want)
	}
}

// runs answers the parts that a command line serves, and fails for one that the program does not understand.
func runs(t *testing.T, args []string) []string {
	t.Helper()
	found, rest, err := root().Find(args)
	if err != nil || found.Name() != args[0] {
		t.Fatalf("there is no command %v: %v", args, err)
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	names := found.Flags().Args()
	if found.Name() == "serve" {
		if _, err := partsOf(names); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	return names
}

// listens holds ports, probes and what Prometheus asks to what is served.
func listens(t *testing.T, name string, c *container, cfg config.Config, annotations map[string]string, router *mux.Router) {
	t.Helper()
	addresses := map[string]string{"http": cfg.Addr}
	if len(cfg.Stream.Addrs) > 0 {
		addresses["eventstore"] = strings.TrimPrefix(cfg.Stream.Addrs[0], "tls://")
	}
	if len(addresses) != len(c.Ports) {
		t.Errorf("%s has the ports %v, and listens at %v", name, c.Ports, addresses)
	}
	for _, p := range c.Ports {
		if _, port, err := net.SplitHostPort(addresses[p.Name]); err != nil || port != strconv.Itoa(p.ContainerPort) {
			t.Errorf("%s: the port %s is %d, and it listens at %q", name, p.Name, p.ContainerPort, addresses[p.Name])
		}
	}
	paths := map[string]bool{}
	_ = router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		paths[path] = true
		return err
	})
	for _, p := range []httpProbe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		if p.HTTPGet.Port != "http" || !paths[p.HTTPGet.Path] {
			t.Errorf("%s: a probe asks %+v", name, p.HTTPGet)
		}
	}
	if annotations["prometheus.io/path"] != "/metrics" || ":"+annotations["prometheus.io/port"] != cfg.Addr {
		t.Errorf("%s: Prometheus is told %v", name, annotations)
	}
}

func mebibytes(t *testing.T, s string) int {
	t.Helper()
	unit := map[string]int{"Mi": 1, "Gi": 1024}[s[len(s)-2:]]
	n, err := strconv.Atoi(s[:len(s)-2])
	if err != nil || unit == 0 {
		t.Fatalf("%q is not understood", s)
	}
	return n * unit
}

func TestOnKubernetesEverythingIsSpreadAndScaledByNamesThatAreThere(t *testing.T) {
	t.Parallel()
	_, all := manifests(t, "base")
	workloads, budgets, scaled := map[string]manifest{}, map[string]bool{}, map[string]manifest{}
	for _, m := range all {
		switch m.Kind {
		case "Deployment", "StatefulSet":
			workloads[m.Metadata.Name] = m
		case "PodDisruptionBudget":
			budgets[m.Metadata.Name] = true
		case "HorizontalPodAutoscaler":
			scaled[m.Spec.ScaleTargetRef.Name] = m
		}
	}
	connections := 0
	for name, m := range workloads {
		most := m.Spec.Replicas
		if s, ok := scaled[name]; ok {
			if most != 0 || s.Spec.ScaleTargetRef.Kind != m.Kind || s.Spec.MinReplicas < 2 {
				t.Errorf("%s says how many there are, and so does its autoscaler", name)
			}
			most = s.Spec.MaxReplicas
		}
		if most < 2 || !budgets[name] {
			t.Errorf("%s: %d pods, whose disruption is bounded: %v", name, most, budgets[name])
		}
		connections += 10 * (most + 1) // one more while they are replaced
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	if says := strconv.Itoa(connections) + " connections"; !slices.Contains(settingsOf(t), "MEDIAVAULT_DATABASE_CONNS=10") || !strings.Contains(string(doc), says) {
		t.Errorf("docs/deploy.md does not say that they need at most %s", says)
	}
	for name := range scaled {
		if _, ok := workloads[name]; !ok {
			t.Errorf("there is nothing to scale: %s", name)
		}
	}
}

func TestOnKubernetesAnEventStoreDBIsUnderstood(t *testing.T) {
	t.Parallel()
	k, _ := manifests(t, "eventstoredb")
	shared := append(settingsOf(t), k.ConfigMapGenerator[0].Literals...)
	_, all := manifests(t, "base")
	secrets := secretsFolder(t)
	authority, _ := selfSigned(t)
	for i := range shared {
		wantSecret(t, "mediavault", "eventstore-ca.crt")
		shared[i] = strings.ReplaceAll(shared[i], "/secrets/eventstore-ca.crt", authority)
	}
	for _, m := range all {
		if m.Metadata.Name != "mediavault-write" || m.Kind != "Deployment" {
			continue
		}
		cfg, err := config.Load(environment(t, shared, &m.Spec.Template.Spec.Containers[0], secrets), config.Needs()...)
		if err != nil || len(cfg.Unknown) > 0 || onPostgres(cfg) {
			t.Errorf("%v, nobody reads %v, the events are at %q", err, cfg.Unknown, cfg.EventStore)
		}
	}
}

// What comes in by the method alone has to reach the part that serves it.
func TestOnKubernetesEveryOperationReachesThePartThatServesIt(t *testing.T) {
	t.Parallel()
	type operations struct{ Paths map[string]map[string]any }
	_, route := manifests(t, "gateway")
	var rules []struct {
		Matches []struct {
			Method string
			Path   struct{ Type, Value string }
		}
		BackendRefs []struct{ Name string } `yaml:"backendRefs"`
	}
	if err := route[0].Spec.Rules.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	// The rule that says most: the longest path, then a method.
	reached := func(method, path string) (backend string) {
		most := -1
		for _, r := range rules {
			for _, m := range r.Matches {
				fits := path == m.Path.Value || (m.Path.Type == "PathPrefix" && strings.HasPrefix(path, m.Path.Value+"/"))
				if !fits || (m.Method != "" && m.Method != method) {
					continue
				}
				says := 2 * len(m.Path.Value)
				if m.Method != "" {
					says++
				}
				if says > most {
					most, backend = says, r.BackendRefs[0].Name
				}
			}
		}
		return backend
	}
	for part, raw := range map[string][]byte{"write": writeapi.OpenAPI(), "read": readapi.OpenAPI()} {
		var o operations
		if err := yaml.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		n := 0
		for path, methods := range o.Paths {
			for method := range methods {
				method = strings.ToUpper(method)
				if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, method) {
					continue
				}
				n++
				if to := reached(method, path); to != "mediavault-"+part {
					t.Errorf("%s %s is served by %s, and reaches %q", method, path, part, to)
				}
			}
		}
		if n < 20 {
			t.Errorf("%s has %d operations", part, n)
		}
	}
	for _, folder := range []string{"ingress", "example"} {
		manifests(t, folder)
	}
	ingress, _ := manifests(t, "ingress")
	var change []struct {
		Path  string
		Value []string
	}
	if err := yaml.Unmarshal([]byte(ingress.Patches[0].Patch), &change); err != nil || !slices.Equal(runs(t, change[0].Value), []string{"write", "read"}) {
		t.Errorf("behind an Ingress %+v, %v", change, err)
	}
}
