package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/internal/config"
)

// composed is what deploy/compose.yaml says, as far as it can be wrong without Docker saying so.
type composed struct {
	Services map[string]struct {
		Image     string
		Build     struct{ Context, Dockerfile string }
		Command   []string
		DependsOn map[string]struct {
			Condition string
		} `yaml:"depends_on"`
		Environment map[string]string
		Volumes     []string
		Networks    []string
		Ports       []string
		Healthcheck *struct{ Test []string }
	}
	Networks map[string]any
	Volumes  map[string]any
}

// deployed reads the file as Docker would with the .env of docs/deploy.md, which has to have all that the file asks for.
func deployed(t *testing.T) composed {
	t.Helper()
	root := filepath.Join("..", "..")
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "<<END\n")
	given, _, _ := strings.Cut(rest, "END\n")
	values := map[string]string{}
	for line := range strings.Lines(given) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.HasPrefix(value, "$(openssl rand -base64") {
			value = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
		} else if strings.HasPrefix(value, "$(") {
			value = "0123456789abcdef0123456789abcdef"
		}
		values[name] = value
	}
	variable := regexp.MustCompile(`\$\{([A-Z0-9_]+)(:-|:\?)([^}]*)\}`)
	substituted := variable.ReplaceAllStringFunc(string(raw), func(found string) string {
		m := variable.FindStringSubmatch(found)
		value, ok := values[m[1]]
		switch {
		case ok:
			return value
		case m[2] == ":-":
			return m[3]
		}
		t.Errorf("%s is needed, and docs/deploy.md does not set it", m[1])
		return ""
	})
	if left := regexp.MustCompile(`[^$]\$[{A-Z]`).FindString(substituted); left != "" {
		t.Errorf("%q was not understood", left)
	}
	var c composed
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(substituted, "$$", "$")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheDeploymentIsWholeInItself(t *testing.T) {
	t.Parallel()
	c := deployed(t)
	for name, s := range c.Services {
		if s.Build.Dockerfile == "" {
			_, tag, _ := strings.Cut(s.Image[strings.LastIndexByte(s.Image, '/')+1:], ":")
			if !strings.ContainsAny(tag, "0123456789") {
				t.Errorf("%s: the image %q is not of one version", name, s.Image)
			}
		}
		for on, how := range s.DependsOn {
			other, ok := c.Services[on]
			if !ok || (how.Condition == "service_healthy" && other.Healthcheck == nil) {
				t.Errorf("%s waits for %s to be %q, which never comes", name, on, how.Condition)
			}
		}
		for _, network := range s.Networks {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("%s: there is no network %s", name, network)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[volume]; !ok {
				t.Errorf("%s: there is no volume %s", name, volume)
			}
		}
	}
}

func TestTheDeployedVaultIsConfiguredAsItsProgramUnderstands(t *testing.T) {
	t.Parallel()
	c := deployed(t)
	vault := c.Services["vault"]
	var environ []string
	for name, value := range vault.Environment {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load(environ, config.Needs()...)
	if err != nil {
		t.Error(err)
	}
	if len(cfg.Unknown) > 0 {
		t.Errorf("nobody reads %v", cfg.Unknown)
	}
	if len(cfg.MasterKeys) != 1 {
		t.Errorf("%d master keys", len(cfg.MasterKeys))
	}
	// The authority's file is another here.
	authority, _ := selfSigned(t)
	at := strings.ReplaceAll(vault.Environment["MEDIAVAULT_EVENTSTORE"], "/certs/ca/ca.crt", authority)
	settings, err := esdb.Parse(at, vault.Environment["MEDIAVAULT_EVENTSTORE_USER"], vault.Environment["MEDIAVAULT_EVENTSTORE_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	for address := range strings.SplitSeq(settings.String(), ",") {
		host, port, _ := strings.Cut(address, ":")
		if node, ok := c.Services[host]; !ok || node.Environment["EVENTSTORE_NODE_PORT"] != port {
			t.Errorf("there is no event store at %s", address)
		}
	}
	for what, address := range map[string]string{"postgres": cfg.DatabaseURL, "minio": cfg.S3.Endpoint} {
		if !strings.Contains(address, what+":") || !slices.ContainsFunc(c.Services[what].Networks, func(n string) bool { return slices.Contains(vault.Networks, n) }) {
			t.Errorf("%s cannot be reached at %s", what, address)
		}
	}
	for _, port := range vault.Ports {
		if !strings.HasSuffix(port, vault.Environment["MEDIAVAULT_ADDR"]) {
			t.Errorf("the port %s is not where the vault listens", port)
		}
	}
}

func TestTheDeployedNodesAreOneCluster(t *testing.T) {
	t.Parallel()
	c := deployed(t)
	made := strings.Join(c.Services["certificates"].Command, "\n")
	var nodes []string
	for name := range c.Services {
		if strings.HasPrefix(name, "node") {
			nodes = append(nodes, name)
		}
	}
	slices.Sort(nodes)
	for i, name := range nodes {
		env := c.Services[name].Environment
		if env["EVENTSTORE_CLUSTER_SIZE"] != strconv.Itoa(len(nodes)) || env["EVENTSTORE_NODE_HOST_ADVERTISE_AS"] != name || env["EVENTSTORE_REPLICATION_HOST_ADVERTISE_AS"] != name {
			t.Errorf("%s of %d is %v", name, len(nodes), env)
		}
		var others []string
		for _, other := range nodes {
			if other != name {
				others = append(others, other+":"+env["EVENTSTORE_NODE_PORT"])
			}
		}
		if got := env["EVENTSTORE_GOSSIP_SEED"]; got != strings.Join(others, ",") {
			t.Errorf("%s gossips with %s", name, got)
		}
		for _, file := range []string{env["EVENTSTORE_CERTIFICATE_FILE"], env["EVENTSTORE_CERTIFICATE_PRIVATE_KEY_FILE"]} {
			if !strings.HasPrefix(file, "/certs/"+name+"/node.") || !strings.Contains(made, " "+strconv.Itoa(i+1)) {
				t.Errorf("nobody makes %s", file)
			}
		}
		if !slices.Contains(c.Services[name].Volumes, "events"+strconv.Itoa(i+1)+":/var/lib/eventstore") {
			t.Errorf("%s keeps its events in %v", name, c.Services[name].Volumes)
		}
		if _, insecure := env["EVENTSTORE_INSECURE"]; insecure {
			t.Errorf("%s speaks without TLS", name)
		}
	}
}

func TestTheImageRunsACommandThatIsThere(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	file := string(raw)
	entry := regexp.MustCompile(`ENTRYPOINT \["([^"]+)"\]`).FindStringSubmatch(file)
	arguments := regexp.MustCompile(`CMD \["([^"]+)"\]`).FindStringSubmatch(file)
	if entry == nil || arguments == nil || !strings.Contains(file, " -o "+entry[1]+" ./cmd/mediavault") || !strings.Contains(file, "COPY --from=build "+entry[1]+" "+entry[1]) {
		t.Fatalf("nothing is built that could be run:\n%s", file)
	}
	if found, _, err := root().Find(arguments[1:]); err != nil || found.Name() != arguments[1] {
		t.Errorf("there is no command %s: %v", arguments[1], err)
	}
	for line := range strings.Lines(file) {
		if image, ok := strings.CutPrefix(line, "FROM "); ok && !strings.ContainsAny(image, "0123456789") {
			t.Errorf("the image %s is not of one version", image)
		}
	}
}
