package projections

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// What a reader sees in the place of text that is not shown. Each says why, so that nobody takes it for the text.
const (
	Erased   = "[erased]"   // the person was forgotten: the text is gone for everybody
	Closed   = "[closed]"   // personal, and this reader has no right to open it
	Withheld = "[withheld]" // not personal to the owner, but not the owner's to know: who reported, why inside
)

// sight is what one reader may see of one event.
type sight struct {
	viewer domain.UserID
	data   bool // personal texts of the fact are open, whoever they are about
	meta   bool // address, user agent and reason of the actor are open
	staff  bool // reporters, moderators and internal reasons are shown
	member bool // of the item's organisation, to whom its owner does not give what the bytes tell of him: others get them without
}

func (s sight) opens(p domain.Personal, all bool) bool {
	return all || (s.viewer != "" && p.Subject() == s.viewer)
}

// secret are the members that nobody is shown: what they hold would let somebody in, or speak in the vault's name.
func secret(eventType string) []string {
	switch eventType {
	case "share.granted", "share.changed":
		return []string{"terms.password_hash"}
	case "recipient.endpoint_added", "recipient.endpoint_rotated":
		return []string{"secret"}
	default:
		return nil
	}
}

// hostOnly are the members with an address of which others than whom it is about are shown the scheme and the host: who knows all of
// it could speak there in the vault's name (Slack's incoming webhooks ask for nothing else).
func hostOnly(eventType string) []string {
	if eventType == "recipient.endpoint_added" {
		return []string{"url"}
	}
	return nil
}

// hostOf is the scheme and the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return Withheld
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + "/" + Withheld
}

// withheld are the members, by event type, that only staff sees: who reported, who judged, what they wrote for each other, and
// how urgent the queue takes a case to be. What the owner does see is what a statement of reasons owes him (Digital Services Act,
// article 17): what it is about, whether a report, a detector or a moderator began it, what was decided about which version, by
// which policy, and what was said to him.
func withheld(eventType string) []string {
	switch eventType {
	case "moderation.opened":
		return []string{"by", "note", "score", "reach"}
	case "moderation.reported":
		return []string{"by", "note", "score"}
	case "moderation.reopened":
		return []string{"people"}
	case "moderation.reach_changed":
		return []string{"reach"}
	case "moderation.assigned":
		return []string{"by", "moderator"}
	case "moderation.claimed", "moderation.given_back":
		return []string{"moderator"}
	case "moderation.decided":
		return []string{"by", "reason", "confirmed_by"}
	case "moderation.appeal_decided", "moderation.declined":
		return []string{"by", "reason"}
	case "moderation.proposed":
		return []string{"by", "reason", "action", "policy", "statement"} // it counts for nothing yet
	case "moderation.escalated":
		return []string{"by", "note"}
	case "moderation.closed", "moderation.confirmed":
		return []string{"by"}
	case "media.restricted", "media.quarantined", "media.released", "media.removed":
		return []string{"source.by"}
	default:
		return nil
	}
}

// discreet reports whether the actor of such an event is somebody whom the owner need not know: a reporter or a moderator.
func discreet(eventType string) bool { return withheld(eventType) != nil }

// renderer writes events as JSON for readers. It looks at each type once.
type renderer struct {
	outlines sync.Map // reflect.Type -> *outline
}

// outline says how values of a type are written.
type outline struct {
	personal bool
	members  []member // of a struct that does not write itself
	elem     *outline // of a slice, an array or a pointer
	plain    bool     // encoding/json writes it
}

type member struct {
	name      string
	index     int
	omitEmpty bool
	omitZero  bool
	outline   *outline
}

// event renders one recorded event as the reader may see it.
func (r *renderer) event(rec eventstore.Recorded, s sight) (HistoryEvent, error) {
	e := HistoryEvent{
		Position: rec.Position, Stream: string(rec.Stream), Revision: int64(rec.Revision), ID: rec.ID, Type: rec.Type, RecordedAt: rec.At,
	}
	hide := secret(rec.Type)
	if !s.staff {
		hide = append(hide, withheld(rec.Type)...)
	}
	meta := rec.Metadata
	var hideMeta []string
	if !s.staff && discreet(rec.Type) && meta.Actor.ID != s.viewer {
		hideMeta = []string{"actor", "address", "user_agent", "reason"}
	}
	var err error
	if e.Metadata, err = r.render(reflect.ValueOf(meta), s, s.meta, hideMeta); err != nil {
		return HistoryEvent{}, fmt.Errorf("render metadata of event %d: %w", rec.Position, err)
	}
	if rec.Event == nil {
		e.Data, e.Undecodable = json.RawMessage("null"), true
		return e, nil
	}
	open := s.data
	if rec.Type == "media.inspected" && s.member {
		open = false
		hide = append(hide, "camera", "lens", "taken_at")
	}
	w := writing{sight: s, all: open, hide: hide, hosts: hostOnly(rec.Type)}
	if e.Data, err = r.write(reflect.ValueOf(rec.Event), &w); err != nil {
		return HistoryEvent{}, fmt.Errorf("render event %d: %w", rec.Position, err)
	}
	return e, nil
}

func (r *renderer) render(v reflect.Value, s sight, all bool, hide []string) (json.RawMessage, error) {
	return r.write(v, &writing{sight: s, all: all, hide: hide})
}

func (r *renderer) write(v reflect.Value, w *writing) (json.RawMessage, error) {
	if err := w.value(v, r.outlineOf(v.Type()), ""); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

func (r *renderer) outlineOf(t reflect.Type) *outline {
	if s, ok := r.outlines.Load(t); ok {
		return s.(*outline) //nolint:forcetypeassert // only outlines are stored
	}
	s, _ := r.outlines.LoadOrStore(t, makeOutline(t))
	return s.(*outline) //nolint:forcetypeassert // only outlines are stored
}

func makeOutline(t reflect.Type) *outline {
	if t == reflect.TypeFor[domain.Personal]() {
		return &outline{personal: true}
	}
	if writesItself(t) {
		return &outline{plain: true}
	}
	switch t.Kind() {
	case reflect.Struct:
		return &outline{members: membersOf(t)}
	case reflect.Slice, reflect.Array, reflect.Pointer:
		elem := makeOutline(t.Elem())
		if elem.plain {
			return &outline{plain: true}
		}
		return &outline{elem: elem}
	default:
		return &outline{plain: true}
	}
}

func membersOf(t reflect.Type) []member {
	members := make([]member, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		has := strings.Split(options, ",")
		members = append(members, member{
			name: name, index: i, outline: makeOutline(f.Type),
			omitEmpty: slices.Contains(has, "omitempty"), omitZero: slices.Contains(has, "omitzero"),
		})
	}
	return members
}

func writesItself(t reflect.Type) bool {
	marshaler := reflect.TypeFor[json.Marshaler]()
	text := reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
	return t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) || t.Implements(text) || reflect.PointerTo(t).Implements(text)
}

// writing is one value on its way into JSON.
type writing struct {
	bytes.Buffer
	sight sight
	all   bool
	hide  []string // paths of members, dotted
	// hosts are members of which others than whom they are about see the scheme and the host alone.
	hosts []string
}

func (w *writing) value(v reflect.Value, s *outline, path string) error {
	switch {
	case s.personal:
		return w.personal(v.Interface().(domain.Personal), path) //nolint:forcetypeassert // the outline says so
	case s.plain:
		return w.plain(v.Interface())
	case s.elem != nil:
		return w.list(v, s.elem, path)
	default:
		return w.object(v, s.members, path)
	}
}

func (w *writing) plain(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	w.Write(b)
	return nil
}

func (w *writing) personal(p domain.Personal, path string) error {
	switch {
	case p.IsZero():
		w.WriteString("null")
		return nil
	case p.Erased():
		return w.plain(Erased)
	case !w.sight.opens(p, w.all):
		return w.plain(Closed)
	}
	text, ok := p.Reveal()
	if !ok {
		return w.plain(Closed)
	}
	if slices.Contains(w.hosts, path) && p.Subject() != w.sight.viewer {
		text = hostOf(text)
	}
	return w.plain(text)
}

func (w *writing) list(v reflect.Value, elem *outline, path string) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			w.WriteString("null")
			return nil
		}
		return w.value(v.Elem(), elem, path)
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		w.WriteString("null")
		return nil
	}
	w.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := w.value(v.Index(i), elem, path); err != nil {
			return err
		}
	}
	w.WriteByte(']')
	return nil
}

func (w *writing) object(v reflect.Value, members []member, path string) error {
	w.WriteByte('{')
	first := true
	for _, m := range members {
		f := v.Field(m.index)
		if (m.omitEmpty && isEmpty(f)) || (m.omitZero && isZero(f)) {
			continue
		}
		if !first {
			w.WriteByte(',')
		}
		first = false
		if err := w.plain(m.name); err != nil {
			return err
		}
		w.WriteByte(':')
		at := m.name
		if path != "" {
			at = path + "." + m.name
		}
		var err error
		if slices.Contains(w.hide, at) {
			err = w.plain(Withheld)
		} else {
			err = w.value(f, m.outline, at)
		}
		if err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

// isEmpty is what encoding/json means by omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

// isZero is what encoding/json means by omitzero.
func isZero(v reflect.Value) bool {
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}
