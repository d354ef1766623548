package eventstore

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// opener decodes and opens a batch of events, for one goroutine, and remembers that keys could not be asked for: that is no fault
// of the event. The texts of an event are opened when it is decoded, so that a broken one is noticed; those of its metadata,
// for which few ask, when they are asked for. It is used again for other batches; of the keys, it forgets all.
type opener struct {
	ctx   context.Context //nolint:containedctx // it lives for one batch
	keys  Keys
	ring  KeyRing // the same, or nil
	ahead func() []domain.UserID
	batch []Raw

	failed error // of the text that was opened last
	fault  error // keys that did not answer

	memory
	subjects map[domain.UserID]*subject
	asked    []*subject // those with keys
	last     *subject   // the one used last
	places   map[*eventType]workplace

	open      func(*domain.Personal) error
	openLater func(*domain.Personal) error
	reveal    func(domain.UserID, []byte) ([]byte, bool, error) // with the keys of last
	plain     []byte                                            // for reveal
}

// subject is somebody whose texts are opened.
type subject struct {
	id   domain.UserID
	keys domain.SubjectKeys // for this batch
}

type workplace struct {
	value reflect.Value
	take  func() domain.Event
}

// Bounds of what an opener keeps from batch to batch.
const (
	keptSubjects = 4096
	openerBlock  = 8 << 10
)

// opener answers one for the batch; ahead answers its subjects.
func (c *Codec) opener(ctx context.Context, batch []Raw, ahead func() []domain.UserID) *opener {
	o, _ := c.idle.Get().(*opener)
	if o == nil {
		o = &opener{keys: c.keys, subjects: map[domain.UserID]*subject{}, places: make(map[*eventType]workplace, len(c.types))}
		o.ring, _ = c.keys.(KeyRing)
		o.open = func(p *domain.Personal) error { return o.resolve(p, o.subject(p.Subject()), false) }
		o.openLater = func(p *domain.Personal) error { return o.resolve(p, o.subject(p.Subject()), true) }
		o.reveal = func(_ domain.UserID, sealed []byte) ([]byte, bool, error) {
			text, ok, err := o.last.keys.Open(o.plain[:0], sealed)
			if cap(text) <= openerBlock {
				o.plain = text
			}
			return text, ok, err
		}
	}
	o.ctx, o.batch, o.ahead, o.failed, o.fault = ctx, batch, ahead, nil, nil
	if ahead == nil {
		o.ahead = o.subjectsOfBatch
	}
	o.size = min(openerBlock, 64*len(batch))
	return o
}

func (c *Codec) release(o *opener) {
	for _, s := range o.asked {
		s.keys = nil
	}
	clear(o.asked)
	o.asked = o.asked[:0]
	if len(o.subjects) > keptSubjects {
		clear(o.subjects)
	}
	o.last, o.ctx, o.batch, o.ahead, o.block = nil, nil, nil, nil, nil
	c.idle.Put(o)
}

func (o *opener) subjectsOfBatch() []domain.UserID { return subjectsOf(o.batch) }

// err answers what went wrong with the text that was opened last, once.
func (o *opener) err() error {
	err := o.failed
	o.failed = nil
	return err
}

// subject answers the one who is called so.
func (o *opener) subject(id domain.UserID) *subject {
	if o.last != nil && o.last.id == id {
		return o.last
	}
	s := o.subjects[id]
	if s == nil {
		s = &subject{id: id}
		o.subjects[id] = s
	}
	o.last = s
	return s
}

// named is subject, of bytes that are only good for now.
func (o *opener) named(id []byte) *subject {
	if o.last != nil && string(o.last.id) == string(id) {
		return o.last
	}
	if s := o.subjects[domain.UserID(id)]; s != nil {
		o.last = s
		return s
	}
	return o.subject(domain.UserID(id))
}

// resolve opens a text of the subject, or makes it ready to be.
func (o *opener) resolve(p *domain.Personal, s *subject, later bool) error {
	if p.IsZero() || o.keys == nil {
		return nil
	}
	if o.ring == nil {
		return o.ask(p)
	}
	if s.keys == nil {
		keys, err := o.ring.Subject(o.ctx, s.id, o.ahead)
		if err != nil {
			return o.faulty(err)
		}
		s.keys = keys
		o.asked = append(o.asked, s)
	}
	o.last = s
	sealed := p.Sealed()
	switch {
	case s.keys.Destroyed():
		*p, _ = p.Open(erased)
		return nil
	case !s.keys.Has(sealed):
		return o.ask(p)
	case later:
		*p = p.OpenLater(s.keys)
		return nil
	}
	opened, err := p.Open(o.reveal)
	if err != nil {
		return o.faulty(err)
	}
	*p = opened
	return nil
}

func erased(domain.UserID, []byte) ([]byte, bool, error) { return nil, false, nil }

// ask opens a text the long way.
func (o *opener) ask(p *domain.Personal) error {
	opened, err := p.Open(func(subject domain.UserID, sealed []byte) ([]byte, bool, error) {
		text, ok, err := o.keys.Open(o.ctx, subject, sealed)
		return text, ok, o.faulty(err)
	})
	if err == nil {
		*p = opened
	}
	return err
}

func (o *opener) faulty(err error) error {
	if err = keysFault(o.ctx, err); err != nil && !errors.Is(err, domain.ErrBroken) {
		o.fault = err
	}
	return err
}

// subjectsOf answers whose texts stand in a batch, each once. It may name somebody in vain, and miss whose name is written with
// escapes: it only says what is worth asking for together.
func subjectsOf(batch []Raw) []domain.UserID {
	const mark = `"subject":"`
	seen := map[string]struct{}{}
	subjects := make([]domain.UserID, 0, 16)
	for i := range batch {
		for _, stored := range [2][]byte{batch[i].Data, batch[i].Metadata} {
			for {
				at := bytes.Index(stored, []byte(mark))
				if at < 0 {
					break
				}
				stored = stored[at+len(mark):]
				end := bytes.IndexByte(stored, '"')
				if end < 0 {
					break
				}
				name := stored[:end]
				if _, twice := seen[string(name)]; twice || slices.Contains(name, '\\') {
					continue
				}
				seen[string(name)] = struct{}{}
				subjects = append(subjects, domain.UserID(name))
			}
		}
	}
	return subjects
}

// place answers where events of the type are made.
func (o *opener) place(t *eventType) workplace {
	p, ok := o.places[t]
	if !ok {
		into, take := t.Workplace()
		p = workplace{value: reflect.ValueOf(into).Elem(), take: take}
		o.places[t] = p
	}
	return p
}
