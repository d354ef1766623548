package config

import (
	"strconv"
	"time"
)

const prefix = "MEDIAVAULT_"

// setting is one variable.
type setting struct {
	name      string
	otherwise string // the default; "" for none
	accepts   string
	about     string
	set       func(*Config, string) error
	secret    bool
	mask      func(string) string // how a secret is shown; nil hides all of it
}

// settings are all variables of the vault, in the order in which they are printed.
func settings() []setting {
	return append(mainSettings(), screeningSettings()...)
}

func mainSettings() []setting {
	return []setting{
		{name: "MEDIAVAULT_ADDR", otherwise: ":8080", accepts: "host:port or :port", about: "where to listen",
			set: func(c *Config, s string) error { return into(&c.Addr, s, address) }},
		{name: "MEDIAVAULT_BASE_URL", accepts: "a URL such as https://vault.example.org", about: "under which clients reach the vault",
			set: func(c *Config, s string) error { return into(&c.BaseURL, s, httpURL) }},
		{name: "MEDIAVAULT_SHUTDOWN_GRACE", otherwise: "30s", accepts: "a duration from 0s to 10m", about: "how long requests may go on after SIGTERM",
			set: func(c *Config, s string) error { return into(&c.ShutdownGrace, s, duration(0, 10*time.Minute)) }},

		{name: "MEDIAVAULT_DATABASE_URL", accepts: "postgres://user:password@host:port/database", about: "the Postgres of events and read models",
			secret: true, mask: maskURL, set: func(c *Config, s string) error { return into(&c.DatabaseURL, s, postgresURL) }},
		{name: "MEDIAVAULT_DATABASE_CONNS", otherwise: "20", accepts: "a whole number from 4 to 1000", about: "connections to Postgres at most, per process",
			set: func(c *Config, s string) error { return into(&c.DatabaseConns, s, whole(4, 1000)) }},
		{name: "MEDIAVAULT_EVENTSTORE", otherwise: "postgres", accepts: "postgres, esdb://host:port or esdb+discover://host:port", about: "which store holds the events",
			secret: true, mask: maskURL, set: func(c *Config, s string) error { return into(&c.EventStore, s, eventStore) }},
		{name: "MEDIAVAULT_EVENTSTORE_USER", accepts: "a name", about: "the vault's user on an EventStoreDB",
			set: func(c *Config, s string) error { return into(&c.EventStoreUser, s, anything) }},
		{name: "MEDIAVAULT_EVENTSTORE_PASSWORD", accepts: "a password", about: "the password of MEDIAVAULT_EVENTSTORE_USER", secret: true,
			set: func(c *Config, s string) error { return into(&c.EventStorePassword, s, anything) }},

		{name: "MEDIAVAULT_S3_ENDPOINT", accepts: "host or host:port, without https://", about: "the S3 server of the bytes",
			set: func(c *Config, s string) error { return into(&c.S3.Endpoint, s, host) }},
		{name: "MEDIAVAULT_S3_PUBLIC_ENDPOINT", accepts: "host or host:port, without https://", about: "the S3 server as clients reach it, for signed URLs",
			set: func(c *Config, s string) error { return into(&c.S3.PublicEndpoint, s, host) }},
		{name: "MEDIAVAULT_S3_BUCKET", otherwise: "mediavault", accepts: "3 to 63 lower-case letters, digits, dots and hyphens", about: "the bucket of the S3 server that holds the vault's bytes",
			set: func(c *Config, s string) error { return into(&c.S3.Bucket, s, bucket) }},
		{name: "MEDIAVAULT_S3_REGION", otherwise: "us-east-1", accepts: "a region's name", about: "the region of the S3 server",
			set: func(c *Config, s string) error { return into(&c.S3.Region, s, anything) }},
		{name: "MEDIAVAULT_S3_ACCESS_KEY", accepts: "an access key", about: "the vault's key at the S3 server",
			set: func(c *Config, s string) error { return into(&c.S3.AccessKey, s, anything) }},
		{name: "MEDIAVAULT_S3_SECRET_KEY", accepts: "a secret key", about: "the secret of the vault's key at the S3 server", secret: true,
			set: func(c *Config, s string) error { return into(&c.S3.SecretKey, s, anything) }},
		{name: "MEDIAVAULT_S3_TLS", otherwise: "true", accepts: "true or false", about: "whether to speak TLS to the S3 server",
			set: func(c *Config, s string) error { return into(&c.S3.TLS, s, strconv.ParseBool) }},

		{name: "MEDIAVAULT_S3_TIMEOUT", otherwise: "15s", accepts: "a duration from 1s to 10m", about: "the time for a call to the S3 server, and for a silence while bytes are sent or read",
			set: func(c *Config, s string) error {
				return into(&c.S3.Timeout, s, duration(time.Second, 10*time.Minute))
			}},

		{name: "MEDIAVAULT_OIDC_ISSUER", accepts: "the issuer's URL, as tokens name it in iss", about: "whose tokens are accepted (a Keycloak realm, say)",
			set: func(c *Config, s string) error { return into(&c.OIDCIssuer, s, issuerURL) }},
		{name: "MEDIAVAULT_OIDC_AUDIENCE", otherwise: "media-vault", accepts: "a name", about: "what tokens have to have in aud",
			set: func(c *Config, s string) error { return into(&c.OIDCAudience, s, anything) }},
		{name: "MEDIAVAULT_OIDC_CLIENT", accepts: "a client's name", about: "whose resource_access roles count; the audience's unless set",
			set: func(c *Config, s string) error { return into(&c.OIDCClient, s, anything) }},
		{name: "MEDIAVAULT_MASTER_KEY", secret: true, mask: maskKeys,
			accepts: "32 bytes in base64 (openssl rand -base64 32), or several as name:base64 joined by commas, the first of which seals",
			about:   "wraps the keys of personal fields; losing it loses them",
			set:     func(c *Config, s string) error { return into(&c.MasterKeys, s, masterKeys) }},

		{name: "MEDIAVAULT_CORS_ORIGINS", accepts: "origins such as https://app.example.org joined by commas, or *", about: "whose pages may call the API",
			set: func(c *Config, s string) error { return into(&c.CORSOrigins, s, list(origin)) }},
		{name: "MEDIAVAULT_TRUSTED_PROXIES", accepts: "networks such as 10.0.0.0/8 joined by commas", about: "whose X-Forwarded-For is believed",
			set: func(c *Config, s string) error { return into(&c.TrustedProxies, s, list(network)) }},
		{name: "MEDIAVAULT_ADMIN_NETWORKS", accepts: "networks such as 10.0.0.0/8 joined by commas", about: "from which admin endpoints may be used; everywhere unless set",
			set: func(c *Config, s string) error { return into(&c.AdminNetworks, s, list(network)) }},
		{name: "MEDIAVAULT_LIMIT_PER_IP", otherwise: "100/1m", accepts: "requests/duration such as 100/1m, or 0 for none", about: "requests of one address without a good token",
			set: func(c *Config, s string) error { return into(&c.LimitPerIP, s, limit) }},
		{name: "MEDIAVAULT_LIMIT_PER_PRINCIPAL", otherwise: "1000/1m,10000/1h", accepts: "limits such as 1000/1m,10000/1h, or 0 for none", about: "requests of one person or program",
			set: func(c *Config, s string) error { return into(&c.LimitPerPrincipal, s, list(limit)) }},
		{name: "MEDIAVAULT_REQUEST_TIMEOUT", otherwise: "30s", accepts: "a duration from 1s to 10m", about: "for a request that does not stream",
			set: func(c *Config, s string) error {
				return into(&c.RequestTimeout, s, duration(time.Second, 10*time.Minute))
			}},
		{name: "MEDIAVAULT_COMMAND_TIMEOUT", otherwise: "30s", accepts: "a duration from 1s to 10m", about: "for what a command does with the database, however the request is sent",
			set: func(c *Config, s string) error {
				return into(&c.CommandTimeout, s, duration(time.Second, 10*time.Minute))
			}},
		{name: "MEDIAVAULT_IDLE_TIMEOUT", otherwise: "60s", accepts: "a duration from 1s to 1h", about: "how long an upload, download or stream may stand still",
			set: func(c *Config, s string) error { return into(&c.IdleTimeout, s, duration(time.Second, time.Hour)) }},

		{name: "MEDIAVAULT_CACHE_DIR", accepts: "a folder", about: "where downloads are kept, such as the programs of Postgres that dev fetches, and models; mediavault in the user's cache folder when empty",
			set: func(c *Config, s string) error { return into(&c.CacheDir, s, anything) }},
		{name: "MEDIAVAULT_PII_PATTERNS", accepts: "a YAML file, as adapters/analyzers/pii/patterns.yaml", about: "what personal data looks like",
			set: func(c *Config, s string) error { return into(&c.PIIPatterns, s, anything) }},
		{name: "MEDIAVAULT_FINDINGS_REVIEW", otherwise: "40", accepts: "a whole number from 0 to 100", about: "a finding of personal data with at least this risk is looked at by a person; 0: none is",
			set: func(c *Config, s string) error { return into(&c.FindingsLeast, s, whole(0, 100)) }},
		{name: "MEDIAVAULT_MODELS_DIR", accepts: "a folder", about: "where `mediavault models fetch` keeps models; models in MEDIAVAULT_CACHE_DIR when empty",
			set: func(c *Config, s string) error { return into(&c.ModelsDir, s, anything) }},
		{name: "MEDIAVAULT_NSFW_URL", accepts: "a URL such as http://model.internal/score", about: "a model for unsafe pictures that is asked over HTTP",
			set: func(c *Config, s string) error { return into(&c.NSFWURL, s, httpURL) }},
		{name: "MEDIAVAULT_NSFW_REVIEW", otherwise: "700", accepts: "a whole number from 1 to 1000", about: "thousandths: a picture that scores at least this is looked at by a person",
			set: func(c *Config, s string) error { return into(&c.NSFWReview, s, whole(1, 1000)) }},
		{name: "MEDIAVAULT_NSFW_REQUIRED", otherwise: "false", accepts: "true or false", about: "whether pictures wait for a person when there is no model",
			set: func(c *Config, s string) error { return into(&c.NSFWRequired, s, strconv.ParseBool) }},

		{name: "MEDIAVAULT_FOUR_EYES_REMOVE", otherwise: "false", accepts: "true or false", about: "whether a removal needs a second moderator",
			set: func(c *Config, s string) error { return into(&c.FourEyesRemove, s, strconv.ParseBool) }},
		{name: "MEDIAVAULT_SWEEP_AGE", otherwise: "24h", accepts: "a duration from 1h to 8760h", about: "how old bytes in storage are before they are destroyed because nobody needs them",
			set: func(c *Config, s string) error {
				return into(&c.SweepAge, s, duration(time.Hour, 365*24*time.Hour))
			}},
		{name: "MEDIAVAULT_REVIEW_LEASE", otherwise: "15m", accepts: "a duration from 1m to 24h", about: "how long a moderator's claim of a case lasts",
			set: func(c *Config, s string) error {
				return into(&c.ReviewLease, s, duration(time.Minute, 24*time.Hour))
			}},

		{name: "MEDIAVAULT_DESCRIBER_URL", accepts: "a URL such as https://api.example.org/v1", about: "who describes pictures when their owner asks, by OpenAI's chat completions with pictures",
			set: func(c *Config, s string) error { return into(&c.Describers[0].URL, s, httpURL) }},
		{name: "MEDIAVAULT_DESCRIBER_KEY", accepts: "a token", about: "the bearer token for who describes pictures", secret: true,
			set: func(c *Config, s string) error { return into(&c.Describers[0].Key, s, anything) }},
		{name: "MEDIAVAULT_DESCRIBER_MODEL", accepts: "a model's name", about: "the model that describes pictures",
			set: func(c *Config, s string) error { return into(&c.Describers[0].Model, s, anything) }},
		{name: "MEDIAVAULT_DESCRIBER_FALLBACK_URL", accepts: "a URL such as https://api.example.org/v1", about: "who describes pictures when the first does not answer, by OpenAI's chat completions with pictures",
			set: func(c *Config, s string) error { return into(&c.Describers[1].URL, s, httpURL) }},
		{name: "MEDIAVAULT_DESCRIBER_FALLBACK_KEY", accepts: "a token", about: "the bearer token for who describes pictures then", secret: true,
			set: func(c *Config, s string) error { return into(&c.Describers[1].Key, s, anything) }},
		{name: "MEDIAVAULT_DESCRIBER_FALLBACK_MODEL", accepts: "a model's name", about: "the model that describes pictures then",
			set: func(c *Config, s string) error { return into(&c.Describers[1].Model, s, anything) }},
		{name: "MEDIAVAULT_DESCRIBER_TIMEOUT", otherwise: "20s", accepts: "a duration from 1s to 25s", about: "how long one of them may take",
			set: func(c *Config, s string) error {
				return into(&c.DescriberTimeout, s, duration(time.Second, 25*time.Second))
			}},

		{name: "MEDIAVAULT_MAX_UPLOAD", otherwise: "5GiB", accepts: "a size such as 5GiB, at most 5TiB", about: "the largest file",
			set: func(c *Config, s string) error { return into(&c.MaxUpload, s, size) }},
		{name: "MEDIAVAULT_PAGE_SIZE", otherwise: "50", accepts: "a whole number from 1 to 1000", about: "items per page unless asked otherwise",
			set: func(c *Config, s string) error { return into(&c.PageSize, s, whole(1, 1000)) }},
		{name: "MEDIAVAULT_MAX_PAGE_SIZE", otherwise: "200", accepts: "a whole number from 1 to 1000", about: "items per page at most",
			set: func(c *Config, s string) error { return into(&c.MaxPageSize, s, whole(1, 1000)) }},

		{name: "MEDIAVAULT_STREAM_ADDR", accepts: "host:port, or several joined by commas; tls:// or plain:// before one overrules what the certificate says",
			about: "where to give events to other programs, in EventStoreDB's protocol",
			set:   func(c *Config, s string) error { return into(&c.Stream.Addrs, s, list(streamAddress)) }},
		{name: "MEDIAVAULT_STREAM_TLS_CERT", accepts: "a PEM file", about: "the certificate of the stream API, with its chain; TLS is spoken when it is set",
			set: func(c *Config, s string) error { return into(&c.Stream.CertFile, s, anything) }},
		{name: "MEDIAVAULT_STREAM_TLS_KEY", accepts: "a PEM file", about: "the key of the stream API's certificate",
			set: func(c *Config, s string) error { return into(&c.Stream.KeyFile, s, anything) }},
		{name: "MEDIAVAULT_STREAM_INSECURE", otherwise: "false", accepts: "true or false",
			about: "for tests and dev, on this machine alone: without TLS everybody is an admin of the stream API, with TLS admin:changeit is",
			set:   func(c *Config, s string) error { return into(&c.Stream.Insecure, s, strconv.ParseBool) }},
		{name: "MEDIAVAULT_STREAM_MAX_APPEND", otherwise: "1MiB", accepts: "a size such as 1MiB, at most 64MiB", about: "the largest append to the stream API",
			set: func(c *Config, s string) error { return into(&c.Stream.MaxAppend, s, size) }},
		{name: "MEDIAVAULT_STREAM_ENDPOINT", accepts: "host:port", about: "where consumers of persistent subscriptions find this process, and no other, when another sends them here; without it, under the name by which operators call it",
			set: func(c *Config, s string) error { return into(&c.Stream.Endpoint, s, address) }},

		{name: "MEDIAVAULT_SMTP_HOST", accepts: "a host", about: "the server that mail goes through; no mail unless set",
			set: func(c *Config, s string) error { return into(&c.SMTP.Host, s, host) }},
		{name: "MEDIAVAULT_SMTP_PORT", otherwise: "587", accepts: "a whole number from 1 to 65535", about: "the port of the server that mail goes through",
			set: func(c *Config, s string) error { return into(&c.SMTP.Port, s, whole(1, 65535)) }},
		{name: "MEDIAVAULT_SMTP_SECURITY", otherwise: "starttls", accepts: "starttls, tls, opportunistic or none", about: "how the connection to the mail server is kept secret; without TLS no password is sent",
			set: func(c *Config, s string) error {
				return into(&c.SMTP.Security, s, oneOf("starttls", "tls", "opportunistic", "none"))
			}},
		{name: "MEDIAVAULT_SMTP_USER", accepts: "a name", about: "who logs in at the mail server; nobody unless set",
			set: func(c *Config, s string) error { return into(&c.SMTP.User, s, anything) }},
		{name: "MEDIAVAULT_SMTP_PASSWORD", accepts: "a password", about: "the password of MEDIAVAULT_SMTP_USER", secret: true,
			set: func(c *Config, s string) error { return into(&c.SMTP.Password, s, anything) }},
		{name: "MEDIAVAULT_SMTP_FROM", otherwise: "vault@localhost", accepts: "an address, or Name <address>", about: "from whom mail comes",
			set: func(c *Config, s string) error { return into(&c.SMTP.From, s, anything) }},
		{name: "MEDIAVAULT_MAIL_DIGEST", otherwise: "5m", accepts: "a duration from 0s to 24h", about: "how long the first notification of a mail waits for others",
			set: func(c *Config, s string) error { return into(&c.MailDigest, s, duration(0, 24*time.Hour)) }},
		{name: "MEDIAVAULT_WEBHOOKS_PRIVATE", otherwise: "false", accepts: "true or false", about: "whether webhooks may ask addresses that are not public",
			set: func(c *Config, s string) error { return into(&c.WebhooksAny, s, strconv.ParseBool) }},

		{name: "MEDIAVAULT_LOG_LEVEL", otherwise: "info", accepts: "debug, info, warn or error", about: "what is logged",
			set: func(c *Config, s string) error { return into(&c.LogLevel, s, level) }},
		{name: "MEDIAVAULT_LOG_FORMAT", otherwise: "json", accepts: "json or text", about: "the form of the log",
			set: func(c *Config, s string) error { return into(&c.LogFormat, s, oneOf("json", "text")) }},
	}
}
