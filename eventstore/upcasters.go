package eventstore

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Upcaster turns one old stored shape into the next. The shapes of a type are numbered from 1; an event says its number in
// its stored metadata (`"schema":2`; a missing number is 1), not in its type, so that a filter by type finds every shape. The
// current shape is one more than the number of the type's upcasters.
//
// Up gets JSON of the shape From and answers JSON of the shape From+1. It is pure, it sees personal text only as it is
// stored (sealed), and it never changes: stored events go through it for ever.
type Upcaster struct {
	Type string
	From int
	Up   func(json.RawMessage) (json.RawMessage, error)
}

type upcaster = func(json.RawMessage) (json.RawMessage, error)

// ErrNewerSchema is an event of a shape that this program does not know yet: it was written by a newer one. To read it
// as the older shape would silently drop what is new in it.
var ErrNewerSchema = errors.New("event was stored by a newer program")

// arrange adds each upcaster to its type, in the order of the shapes.
func arrange(types map[string]*eventType, upcasters []Upcaster) error {
	for _, u := range upcasters {
		t, ok := types[u.Type]
		switch {
		case !ok:
			return fmt.Errorf("upcaster of %s: %w", u.Type, ErrUnknownType)
		case u.Up == nil:
			return fmt.Errorf("upcaster of %s from schema %d does nothing", u.Type, u.From)
		case u.From != len(t.upcasters)+1:
			return fmt.Errorf("upcaster of %s from schema %d: the next one must be from schema %d", u.Type, u.From, len(t.upcasters)+1)
		}
		t.upcasters = append(t.upcasters, u.Up)
	}
	return nil
}

// upcast brings stored data of a shape to the current one.
func (t *eventType) upcast(schema int, data []byte) ([]byte, error) {
	if schema == 0 {
		schema = 1
	}
	if schema > t.schema() || schema < 0 {
		return nil, fmt.Errorf("schema %d, known up to %d: %w", schema, t.schema(), ErrNewerSchema)
	}
	for from := schema; from < t.schema(); from++ {
		next, err := t.upcasters[from-1](data)
		if err != nil {
			return nil, fmt.Errorf("upcast from schema %d: %w", from, err)
		}
		data = next
	}
	return data, nil
}

func (t *eventType) schema() int { return len(t.upcasters) + 1 }
