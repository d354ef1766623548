package streamapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// visible reports whether a principal may see an event that it meets in $all or among those of a category. What it may not
// see is passed over, as if it were not there.
func (s *Server) visible(ctx context.Context, p *Principal, raw *eventstore.Raw) (bool, error) {
	if p.all() {
		return true, nil
	}
	about := subject(raw.Stream)
	if !s.sees(*p, about) {
		return false, nil
	}
	if ok, err := s.ofGrantedOrganisation(ctx, *p, about); err != nil || !ok {
		return false, err
	}
	said, err := s.metas.of(ctx, about)
	if err != nil {
		return false, err
	}
	acl := said.acl
	if about != raw.Stream {
		return acl.allows(acl.MetaRead, *p), nil
	}
	return acl.allows(acl.Read, *p), nil
}

// all reports whether there is nothing that the principal may not see.
func (p *Principal) all() bool {
	return p.Admin() && slices.Contains(p.Categories, Everything) && slices.Contains(p.Organisations, Everything)
}

// categories are those that a principal may see, with what is said about their streams; nil: all.
func (p *Principal) categories() []string {
	if slices.Contains(p.Categories, Everything) {
		return nil
	}
	list := make([]string, 0, 2*len(p.Categories)+1)
	for _, c := range p.Categories {
		list = append(list, c, "$$"+c)
	}
	return append(list, "\x00") // no category: who is granted none sees none
}

// show makes an event as the principal sees it.
func (s *Server) show(ctx context.Context, p *Principal, raw eventstore.Raw) (shown, error) {
	e := shown{raw: raw, revision: raw.Revision}
	e.custom, e.isJSON = unpack(raw.Metadata)
	if raw.Type == typeDeleted {
		e.revision = math.MaxInt64 // where EventStoreDB puts it
	}
	if s.hides(p, &raw) {
		e.raw.Data = withoutHash(raw.Data)
	}
	if !s.opens(p, &raw) {
		return e, nil
	}
	var err error
	if e.raw.Data, err = s.opened(ctx, e.raw.Data); err != nil {
		return e, err
	}
	e.custom, err = s.opened(ctx, e.custom)
	return e, err
}

// opens reports whether the principal sees the personal texts of an event.
func (s *Server) opens(p *Principal, raw *eventstore.Raw) bool {
	return p.Opened && s.Open != nil && s.own[raw.Stream.Category()]
}

// Withheld stands for what no program is shown, because it would let somebody in.
const Withheld = "[withheld]"

// hashBegins is how the hash of a link's password stands in the vault's stored JSON; it has no quotes in itself.
var hashBegins = []byte(`"password_hash":"`)

// hides reports whether an event has the hash of a link's password in it, which is for who may write such events alone.
func (s *Server) hides(p *Principal, raw *eventstore.Raw) bool {
	return !p.WriteOwn && strings.HasPrefix(raw.Type, "share.") && s.own[raw.Stream.Category()] && bytes.Contains(raw.Data, hashBegins)
}

func withoutHash(stored []byte) []byte {
	before, after, _ := bytes.Cut(stored, hashBegins)
	_, after, _ = bytes.Cut(after, []byte(`"`))
	return slices.Concat(before, hashBegins, []byte(Withheld+`"`), after)
}

// staysSealed reports whether the text that comes next stays sealed for everybody: what signs the messages to somebody's webhook, and
// where that is, for who knows some addresses may speak there.
func staysSealed(before []byte) bool {
	return bytes.HasSuffix(before, []byte(`"secret":`)) || bytes.HasSuffix(before, []byte(`"url":`))
}

// How personal texts stand in the vault's stored JSON (domain.Personal): always so, because it is canonical. Within a JSON
// string the quotes would be escaped.
var (
	sealedBegins = []byte(`{"sealed":"`)
	sealedGoesOn = []byte(`,"subject":`)
)

// Erased stands for a personal text whose subject was forgotten.
const Erased = "[erased]"

// opened replaces the sealed personal texts in stored JSON by what they say, as JSON strings. Stored bytes are not changed. What
// cannot be opened, or would let somebody in, stays as it is.
func (s *Server) opened(ctx context.Context, stored []byte) ([]byte, error) {
	if !bytes.Contains(stored, sealedBegins) {
		return stored, nil
	}
	out := make([]byte, 0, len(stored))
	for rest := stored; ; {
		i := bytes.Index(rest, sealedBegins)
		if i < 0 {
			return append(out, rest...), nil
		}
		out = append(out, rest[:i]...)
		rest = rest[i:]
		length, sealed, of := sealedAt(rest)
		if length == 0 {
			out, rest = append(out, sealedBegins...), rest[len(sealedBegins):]
			continue
		}
		var text []byte
		if !staysSealed(out) {
			var err error
			if text, err = s.reveal(ctx, of, sealed); err != nil {
				return nil, err
			}
		}
		if text == nil {
			text = rest[:length]
		}
		out, rest = append(out, text...), rest[length:]
	}
}

// sealedAt reads a sealed personal text at the start of data; length 0: there is none.
func sealedAt(data []byte) (length int, sealed []byte, of domain.UserID) {
	rest := data[len(sealedBegins):]
	quote := bytes.IndexByte(rest, '"')
	if quote < 0 {
		return 0, nil, ""
	}
	sealed = make([]byte, base64.StdEncoding.DecodedLen(quote))
	n, err := base64.StdEncoding.Decode(sealed, rest[:quote])
	rest = rest[quote+1:]
	if err != nil || !bytes.HasPrefix(rest, sealedGoesOn) {
		return 0, nil, ""
	}
	d := json.NewDecoder(bytes.NewReader(rest[len(sealedGoesOn):]))
	if d.Decode(&of) != nil {
		return 0, nil, ""
	}
	rest = rest[len(sealedGoesOn)+int(d.InputOffset()):]
	if len(rest) == 0 || rest[0] != '}' {
		return 0, nil, ""
	}
	return len(data) - len(rest) + 1, sealed[:n], of
}

// reveal opens a text and writes it as JSON; nil when it cannot be opened, now or ever. Errors are keys that do not answer.
func (s *Server) reveal(ctx context.Context, of domain.UserID, sealed []byte) ([]byte, error) {
	text, ok, err := s.Open.Open(ctx, of, sealed)
	if isBroken(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		text = []byte(Erased)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(text)); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// view is a stream that is made of the log by an index: $all, or one that EventStoreDB's projections would write.
type view struct {
	name   eventstore.Stream // of the virtual stream; "" for $all
	filter eventstore.Filter
	match  func(*eventstore.Raw) bool // what the filter cannot say; nil: nothing
	// correlation names the events of $bc-; they are found by an index of their own.
	correlation string
}

// viewOf answers the view behind a virtual stream's name. Such streams are not written to, and nothing is stored in them.
func viewOf(stream eventstore.Stream) (view, bool) {
	name := string(stream)
	v := view{name: stream}
	if category, ok := strings.CutPrefix(name, "$ce-"); ok {
		v.filter.Categories = []string{category}
		v.match = func(raw *eventstore.Raw) bool { return len(raw.Stream) > len(category) && raw.Type != typeDeleted }
		return v, category != ""
	}
	if typ, ok := strings.CutPrefix(name, "$et-"); ok {
		v.filter.Types = []string{typ}
		return v, typ != ""
	}
	if correlation, ok := strings.CutPrefix(name, "$bc-"); ok {
		v.correlation = correlation
		v.match = func(raw *eventstore.Raw) bool { return CorrelationOf(raw.Metadata) == correlation }
		return v, correlation != "" && len(correlation) <= MaxCorrelation
	}
	if name == "$streams" {
		v.match = func(raw *eventstore.Raw) bool {
			return raw.Revision == 0 && !strings.HasPrefix(string(raw.Stream), "$")
		}
		return v, true
	}
	return v, false
}

// CorrelationOf is what an event was caused for, as its stored metadata says: `$correlationId`, EventStoreDB's name, or the
// vault's own `correlation`; "" when it does not say.
func CorrelationOf(stored []byte) string {
	custom, _ := unpack(stored)
	if len(custom) == 0 || custom[0] != '{' || !bytes.Contains(custom, []byte("orrelation")) {
		return ""
	}
	var m struct {
		Foreign string `json:"$correlationId"`
		Own     string `json:"correlation"`
	}
	if json.Unmarshal(custom, &m) != nil {
		return ""
	}
	if strings.IndexByte(m.Foreign, 0) >= 0 || strings.IndexByte(m.Own, 0) >= 0 {
		return "" // no index has such text
	}
	if m.Foreign != "" {
		return m.Foreign
	}
	return m.Own
}
