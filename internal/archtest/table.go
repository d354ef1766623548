package archtest

// rule says what the code of one package may import beside the standard library; what is not listed fails. The first rule
// whose package matches is the one. A * stands for one folder, ** for any.
type rule struct {
	pkg     string   // below the module's root
	inside  []string // packages of this module
	outside []string // modules of others; each has a line in docs/adr
}

// table is who may import whom. Imports point inward: cmd -> APIs, reactors -> commands -> event store -> domain.
func table() []rule {
	return []rule{
		// What may happen. Pure: see pure below.
		{"domain", nil, []string{"github.com/google/uuid"}},
		{"domain/catalog", []string{"domain", "domain/*"}, nil},
		{"domain/domaintest", []string{"domain"}, nil},
		{"domain/*", []string{"domain"}, []string{"github.com/google/uuid"}}, // never a sibling

		// What happened.
		{"eventstore", []string{"domain"}, []string{"github.com/google/uuid", "github.com/go-json-experiment/json"}},
		{"eventstore/memory", []string{"domain", "eventstore"}, []string{"github.com/google/uuid"}},
		{"eventstore/storetest", []string{"domain", "eventstore"}, []string{"github.com/google/uuid", "github.com/anishathalye/porcupine", "pgregory.net/rapid"}},
		{"eventstore/postgres", []string{"domain", "eventstore"}, []string{"github.com/google/uuid", "github.com/jackc/pgx/v5", "github.com/jackc/puddle/v2", "golang.org/x/sync", "github.com/prometheus/client_golang"}},
		{"eventstore/esdb", []string{"domain", "eventstore"}, []string{"github.com/google/uuid", "github.com/EventStore/EventStore-Client-Go/v4", "google.golang.org/grpc"}},

		// The outside world. Adapters speak our words, never the reverse, and know nothing of each other.
		{"adapters/auth", []string{"domain", "domain/*"}, []string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "github.com/google/uuid", "golang.org/x/sync"}},
		{"adapters/blobs", []string{"domain", "domain/*"}, []string{"github.com/minio/minio-go/v7", "golang.org/x/sync", "github.com/google/uuid"}},
		{"adapters/keys", []string{"domain", "domain/*"}, []string{"github.com/jackc/pgx/v5", "github.com/google/uuid", "golang.org/x/sync"}},
		{"adapters/analyzers", []string{"domain", "domain/*", "internal/sandbox"}, []string{"github.com/bbrks/go-blurhash", "github.com/bep/imagemeta", "github.com/gabriel-vasile/mimetype", "github.com/gen2brain/jpegn", "golang.org/x/image"}},
		{"adapters/analyzers/pii", []string{"domain", "domain/*"}, []string{"github.com/nyaruka/phonenumbers", "go.yaml.in/yaml/v3"}},
		{"adapters/analyzers/nsfw", []string{"domain", "domain/*"}, []string{"golang.org/x/sys"}},
		{"adapters/analyzers/doctext", []string{"domain", "domain/*", "internal/sandbox"}, nil},
		{"adapters/apikeys", []string{"domain", "domain/*"}, []string{"github.com/jackc/pgx/v5"}},
		{"adapters/subscriptions", []string{"domain", "domain/*"}, []string{"github.com/jackc/pgx/v5"}},
		{"adapters/correlations", []string{"domain", "domain/*"}, []string{"github.com/jackc/pgx/v5"}},
		{"adapters/notify", []string{"domain", "domain/*"}, []string{"github.com/wneessen/go-mail"}},
		{"adapters/describers", []string{"domain", "domain/*"}, []string{"github.com/sony/gobreaker/v2"}},
		{"adapters/*", []string{"domain", "domain/*"}, nil},

		// What people ask for, see, and what the vault does by itself.
		{"commands", []string{"domain", "domain/*", "eventstore", "adapters/blobs"}, []string{"github.com/google/uuid", "golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/text", "github.com/gabriel-vasile/mimetype"}},
		{"projections", []string{"domain", "domain/*", "eventstore"}, []string{"github.com/google/uuid", "github.com/jackc/pgx/v5", "golang.org/x/sync", "golang.org/x/text", "github.com/prometheus/client_golang"}},
		{"reactors", []string{"domain", "domain/*", "eventstore", "commands", "adapters/blobs", "adapters/analyzers", "adapters/analyzers/nsfw", "adapters/analyzers/pii"}, []string{"github.com/ThreeDotsLabs/watermill", "github.com/google/uuid", "github.com/jackc/pgx/v5", "golang.org/x/sync", "github.com/prometheus/client_golang", "github.com/sony/gobreaker/v2", "github.com/gabriel-vasile/mimetype", "github.com/corona10/goimagehash"}},

		// HTTP and gRPC. No SQL: pgx is not here.
		{"writeapi", []string{"domain", "domain/*", "commands", "internal/web"}, []string{"github.com/gorilla/mux", "github.com/google/uuid"}},
		{"readapi", []string{"domain", "projections", "adapters/blobs", "internal/web"}, []string{"github.com/gorilla/mux", "github.com/google/uuid"}},
		{"streamapi", []string{"domain", "eventstore", "internal/web"}, []string{"github.com/EventStore/EventStore-Client-Go/v4", "google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc", "google.golang.org/protobuf", "github.com/google/uuid", "golang.org/x/sync"}},

		// Where the parts meet.
		{"migrations", nil, []string{"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3"}},
		{"cmd/**", []string{"**"}, []string{"**"}},
		{"docs/**", []string{"**"}, nil},

		// What serves everybody.
		{"internal/web", []string{"domain"}, []string{"github.com/gorilla/mux", "github.com/google/uuid", "github.com/prometheus/client_golang", "golang.org/x/time", "go.yaml.in/yaml/v3"}},
		{"internal/config", nil, nil},
		{"internal/sandbox", nil, []string{"golang.org/x/sys"}},
		{"internal/archtest", nil, nil},
		{"internal/dev", nil, []string{"github.com/jackc/pgx/v5", "github.com/versity/versitygw", "github.com/gofiber/fiber/v3", "golang.org/x/sync", "golang.org/x/sys"}},
		// A client of the HTTP API, and what measures: they see the vault from outside, or put its parts together.
		{"internal/demo", nil, nil},
		{"internal/bench", []string{"**"}, []string{"**"}},
		// For tests alone.
		{"internal/pgtest", []string{"internal/dev", "migrations"}, []string{"github.com/jackc/pgx/v5"}},
		{"internal/s3test", []string{"internal/dev", "adapters/blobs"}, []string{"github.com/minio/minio-go/v7"}},
		{"internal/smtptest", nil, []string{"github.com/emersion/go-smtp"}},
		{"internal/apitest", []string{"domain", "internal/web"}, []string{"github.com/getkin/kin-openapi", "github.com/gorilla/mux"}},
	}
}

// forTests are packages that only test files, and each other, may import.
func forTests() []string {
	return []string{"domain/domaintest", "eventstore/memory", "eventstore/storetest", "internal/pgtest", "internal/s3test", "internal/smtptest", "internal/apitest", "internal/dev"}
}

// testsMaySee are packages that the test files of a package may use beside what its code may. The domain is tested by
// itself; further out, tests stand on real parts.
func testsMaySee(pkg string) []string {
	if matches("domain/**", pkg) {
		return []string{"domain", "domain/*"}
	}
	see := append(forTests(), "domain", "domain/*", "eventstore", "eventstore/*", "adapters/*", "commands", "projections", "migrations", "internal/*")
	if pkg == "eventstore/esdb" { // its server in tests is the vault's own
		see = append(see, "streamapi")
	}
	return see
}

// pure is all of the standard library that domain may use: nothing that knows a context, a clock, chance or the outside.
func pure() []string {
	return []string{
		"bytes", "cmp", "crypto/sha256", "crypto/subtle", "encoding", "encoding/base64", "encoding/hex", "encoding/json", "errors", "fmt",
		"iter", "log/slog", "maps", "math", "net/mail", "net/url", "path", "reflect", "regexp", "slices", "sort", "strconv", "strings", "time", "unicode",
		"unicode/utf8",
	}
}

// impure are the calls of pure packages that know a clock or chance after all.
func impure() map[string][]string {
	return map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
		"uuid": {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7"},
	}
}
