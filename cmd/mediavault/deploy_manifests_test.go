package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest is an object of Kubernetes, as far as it can be at odds with the program.
type manifest struct {
	Kind     string
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Spec struct {
		Replicas       int
		ServiceName    string                      `yaml:"serviceName"`
		MinReplicas    int                         `yaml:"minReplicas"`
		MaxReplicas    int                         `yaml:"maxReplicas"`
		ScaleTargetRef struct{ Kind, Name string } `yaml:"scaleTargetRef"`
		Selector       yaml.Node
		Ports          []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     pod
		}
		Rules yaml.Node
	}
}

type pod struct {
	ServiceAccountName            string `yaml:"serviceAccountName"`
	AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []named
}

type named struct{ Name string }

type container struct {
	Name, Image string
	Args        []string
	Env         []struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
			FieldRef     struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe, ReadinessProbe, LivenessProbe httpProbe
	Lifecycle                                   struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	Resources    struct{ Requests, Limits map[string]string }
	VolumeMounts []mount `yaml:"volumeMounts"`
}

type mount struct {
	Name string
	At   string `yaml:"mountPath"`
}

type httpProbe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// UnmarshalYAML reads the probes, whose names have capitals in the middle.
func (c *container) UnmarshalYAML(node *yaml.Node) error {
	type plain container
	var probes struct {
		Startup   httpProbe `yaml:"startupProbe"`
		Readiness httpProbe `yaml:"readinessProbe"`
		Liveness  httpProbe `yaml:"livenessProbe"`
	}
	err := errors.Join(node.Decode((*plain)(c)), node.Decode(&probes))
	c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = probes.Startup, probes.Readiness, probes.Liveness
	return err
}

// kustomization is a folder's list of what is in it.
type kustomization struct {
	Resources, Components []string
	ConfigMapGenerator    []struct {
		Name, Behavior string
		Envs, Literals []string
	} `yaml:"configMapGenerator"`
	Images  []struct{ Name string }
	Patches []struct {
		Target struct{ Kind, Name string }
		Patch  string
	}
}

func kubernetes(parts ...string) string {
	return filepath.Join(append([]string{"..", "..", "deploy", "kubernetes"}, parts...)...)
}

func decoded[T any](t *testing.T, path string) []T {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var one T
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, one)
	}
}

// manifests are the objects of a folder, which lists all of its files and no others.
func manifests(t *testing.T, folder string) (kustomization, []manifest) {
	t.Helper()
	k := decoded[kustomization](t, kubernetes(folder, "kustomization.yaml"))[0]
	var listed []string
	var all []manifest
	for _, r := range k.Resources {
		if strings.HasSuffix(r, ".yaml") {
			listed = append(listed, r)
			all = append(all, decoded[manifest](t, kubernetes(folder, r))...)
		} else if _, err := os.Stat(kubernetes(folder, r, "kustomization.yaml")); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
	there, err := filepath.Glob(kubernetes(folder, "*.yaml"))
	if err != nil || len(there) != len(listed)+1 {
		t.Errorf("%s lists %v of %v, %v", folder, listed, there, err)
	}
	return k, all
}

// environment is what a container gets: the shared settings, and its own. Secrets are files in a folder of the test's.
func environment(t *testing.T, shared []string, c *container, secrets string) []string {
	t.Helper()
	values := map[string]string{}
	for _, line := range shared {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	substitute := regexp.MustCompile(`\$\((\w+)\)`)
	for _, e := range c.Env {
		value := e.Value
		switch {
		case e.ValueFrom.SecretKeyRef.Name != "":
			value = "a-key"
			wantSecret(t, e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
		case e.ValueFrom.FieldRef.FieldPath != "":
			value = "mediavault-stream-0"
		}
		values[e.Name] = substitute.ReplaceAllStringFunc(value, func(s string) string {
			v, ok := values[s[2:len(s)-1]]
			if !ok {
				t.Errorf("%s is not set before %s", s, e.Name)
			}
			return v
		})
	}
	var list []string
	for name, value := range values {
		if strings.HasPrefix(value, "/secrets/") {
			if !slices.ContainsFunc(c.VolumeMounts, func(m mount) bool { return m.At == "/secrets" }) {
				t.Errorf("%s: nothing is mounted at /secrets", c.Name)
			}
			wantSecret(t, "mediavault", filepath.Base(value))
			value = filepath.Join(secrets, filepath.Base(value))
		}
		list = append(list, name+"="+value)
	}
	return list
}

// wantSecret holds docs/deploy.md to it that it says how a secret comes to be.
func wantSecret(t *testing.T, secret, key string) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "secret generic "+secret+" ") || !regexp.MustCompile(`--from-(literal|file)=`+regexp.QuoteMeta(key)+`=`).Match(doc) {
		t.Errorf("docs/deploy.md does not make %s of the secret %s", key, secret)
	}
}

func secretsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{
		"database-url": "postgres://mediavault:x@postgres.example.org/mediavault", "s3-secret-key": "x", "eventstore-password": "x",
		"master-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func settingsOf(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(kubernetes("base", "mediavault.env"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}
