package readapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/readapi"
)

type event struct {
	Position int64
	Stream   string
	Revision int64
	Type     string
	Data     map[string]any
}

type events struct {
	Items   []event
	Through int64
	HasNext bool `json:"has_next"`
}

// deletions appends pairs of deleting and restoring, without bytes.
func (v *vault) deletions(id domain.MediaID, n int) {
	for range n {
		v.by("alice", mediaStream(id), media.Deleted{By: "alice"}, media.Restored{By: "alice"})
	}
}

func TestEventsAreReadInOrderAndAsWhoMayReadThem(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	v.deletions(id, 3)
	page := into[events](v, "aud auditor", "/v1/events?limit=5")
	rest := into[events](v, "aud auditor", fmt.Sprintf("/v1/events?after=%d", page.Through))
	if len(page.Items) != 5 || !page.HasNext || page.Through != 5 || len(rest.Items) != 3 || rest.HasNext || rest.Through != 8 {
		t.Fatalf("%+v, %+v", page, rest)
	}
	title := func(who string) any {
		return into[events](v, who, "/v1/events?types=media.uploaded").Items[0].Data["title"]
	}
	if title("aud auditor") != "About harbour.png" || title("ann analyst") != "[closed]" || title("root admin") != "About harbour.png" {
		t.Errorf("%v, %v", title("aud auditor"), title("ann analyst"))
	}
	if got := into[events](v, "aud auditor", "/v1/events?category=media&types=media.deleted,media.screened&as_of=3"); len(got.Items) != 2 {
		t.Errorf("filtered: %+v", got)
	}
	a := v.get("aud auditor", "/v1/events", "Accept", "application/x-ndjson")
	if lines := bytes.Count(a.body, []byte("\n")); lines != 8 || a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines of %s", lines, a.Header.Get("Content-Type"))
	}
	if a := v.get("aud auditor", "/v1/events?format=ndjson&limit=2&after=1"); bytes.Count(a.body, []byte("\n")) != 2 {
		t.Errorf("%s", a.body)
	}
	v.refused(400, "invalid", "aud auditor", "/v1/events?types=media.invented")
	v.refused(400, "invalid", "aud auditor", "/v1/events?limit=0")
	v.refused(400, "not_acceptable", "aud auditor", "/v1/events", "Accept", "image/png")
	v.refused(400, "invalid", "aud auditor", "/v1/events?format=sse&as_of=1")
	v.refused(403, "role_not_allowed", "alice user", "/v1/events")

	stream := "/v1/streams/media-" + string(id)
	if got := into[events](v, "alice user", stream+"?from=2&limit=4", after(v.settled())...); len(got.Items) != 4 || got.Items[0].Revision != 2 || !got.HasNext {
		t.Errorf("%+v", got)
	}
	if got := into[events](v, "alice user", stream+"?as_of=2"); len(got.Items) != 2 {
		t.Errorf("%+v", got)
	}
	if a := v.get("ann analyst", stream+"?format=ndjson"); bytes.Count(a.body, []byte("\n")) != 8 {
		t.Errorf("%s", a.body)
	}
	v.refused(404, "not_found", "mallory user", stream)
	v.refused(404, "not_found", "aud auditor", "/v1/streams/media-"+uuid.NewString())
	v.refused(404, "not_found", "aud auditor", "/v1/streams/nonsense")
}

func TestLongNDJSONIsWholeAndPagedInside(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	v.deletions(id, 1700)
	for _, path := range []string{"/v1/events?format=ndjson", "/v1/streams/media-" + string(id) + "?format=ndjson"} {
		a := v.get("aud auditor", path)
		want := int64(0)
		for line := range bytes.Lines(a.body) {
			var e event
			must(t, json.Unmarshal(line, &e))
			if want++; e.Position != want {
				t.Fatalf("%s: position %d, not %d", path, e.Position, want)
			}
		}
		if want != 3402 {
			t.Errorf("%s: %d events", path, want)
		}
	}
}

// listen reads server-sent events until n arrived, or the stream ends.
func (v *vault) listen(ctx context.Context, path, last string, n int) (ids []int64, types []string, err error) {
	headers := []string{"Accept", "text/event-stream"}
	if last != "" {
		headers = append(headers, "Last-Event-ID", last)
	}
	res, err := v.client.Do(v.request(ctx, http.MethodGet, "ann analyst", path, headers...))
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return nil, nil, fmt.Errorf("answered %d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "" && len(ids) == n {
			return ids, types, nil
		}
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			n, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return ids, types, err
			}
			ids = append(ids, n)
		}
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			types = append(types, name)
		}
	}
	return ids, types, lines.Err()
}

func TestAStreamThatIsResumedHasNoGapAndNoDuplicate(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	const writers, pairs = 8, 60
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			id := domain.MediaID(uuid.NewString())
			for range pairs {
				v.by("alice", mediaStream(id), media.Deleted{By: "alice"}, media.Restored{By: "alice"})
			}
		})
	}
	var all []int64
	last := ""
	for n := 1; len(all) < writers*pairs*2; n = n*3%101 + 1 {
		ids, _, err := v.listen(t.Context(), "/v1/events", last, min(n, writers*pairs*2-len(all)))
		must(t, err)
		all = append(all, ids...)
		last = strconv.FormatInt(all[len(all)-1], 10)
	}
	writing.Wait()
	for i, id := range all {
		if id != int64(i+1) {
			t.Fatalf("event %d has position %d", i, id)
		}
	}
}

func TestAStreamEndsWithItsTokenAndIsResumedWithANewOne(t *testing.T) {
	t.Parallel()
	until := make(chan time.Time, 2)
	v := newVault(t, func(_ *vault, _ *readapi.Parts, o *web.Options) {
		o.Until = func(*http.Request) time.Time { return <-until }
	})
	id := domain.MediaID(uuid.NewString())
	v.deletions(id, 2)
	until <- time.Now().Add(300 * time.Millisecond)
	ids, types, err := v.listen(t.Context(), "/v1/events", "", 1000)
	if err != nil || fmt.Sprint(ids) != "[1 2 3 4]" || types[len(types)-1] != "expired" {
		t.Fatalf("%v %v %v", ids, types, err)
	}
	v.deletions(id, 1)
	until <- time.Time{} // a token that lasts
	if ids, _, err := v.listen(t.Context(), "/v1/events", "4", 2); err != nil || fmt.Sprint(ids) != "[5 6]" {
		t.Errorf("%v %v", ids, err)
	}
}

func TestAFilteredStreamGoesOnBehindWhatItSent(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id := domain.MediaID(uuid.NewString())
	v.deletions(id, 5)
	ids, types, err := v.listen(t.Context(), "/v1/events?types=media.restored&after=2", "", 2)
	if err != nil || fmt.Sprint(ids, types) != "[4 6] [media.restored media.restored]" {
		t.Errorf("%v %v %v", ids, types, err)
	}
	if ids, _, err := v.listen(t.Context(), "/v1/events?types=media.restored&after=2", "6", 2); err != nil || fmt.Sprint(ids) != "[8 10]" {
		t.Errorf("%v %v", ids, err)
	}
	v.refused(400, "invalid", "ann analyst", "/v1/events?format=sse", "Last-Event-ID", "none")
}

func TestAQuietStreamBeatsAndASlowReaderLosesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(_ *vault, p *readapi.Parts, o *web.Options) { o.Idle = time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := v.client.Do(v.request(ctx, http.MethodGet, "ann analyst", "/v1/events", "Accept", "text/event-stream"))
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for beats := 0; beats < 3; {
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		if strings.HasPrefix(lines.Text(), ": beat") {
			beats++
		}
	}

	// One who asks and never reads.
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(v.url, "http://"))
	must(t, err)
	defer conn.Close()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("a %T", conn)
	}
	must(t, tcp.SetReadBuffer(256<<10)) // or the kernel reads for who does not
	_, err = io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer slow analyst\r\nAccept: text/event-stream\r\n\r\n")
	must(t, err)
	id := domain.MediaID(uuid.NewString())
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { v.deletions(id, 8000) })
	got := 0
	for got < 16_000 {
		if !lines.Scan() {
			t.Fatalf("the other reader's stream ended after %d events: %v", got, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "id: ") {
			got++
		}
	}
	// Longer than what a stream may stand still; the other reader's beats go on meanwhile.
	for began := time.Now(); time.Since(began) < 3*time.Second; {
		if !lines.Scan() {
			t.Fatalf("the other reader's stream ended: %v", lines.Err())
		}
	}
	must(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	n, err := io.Copy(io.Discard, conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the slow reader was not cut off: %d bytes, %v", n, err)
	}
}

func TestAuditIsPagedAndExportedWhole(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	v.deletions(id, 1200)
	at := v.settled()
	type audit struct {
		Items []struct {
			Position              int64
			Actor, Action, Reason string
			Address, Outcome      string
		}
		Total int64
	}
	page := into[audit](v, "aud auditor", "/v1/audit?who=alice&action=media.uploaded", after(at)...)
	if page.Total != 1 || page.Items[0].Reason != "because" || page.Items[0].Address != "192.0.2.7" || page.Items[0].Outcome != "ok" {
		t.Errorf("%+v", page)
	}
	if got := into[audit](v, "aud auditor", "/v1/audit?as_of=2"); got.Total != 2 || got.Items[0].Position != 2 {
		t.Errorf("%+v", got)
	}
	if got := into[audit](v, "aud auditor", "/v1/audit?outcome=refused"); got.Total != 0 {
		t.Errorf("%+v", got)
	}
	a := v.get("aud auditor", "/v1/audit", "Accept", "text/csv")
	rows, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	must(t, err)
	if len(rows) != 2403 || rows[0][0] != "position" || rows[1][0] != "1" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("%d rows, %v", len(rows), a.Header)
	}
	if a := v.get("aud auditor", "/v1/audit?format=ndjson&action=media.deleted"); bytes.Count(a.body, []byte("\n")) != 1200 {
		t.Errorf("%d lines", bytes.Count(a.body, []byte("\n")))
	}
	if a := v.get("aud auditor", "/v1/audit?format=csv&who=nobody"); bytes.Count(a.body, []byte("\n")) != 1 {
		t.Errorf("%s", a.body)
	}
	v.refused(403, "role_not_allowed", "alice user", "/v1/audit")
	v.refused(400, "invalid", "aud auditor", "/v1/audit?action=nonsense")
	v.refused(400, "invalid", "aud auditor", "/v1/audit?format=xml")
	v.refused(400, "invalid", "aud auditor", "/v1/audit?format=csv&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")
}

func TestUsageIsOwnOrganisationsOrAll(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	_, first := v.upload("alice", "a.png", []byte("harbour"))
	v.upload("carol", "c.png", []byte("acme's"), "acme")
	at := v.settled()
	type usage struct {
		Scope, Owner, Organisation string
		Totals                     struct{ Items, Bytes int64 }
		Days                       []struct{ Day string }
		Groups                     *struct{ Total int64 }
	}
	for _, tt := range []struct {
		who, query   string
		items, bytes int64
	}{
		{"alice user", "", 1, 7},
		{"dave partner acme", "", 0, 0},
		{"dave partner acme", "?scope=organisation", 1, 6},
		{"ann analyst", "?scope=all", 2, 13},
		{"ann analyst", "?scope=all&by=organisation", 2, 13},
		{"root admin", "?scope=all&owner=alice", 1, 7},
		{"root admin", "?scope=all&by=owner&page_size=1", 2, 13},
		{"root admin", fmt.Sprintf("?scope=all&as_of=%d", first), 1, 7},
	} {
		got := into[usage](v, tt.who, "/v1/usage"+tt.query, after(at)...)
		if got.Totals.Items != tt.items || got.Totals.Bytes != tt.bytes || tt.items > 0 && len(got.Days) != 1 {
			t.Errorf("%s %s: %+v", tt.who, tt.query, got)
		}
		if strings.Contains(tt.query, "by=") && (got.Groups == nil || got.Groups.Total != 2) {
			t.Errorf("%s %s: groups %+v", tt.who, tt.query, got.Groups)
		}
	}
	v.refused(403, "may_not_see", "alice user", "/v1/usage?scope=all")
	v.refused(403, "may_not_see", "dave partner acme", "/v1/usage?scope=organisation&organisation=other")
	v.refused(400, "invalid", "alice user", "/v1/usage?scope=organisation")
	v.refused(400, "invalid", "alice user", "/v1/usage?owner=bob")
	v.refused(400, "invalid", "alice user", "/v1/usage?from=yesterday")
}

func TestCasesAreForStaffAndForTheOwnerWithoutNames(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	c := domain.CaseID(uuid.NewString())
	stream := eventstore.StreamOf(moderation.Category, c)
	opened := v.by("bob", stream, moderation.Opened{
		Case: c, Media: id, Owner: "alice", Origin: moderation.FromReport, By: "bob", Category: "spam", Note: domain.NewPersonal("alice", "look"),
	})
	at := v.by("mod", stream, moderation.Decided{
		Number: 1, Media: id, By: "mod", Action: moderation.Restrict, Policy: "P1", Statement: domain.NewPersonal("alice", "restricted"),
	})
	path := "/v1/moderation/cases/" + string(c)
	type kase struct {
		Status    string
		List      []struct{ By string } `json:"report_list"`
		Decisions []struct{ By, Statement string }
	}
	staff := into[kase](v, "mod moderator", path, after(at)...)
	if staff.Status != "decided" || len(staff.List) != 1 || staff.List[0].By != "bob" || staff.Decisions[0].By != "mod" {
		t.Errorf("%+v", staff)
	}
	owner := into[kase](v, "alice user", path)
	if owner.Decisions[0].Statement != "restricted" || owner.Decisions[0].By != "" || len(owner.List) != 0 {
		t.Errorf("%+v", owner)
	}
	if then := into[kase](v, "mod moderator", fmt.Sprintf("%s?as_of=%d", path, opened)); then.Status != "open" {
		t.Errorf("%+v", then)
	}
	if a := v.get("mod moderator", path, "If-None-Match", `"1"`); a.StatusCode != 304 {
		t.Errorf("%d", a.StatusCode)
	}
	v.refused(404, "not_found", "bob user", path)
	type cases struct{ Total int64 }
	for query, want := range map[string]int64{
		"": 1, "?status=open": 0, "?status=open,decided": 1, "?media_id=" + string(id): 1, "?moderator=me": 0, "?sort=-opened_at&category=spam&origin=report": 1,
	} {
		if got := into[cases](v, "mod moderator", "/v1/moderation/cases"+query); got.Total != want {
			t.Errorf("%s: %d", query, got.Total)
		}
	}
	if got := into[cases](v, "mallory user", "/v1/moderation/cases"); got.Total != 0 {
		t.Errorf("%+v", got)
	}
	v.refused(403, "may_not_see", "alice user", "/v1/moderation/cases?moderator=mod")
	v.refused(400, "invalid", "mod moderator", "/v1/moderation/cases?status=lost")
}
