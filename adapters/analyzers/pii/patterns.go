package pii

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed patterns.yaml
var defaultPatterns []byte

// Set is a compiled file of patterns. It is safe for concurrent use.
type Set struct {
	patterns  []pattern
	threshold int
	version   string
}

// Version is the first 12 hexadecimal digits of the SHA-256 of the file of patterns, and of the program's part in them.
func (s *Set) Version() string { return s.version }

// Threshold is the confidence, in percent, that a match has to reach unless its pattern says another.
func (s *Set) Threshold() int { return s.threshold }

// Types are the types that can be found, sorted.
func (s *Set) Types() []string {
	var types []string
	for _, p := range s.patterns {
		types = append(types, p.kind)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// Sensitivity is the greatest sensitivity of a type; 0: there is no such type.
func (s *Set) Sensitivity(kind string) int {
	most := 0
	for _, p := range s.patterns {
		if p.kind == kind {
			most = max(most, p.sensitivity)
		}
	}
	return most
}

type pattern struct {
	name, kind    string
	re            *regexp.Regexp
	validate      validator
	base, boost   int
	penalty       int
	threshold     int
	sensitivity   int
	context       []string
	against       []string
	before, after int
	numeric       bool
	glued         string
	digits, lead  int
	hints         []string
}

// file is a file of patterns as it is written.
type file struct {
	Threshold *int    `yaml:"threshold"`
	Patterns  []entry `yaml:"patterns"`
}

type entry struct {
	Name        string   `yaml:"name"`
	Type        string   `yaml:"type"`
	Pattern     string   `yaml:"pattern"`
	Validate    string   `yaml:"validate"`
	Base        int      `yaml:"base"`
	Boost       int      `yaml:"boost"`
	Penalty     int      `yaml:"penalty"`
	Threshold   int      `yaml:"threshold"`
	Sensitivity int      `yaml:"sensitivity"`
	Context     []string `yaml:"context"`
	Against     []string `yaml:"against"`
	Before      *int     `yaml:"before"`
	After       *int     `yaml:"after"`
	Numeric     bool     `yaml:"numeric"`
	Glued       string   `yaml:"glued"`
	Digits      int      `yaml:"digits"`
	Lead        *int     `yaml:"lead"`
	Hints       []string `yaml:"hints"`
}

// Default are the patterns that come with the program.
func Default() (*Set, error) { return Parse(defaultPatterns) }

// Load reads the patterns of a file; of no file (""), the default ones.
func Load(path string) (*Set, error) {
	if path == "" {
		return Default()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the patterns of personal data: %w", err)
	}
	set, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

// engineVersion changes when the same file of patterns would find something else.
const engineVersion = "1"

// Parse reads a file of patterns. Its error names each pattern and field that is wrong, all of them at once.
func Parse(text []byte) (*Set, error) {
	var f file
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("patterns of personal data: %w", err)
	}
	set := &Set{threshold: 60}
	var problems []error
	if f.Threshold != nil {
		set.threshold = *f.Threshold
	}
	if set.threshold < 1 || set.threshold > 100 {
		problems = append(problems, errors.New("threshold: a confidence is from 1 to 100"))
	}
	if len(f.Patterns) == 0 {
		problems = append(problems, errors.New("patterns: there are none"))
	}
	names := map[string]bool{}
	for i, e := range f.Patterns {
		p, wrong := e.compile(set.threshold)
		name := e.Name
		if name == "" {
			name = fmt.Sprintf("number %d", i+1)
		}
		if names[name] {
			wrong = append(wrong, errors.New("name: another pattern has it"))
		}
		names[name] = true
		for _, w := range wrong {
			problems = append(problems, fmt.Errorf("pattern %s: %w", name, w))
		}
		set.patterns = append(set.patterns, p)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	sum := sha256.Sum256(append([]byte(engineVersion+"\n"), text...))
	set.version = hex.EncodeToString(sum[:6])
	return set, nil
}

func (e entry) compile(threshold int) (pattern, []error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	p := pattern{
		name: e.Name, kind: e.Type, base: e.Base, boost: e.Boost, penalty: e.Penalty, threshold: threshold, sensitivity: e.Sensitivity,
		before: 60, after: 30, numeric: e.Numeric, glued: e.Glued, digits: e.Digits, lead: 24, hints: e.Hints,
	}
	if e.Name == "" {
		bad("name", "it is empty")
	}
	if e.Type == "" || strings.Trim(e.Type, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		bad("type", "%q is not made of a-z, 0-9 and _", e.Type)
	}
	if e.Pattern == "" {
		bad("pattern", "it is empty")
	} else if re, err := regexp.Compile(e.Pattern); err != nil {
		bad("pattern", "%v", err)
	} else if re.MatchString("") {
		bad("pattern", "it matches nothing at all")
	} else {
		re.Longest()
		p.re = re
	}
	if e.Validate != "" {
		if p.validate = validators()[e.Validate]; p.validate == nil {
			bad("validate", "there is no validation %q", e.Validate)
		}
	}
	for field, percent := range map[string]int{"base": e.Base, "boost": e.Boost, "penalty": e.Penalty, "threshold": e.Threshold} {
		if percent < 0 || percent > 100 {
			bad(field, "%d is not from 0 to 100", percent)
		}
	}
	if e.Threshold > 0 {
		p.threshold = e.Threshold
	}
	if e.Base+e.Boost < p.threshold {
		bad("base", "base %d and boost %d never reach the threshold %d", e.Base, e.Boost, p.threshold)
	}
	if e.Boost > 0 && len(e.Context) == 0 {
		bad("context", "there is a boost, and no word that gives it")
	}
	if e.Sensitivity < 1 || e.Sensitivity > 10 {
		bad("sensitivity", "%d is not from 1 to 10", e.Sensitivity)
	}
	for field, size := range map[string]*int{"before": e.Before, "after": e.After, "lead": e.Lead} {
		if size != nil && (*size < 0 || *size > 1000) {
			bad(field, "%d is not from 0 to 1,000 bytes", *size)
		}
	}
	if e.Before != nil {
		p.before = *e.Before
	}
	if e.After != nil {
		p.after = *e.After
	}
	if e.Lead != nil {
		p.lead = *e.Lead
	}
	if e.Digits < 0 || e.Digits > 20 {
		bad("digits", "%d is not from 0 to 20", e.Digits)
	}
	if slices.Contains(e.Hints, "") {
		bad("hints", "a text is empty")
	}
	p.context, p.against = lowered(e.Context), lowered(e.Against)
	if slices.Contains(p.context, "") || slices.Contains(p.against, "") {
		bad("context", "a word is empty")
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return p, wrong
}

func lowered(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(strings.TrimSpace(w))
	}
	return out
}
