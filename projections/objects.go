package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/eventstore"
)

// ObjectsName is the name of the read model.
const ObjectsName = "objects"

// How an object is named in the log.
const (
	ObjectNeeded     = "needed"     // a version of the item is there
	ObjectPurged     = "purged"     // was, until the item was purged
	ObjectReferenced = "referenced" // an upload for the item put it there; it may have come to nothing
	ObjectAnnounced  = "announced"  // somebody holds a URL to put it there
	ObjectStored     = "stored"     // it is the one copy of a content; the item is empty
)

// ObjectName is that the log names an object in storage, for the sake of an item. It tells what may be litter; whether it is, the
// streams decide.
type ObjectName struct {
	Object  domain.ObjectKey  `db:"object"`
	Media   domain.MediaID    `db:"media"`
	Kind    string            `db:"kind"`
	Until   time.Time         `db:"until"`   // when an announcement ends
	Content eventstore.Stream `db:"content"` // the stream of the content, of what is referenced
}

// objectsModel is the projection.
type objectsModel struct{}

// ObjectsProjection makes the read model of what storage may hold.
func ObjectsProjection() Projection[ObjectName] { return objectsModel{} }

// Name implements Projection.
func (objectsModel) Name() string { return ObjectsName }

// Types implements Projection.
func (objectsModel) Types() []string {
	return append(typeNames(object.Types), media.UploadRequested{}.EventType(), media.Uploaded{}.EventType(),
		media.VersionAdded{}.EventType(), media.Purged{}.EventType())
}

// Table implements Projection.
func (objectsModel) Table() Table {
	return Table{Indexes: []Index{{On: "object", Scope: CurrentOnly}}}
}

func nameKey[M ~string](key domain.ObjectKey, item M) string { return string(key) + " " + string(item) }

// Keys implements Projection.
func (objectsModel) Keys(rec eventstore.Recorded) []string {
	item := rec.Stream.ID()
	var keys []string
	switch e := rec.Event.(type) {
	case media.UploadRequested:
		keys = append(keys, nameKey(e.Object, item))
	case media.Uploaded:
		keys = append(keys, nameKey(e.File.Object, item))
	case media.VersionAdded:
		keys = append(keys, nameKey(e.File.Object, item))
	case media.Purged:
		for _, key := range e.Objects {
			keys = append(keys, nameKey(key, item))
		}
	case object.Stored:
		keys = append(keys, nameKey(e.Object, ""))
	case object.Destroyed:
		keys = append(keys, nameKey(e.Object, ""))
	case object.Referenced:
		keys = append(keys, nameKey(e.Upload, e.Media))
	case object.Released:
		for _, upload := range e.Uploads {
			keys = append(keys, nameKey(upload, e.Media))
		}
	}
	return keys
}

// Evolve implements Projection.
func (objectsModel) Evolve(_ string, n ObjectName, rec eventstore.Recorded) (ObjectName, bool) {
	item := domain.MediaID(rec.Stream.ID())
	switch e := rec.Event.(type) {
	case media.UploadRequested:
		return ObjectName{Object: e.Object, Media: item, Kind: ObjectAnnounced, Until: e.ExpiresAt.UTC()}, true
	case media.Uploaded:
		return ObjectName{Object: e.File.Object, Media: item, Kind: ObjectNeeded}, true
	case media.VersionAdded:
		return ObjectName{Object: e.File.Object, Media: item, Kind: ObjectNeeded}, true
	case media.Purged:
		n.Kind = ObjectPurged
	case object.Stored:
		return ObjectName{Object: e.Object, Kind: ObjectStored}, true
	case object.Destroyed:
		return n, false
	case object.Referenced:
		if n.Kind != ObjectNeeded {
			n = ObjectName{Object: e.Upload, Media: e.Media, Kind: ObjectReferenced, Content: rec.Stream}
		}
	case object.Released:
		if n.Kind == ObjectReferenced {
			return n, false
		}
	}
	return n, n.Object != ""
}

// Objects answers what the log names.
type Objects struct {
	view View[ObjectName]
}

// NewObjects makes the queries. The engine must run ObjectsProjection.
func NewObjects(e *Engine) (*Objects, error) {
	view, err := ViewOf(e, ObjectsProjection())
	return &Objects{view: view}, err
}

// NamesOf answers how the log names the objects, up to its head at the time of the call or later. Errors: ErrNotYet.
func (o *Objects) NamesOf(ctx context.Context, keys []domain.ObjectKey) ([]ObjectName, error) {
	head, err := o.view.engine.source.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("head of the log: %w", err)
	}
	if err := o.view.engine.WaitFor(ctx, ObjectsName, head); err != nil {
		return nil, err
	}
	// Rows of a key that is parked are as they were: nothing is known of what they name.
	parked, err := o.view.engine.parkedIn(ctx, ObjectsName)
	if err != nil {
		return nil, err
	}
	if parked > 0 {
		return nil, errors.New("events that name objects are parked; what they name is not known")
	}
	wanted := make([]string, len(keys))
	for i, key := range keys {
		wanted[i] = string(key)
	}
	var args Args
	found, err := o.view.Query(ctx, "select "+o.view.Columns("o")+" from objects o where o.object = any("+args.Add(wanted)+") and "+At{}.Where("o", &args), &args)
	if err != nil {
		return nil, err
	}
	names := make([]ObjectName, len(found))
	for i, f := range found {
		names[i] = f.Row
	}
	return names, nil
}
