package readapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// tour visits every operation once, with what there is.
func (v *vault) tour() []string {
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	s, _ := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{ExpiresAt: time.Now().Add(time.Hour)})
	v.share(id, "alice", share.Grantee{Kind: share.WithLink, Token: digest([]byte("secret"))}, share.Terms{})
	c := domain.CaseID(uuid.NewString())
	v.by("bob", eventstore.StreamOf(moderation.Category, c), moderation.Opened{
		Case: c, Media: id, Owner: "alice", Origin: moderation.FromDetector, By: "system", Category: "spam", Score: 70,
	})
	f := newFinding(v, id)
	small := v.file("alice", "", "image/jpeg", []byte("small"))
	v.by("system", mediaStream(id), media.Derived{Version: 1, Blurhash: "LEHV6nWB2yk8", Derivatives: []media.Derivative{{
		Kind: media.KindThumbnail, Name: "400", Type: small.Type, Width: 4, Height: 3, Size: small.Size, SHA256: small.SHA256, Object: small.Object,
	}}})
	v.by("alice", mediaStream(id), media.DescriptionRequested{Number: 1, Version: 1, By: "alice"})
	v.by("system", mediaStream(id), media.DescriptionSuggested{Number: 1, Version: 1, Text: domain.NewPersonal("alice", "A harbour"), Provider: "metadata"})
	v.settled()
	return []string{
		"/v1/findings", "/v1/findings/" + string(f),
		"/v1/media", "/v1/media/" + string(id), "/v1/media/" + string(id) + "/content", "/v1/media/" + string(id) + "/thumbnail",
		"/v1/media/" + string(id) + "/history", "/v1/media/" + string(id) + "/access", "/v1/shares", "/v1/shares/" + string(s),
		"/v1/shared-with-me", "/v1/public/secret", "/v1/public/secret/content", "/v1/public/secret/thumbnail", "/v1/moderation/cases", "/v1/moderation/cases/" + string(c),
		"/v1/media/" + string(id) + "/moderation", "/v1/media/" + string(id) + "/duplicates", "/v1/media/" + string(id) + "/suggestion",
		"/v1/moderation/statistics", "/v1/audit", "/v1/usage", "/v1/streams/media-" + string(id), "/v1/events", "/v1/projections", "/v1/parked", "/v1/me", "/v1/notifications", "/v1/notifications/preferences", "/v1/webhooks",
	}
}

func TestEveryAnswerIsAsItIsDescribed(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	for _, path := range v.tour() {
		for _, who := range []string{"alice user", "bob user", "mod moderator", "aud auditor", "root admin", "dave partner acme", "ann analyst", ""} {
			v.get(who, path)
			if strings.HasSuffix(path, "/content") {
				v.ask(http.MethodHead, who, path)
			}
			if path != "/v1/me" && path != "/v1/parked" && path != "/v1/notifications/preferences" && path != "/v1/webhooks" && path != "/v1/projections" {
				v.get(who, path+"?as_of=3")
			}
		}
	}
	v.ask(http.MethodPost, "root admin", "/v1/projections/library/rebuild")
	if unseen := v.spec.Unseen(); len(unseen) > 0 {
		t.Errorf("no good answer was seen of %v", unseen)
	}
}

func TestNoInputIsAFault(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	paths := v.tour()
	values := []string{
		"", "0", "-1", "1", "2.5", "9223372036854775807", "9223372036854775808", "99999999999999999999", "1e9", "NaN", "null", "'", "%", "\\", "_",
		"a' or 1=1 --", strings.Repeat("x", 10_000), "\x00", "\xff\xfe", "\u202e", "😀", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
		"2026-02-30T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-01-01", "0000-01-01", "9999-12-31", "2026-01-01T00:00:00+23:59", "me", "all", "own",
		"organisation", "image/", "/", "media", "media.uploaded", "csv", "json", "true", "open,closed", "AAAA", "eyJ9",
		"00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}", "-created_at", "-opens", "--", "-",
	}
	names := []string{
		"as_of", "q", "type", "tag", "status", "owner", "organisation", "from", "to", "sort", "page", "page_size", "cursor", "media_id", "moderator",
		"who", "action", "resource", "outcome", "kind", "scope", "by", "after", "types", "category", "limit", "download", "format", "with", "origin",
	}
	for _, path := range paths {
		for _, name := range names {
			known := v.survives(path+"?"+name+"=") != http.StatusBadRequest
			if !known {
				continue // every value of it is refused alike
			}
			for _, value := range values {
				v.survives(path + "?" + url.Values{name: {value}}.Encode())
			}
		}
	}
	for _, query := range []string{"?%zz", "?a=%", "?page=1&page=2", "?;", "?=", "?as_of=1&as_of=2", "?cursor=AAAA&page=2", "?q=" + strings.Repeat("a+", 99)} {
		for _, path := range paths {
			v.survives(path + query)
		}
	}
	for _, header := range [][]string{
		{"Vault-After", "99999999999999999999"}, {"Vault-After", "x"}, {"Last-Event-ID", "-1"}, {"If-None-Match", "\xff"}, {"Accept", ";;;,q=x"},
		{"Accept", "text/csv;q=NaN"}, {"Range", "bytes=" + strings.Repeat("0-0,", 1000) + "0-0"}, {"Range", "bytes=99999999999999999999-"},
		{"If-Modified-Since", "yesterday"}, {"Vault-Reason", strings.Repeat("r", 5000)},
	} {
		for _, path := range paths {
			v.survives(path, header...)
		}
	}
	for _, id := range []string{"%00", "%ff", "..", "%2e%2e%2f", strings.Repeat("9", 3000), "a%20b", "{}", "*", "media-", "-", "%E2%80%AE"} {
		for _, form := range []string{"/v1/media/%s", "/v1/media/%s/content", "/v1/shares/%s", "/v1/public/%s", "/v1/streams/%s", "/v1/streams/media-%s", "/v1/moderation/cases/%s", "/v1/findings/%s"} {
			v.survives(fmt.Sprintf(form, id))
		}
	}
}

// survives asks without holding the answer against the description, and answers the status: anything but a fault.
func (v *vault) survives(path string, headers ...string) int {
	v.Helper()
	res, err := http.DefaultClient.Do(v.request(v.Context(), http.MethodGet, "root admin", path, headers...))
	if err != nil {
		v.Errorf("GET %s %.100q: %v", path, headers, err)
		return 0
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 2_000))
	if res.StatusCode >= 500 || err != nil {
		v.Errorf("GET %.200s %.100q: %d %s %v", path, headers, res.StatusCode, body, err)
	}
	return res.StatusCode
}

func TestADatabaseThatVanishesIsA503AndNeverAnExportThatLooksWhole(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	paths := v.tour()
	id := domain.MediaID(uuid.NewString())
	pair := make([]domain.Event, 0, 10_000)
	for len(pair) < cap(pair) {
		pair = append(pair, media.Deleted{By: "alice"}, media.Restored{By: "alice"})
	}
	for range 4 {
		v.by("alice", mediaStream(id), pair...)
	}
	v.settled()
	exports := make([]io.Reader, 0, 2)
	for _, form := range []string{"csv", "ndjson"} {
		res, err := v.client.Transport.RoundTrip(v.request(t.Context(), http.MethodGet, "aud auditor", "/v1/audit?format="+form))
		must(t, err)
		defer res.Body.Close()
		in := bufio.NewReader(res.Body)
		if _, err := in.ReadString('\n'); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
		exports = append(exports, in)
	}
	v.loseDatabase()
	for i, in := range exports {
		if n, err := io.Copy(io.Discard, in); err == nil {
			t.Errorf("export %d looks whole after %d bytes", i, n)
		}
	}
	for _, path := range paths {
		// These are answered by doubles in memory here (tray, recipients), which have no database to lose.
		if path == "/v1/parked" || path == "/v1/notifications/preferences" || path == "/v1/webhooks" {
			continue
		}
		who := "root admin"
		if strings.HasSuffix(path, "/content") || strings.HasSuffix(path, "/thumbnail") {
			who = "alice user"
		}
		if a := v.get(who, path); path != "/v1/me" && !strings.HasPrefix(path, "/v1/events") && a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s without a database: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// loseDatabase throws everybody out of the test's database and lets nobody in.
func (v *vault) loseDatabase() {
	v.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config := v.pool.Config().ConnConfig.Copy()
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	must(v, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "alter database "+pgx.Identifier{name}.Sanitize()+" allow_connections false")
	must(v, err)
	_, err = conn.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()", name)
	must(v, err)
}
