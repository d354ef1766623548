// Package config is the vault's configuration: one struct, read from the environment, every variable described in one table
// (settings.go). It reads and checks; it connects to nothing.
package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Config is how the vault runs. Its zero value is not useful; Load fills in the defaults.
type Config struct {
	Addr          string        // where to listen, host:port
	BaseURL       string        // under which clients reach the vault, without a slash at the end; "" when not told
	ShutdownGrace time.Duration // how long requests may go on after SIGTERM

	DatabaseURL   string // postgres://...
	DatabaseConns int    // connections at most, per process
	EventStore    string // postgres, esdb://... or esdb+discover://...

	EventStoreUser     string // for an EventStoreDB; "" means the one in its address, or none
	EventStorePassword string

	S3 S3

	OIDCIssuer   string
	OIDCAudience string
	OIDCClient   string // whose resource_access roles count; "" means the audience

	MasterKeys []MasterKey // the first seals, the others only open what they sealed

	CORSOrigins       []string
	TrustedProxies    []netip.Prefix // whose X-Forwarded-For is believed
	AdminNetworks     []netip.Prefix // from which admin endpoints may be used; empty: from everywhere
	LimitPerIP        Limit          // the zero Limit: none
	LimitPerPrincipal []Limit        // all of them hold
	RequestTimeout    time.Duration  // of a request that does not stream
	CommandTimeout    time.Duration  // of what a command does with the database
	IdleTimeout       time.Duration  // of a stream that stands still

	CacheDir      string // where downloads are kept; empty: in the user's cache folder
	PIIPatterns   string // a file of patterns of personal data; empty: those that come with the program
	ModelsDir     string // where `mediavault models fetch` keeps models; empty: the user's cache folder
	FindingsLeast int    // a finding of personal data with this risk or more is looked at by a person; 0: none is
	NSFWURL       string // of a model that is asked over HTTP; empty: the one in ModelsDir
	NSFWReview    int    // thousandths: a picture that scores higher is looked at by a person
	NSFWRequired  bool   // without a model every picture is looked at by a person

	FourEyesRemove bool          // a removal needs a second moderator
	SweepAge       time.Duration // how old bytes that nobody needs are before they are destroyed
	ReviewLease    time.Duration // how long a claim of a moderation case lasts

	Describers       [2]Describer  // in the order in which they are asked; an empty URL: none
	DescriberTimeout time.Duration // of one question to one of them

	MaxUpload   int64 // bytes per file
	PageSize    int   // items per page unless asked otherwise
	MaxPageSize int   // items per page at most

	Stream Stream

	Screening Screening

	SMTP        SMTP
	MailDigest  time.Duration // how long the first notification of a mail waits for others
	WebhooksAny bool          // whether webhooks may ask addresses that are not public

	LogLevel  slog.Level
	LogFormat string // json or text

	// Unknown are MEDIAVAULT_ variables that nobody reads: most likely misspelt.
	Unknown []string

	printed []line
}

// Describer is a program that describes pictures, by OpenAI's chat completions.
type Describer struct {
	URL   string // up to and without /chat/completions
	Key   string
	Model string
}

// S3 is where the bytes are.
type S3 struct {
	Endpoint       string // host:port
	PublicEndpoint string // as clients reach it, for signed URLs; "" means Endpoint
	Bucket, Region string
	AccessKey      string
	SecretKey      string
	TLS            bool
	Timeout        time.Duration // of a call, and of a silence while bytes are sent or read
}

// Stream is where and how events are given to other programs.
type Stream struct {
	Addrs     []string // host:port, tls://host:port or plain://host:port; none: it is not served
	CertFile  string   // PEM
	KeyFile   string   // PEM
	Insecure  bool     // for tests and dev: everybody is an admin
	MaxAppend int64    // bytes of one append
	Endpoint  string   // host:port, where clients are sent that need this process; "": as they call it
}

// Screening is how new bytes are looked at. Zero thresholds are the defaults of the analyzers.
type Screening struct {
	Children    int           // processes that decode untrusted bytes at once; 0: as many as there are cores
	ChildMemory int64         // bytes, of each
	ChildCPU    time.Duration // for one file
	MinScore    int           // a lower security score is looked at by a person; 0: none is too low
	MaxPixels   int64         // of a picture
	MaxPages    int64         // of a document
	MaxExpanded int64         // bytes, of a document when unpacked
	MaxRatio    int64         // unpacked to packed
	Clamd       string        // where ClamAV's daemon listens; "": none
	ClamdMax    int64         // bytes that it takes at most
}

// SMTP is the server that mail goes through.
type SMTP struct {
	Host, User, Password string // no host: no mail
	Port                 int
	From                 string
	Security             string // starttls, tls, opportunistic or none
}

// MasterKey wraps the keys under which personal fields are sealed.
type MasterKey struct {
	ID  string // is stored beside what the key wrapped
	Key [32]byte
}

// String keeps keys out of logs.
func (k MasterKey) String() string { return "[master key " + k.ID + "]" }

// Limit is how many requests are accepted in a time.
type Limit struct {
	Requests int
	Per      time.Duration
}

type line struct{ name, value, about string }

// Needs are the variables without which `serve` cannot run; dev provides these itself.
func Needs() []string {
	return []string{
		"MEDIAVAULT_DATABASE_URL", "MEDIAVAULT_S3_ENDPOINT", "MEDIAVAULT_S3_ACCESS_KEY", "MEDIAVAULT_S3_SECRET_KEY",
		"MEDIAVAULT_OIDC_ISSUER", "MEDIAVAULT_MASTER_KEY",
	}
}

// Problems are all that is wrong with the environment, one line each.
type Problems []string

// Error implements error.
func (p Problems) Error() string { return "configuration:\n  " + strings.Join(p, "\n  ") }

// Load reads the environment, as os.Environ gives it. required variables have to be set. Secrets may stand in a file instead,
// named by the variable with _FILE at its end. An error is Problems: everything at once; the Config is then good for Print only.
func Load(environ []string, required ...string) (Config, error) {
	given := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, prefix) {
			given[name] = value
		}
	}
	var c Config
	var problems Problems
	for _, s := range settings() {
		value, err := s.read(given)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		switch {
		case value == "" && slices.Contains(required, s.name):
			problems = append(problems, fmt.Sprintf("%s is needed: %s; accepted is %s", s.name, s.about, s.accepts))
		case value != "":
			if err := s.set(&c, value); err != nil {
				problems = append(problems, s.complaint(value, err))
			}
		}
		c.printed = append(c.printed, line{name: s.name, value: s.shown(value), about: s.about})
	}
	if c.PageSize > c.MaxPageSize && c.MaxPageSize > 0 {
		problems = append(problems, "MEDIAVAULT_PAGE_SIZE is larger than MEDIAVAULT_MAX_PAGE_SIZE")
	}
	c.Unknown = unknown(given)
	if len(problems) > 0 {
		return c, problems
	}
	return c, nil
}

// read answers what the environment, the file it names, or the default says.
func (s setting) read(given map[string]string) (string, error) {
	value := strings.TrimSpace(given[s.name])
	file := given[s.name+"_FILE"]
	switch {
	case file == "" || !s.secret:
		if value == "" {
			value = s.otherwise
		}
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s and %s_FILE are both set; accepted is one of them", s.name, s.name)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", s.name, err)
	}
	if value = strings.TrimSpace(string(data)); value == "" {
		return "", fmt.Errorf("%s_FILE: %s is empty", s.name, file)
	}
	return value, nil
}

func (s setting) complaint(value string, err error) string {
	if s.secret {
		return fmt.Sprintf("%s: accepted is %s", s.name, s.accepts)
	}
	return fmt.Sprintf("%s=%q: %v; accepted is %s", s.name, value, err, s.accepts)
}

// shown is a value as people may see it.
func (s setting) shown(value string) string {
	if value == "" || !s.secret {
		return value
	}
	if s.mask != nil {
		return s.mask(value)
	}
	return "[secret]"
}

// foreign are variables of our prefix that other parts of the program or its tests read: where dev finds Postgres' programs,
// how the binary starts itself as a child, and servers for tests.
var foreign = []string{"MEDIAVAULT_POSTGRES_BIN", "MEDIAVAULT_CHILD", "MEDIAVAULT_TEST_"}

func unknown(given map[string]string) []string {
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.name] = true
		known[s.name+"_FILE"] = s.secret
	}
	var found []string
	for name := range given {
		if !known[name] && !slices.ContainsFunc(foreign, func(f string) bool { return strings.HasPrefix(name, f) }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Print writes every variable with its value and what it is for; secrets are masked.
func (c Config) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, l := range c.printed {
		if _, err := fmt.Fprintf(table, "%s=%s\t# %s\n", l.name, l.value, l.about); err != nil {
			return err
		}
	}
	return table.Flush()
}

// Logger is the log that the configuration asks for.
func (c Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
