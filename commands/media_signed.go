package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// The refusals of signed uploads that leave the announcement standing.
var (
	ErrNotThere   = domain.Refuse(domain.Conflict, "not_there_yet", "the announced bytes are not in storage yet")
	ErrIncomplete = domain.Refuse(domain.Conflict, "incomplete", "parts of the announced bytes are missing, or are not those that were named")
)

// Announcement is an upload that the client will put straight to storage.
type Announcement struct {
	Name     string
	Declared string // MIME type
	Size     int64  // bytes
	SHA256   domain.Digest
	Title    string // empty: the file's name
}

// Ticket says where to put announced bytes: to URL, or each part to its own.
type Ticket struct {
	Receipt
	Method    string
	URL       string            // empty when there are parts
	Headers   map[string]string // that have to be sent as they are
	PartSize  int64             // bytes of each part but the last; 0 when there are none
	Parts     []TicketPart
	ExpiresAt time.Time // when the URLs stop working
}

// TicketPart is where to put one part.
type TicketPart struct {
	Number int // from 1
	URL    string
}

// singlePut is up to which size bytes go to storage in one request.
const singlePut = 64 << 20

// RequestUpload announces an upload and answers signed URLs. They lead to a place of their own: CompleteUpload copies the bytes
// on while it compares them, so that whoever still holds a URL cannot change what was accepted.
func (m *Media) RequestUpload(ctx context.Context, env Envelope, a Announcement) (Ticket, error) {
	id := domain.MediaID(m.vault.newThing(env, "media.request_upload"))
	op := operation{name: "media.request_upload", asked: a}
	cmd := media.RequestUpload{
		Media: id, By: env.Actor, Name: domain.NewPersonal(env.Actor.ID, a.Name), Title: domain.NewPersonal(env.Actor.ID, a.Title),
		Declared: a.Declared, Size: a.Size, SHA256: a.SHA256, Object: m.blobs.NewKey(env.Actor.ID), At: m.vault.Now(), Policy: m.vault.Policy,
	}
	file := File{Name: a.Name, Declared: a.Declared, Size: a.Size}
	if _, err := cmd.Decide(media.State{}); err != nil {
		return Ticket{}, m.refuse(ctx, env, op, id, file, media.File{}, err)
	}
	if a.Size > singlePut {
		begun, err := m.blobs.SignMultipart(ctx, cmd.Object, blobs.Upload{Size: a.Size}, m.vault.Policy.RequestFor)
		if err != nil {
			return Ticket{}, err
		}
		cmd.Multipart, cmd.PartSize = begun.UploadID, begun.PartSize
	}
	got, err := decide(ctx, m.vault, env, op, mediaStream(id), media.Evolve, cmd.Decide)
	if cmd.Multipart != "" && (err != nil || got.state.Request.Multipart != cmd.Multipart) {
		m.abort(ctx, cmd.Object, cmd.Multipart)
	}
	if err != nil {
		return Ticket{}, err
	}
	if err := got.state.Refused(); err != nil {
		return Ticket{}, err
	}
	return m.ticket(ctx, got)
}

// ticket signs URLs for what was announced, for as long as the announcement still holds.
func (m *Media) ticket(ctx context.Context, got decided) (Ticket, error) {
	r := got.state.Request
	life := r.ExpiresAt.Sub(m.vault.Now())
	if life < time.Second {
		return Ticket{}, media.ErrExpired
	}
	t := Ticket{Receipt: got.Receipt, Method: "PUT", ExpiresAt: r.ExpiresAt}
	if r.Multipart == "" {
		signed, err := m.blobs.SignPut(ctx, r.Object, blobs.Upload{Size: r.Size}, life)
		if err != nil {
			return Ticket{}, err
		}
		t.URL, t.Headers = signed.URL, signed.Headers
		return t, nil
	}
	parts, err := m.blobs.SignParts(ctx, r.Object, r.Multipart, r.PartSize, r.Size, life)
	if err != nil {
		return Ticket{}, err
	}
	t.PartSize = r.PartSize
	for _, p := range parts {
		t.Parts = append(t.Parts, TicketPart{Number: p.Number, URL: p.URL})
	}
	return t, nil
}

// Part is one part of announced bytes, with the ETag that storage answered; an empty ETag is not compared.
type Part struct {
	Number int // from 1
	ETag   string
}

// CompleteUpload takes announced bytes over once their size and SHA-256 are those that were announced and their type is one
// that is accepted. Without parts, those are taken that storage has. Asking again answers the same.
func (m *Media) CompleteUpload(ctx context.Context, env Envelope, id domain.MediaID, parts []Part) (UploadReceipt, error) {
	op := operation{name: "media.complete_upload", thing: string(id)}
	now, err := fold(ctx, m.vault, mediaStream(id), media.Evolve, nil)
	if err != nil {
		return UploadReceipt{}, err
	}
	s := now.state
	switch {
	case s.Owner == "" || s.Owner != env.Actor.ID:
		return UploadReceipt{}, media.ErrNotFound
	case s.Phase == media.Refused:
		return UploadReceipt{}, s.Refused()
	case s.Phase != media.Requested && s.Request.Object == "":
		return UploadReceipt{}, media.ErrNotRequested
	case s.Phase == media.Erasable:
		return UploadReceipt{}, media.ErrDeleted
	case s.Phase == media.Gone:
		return UploadReceipt{}, media.ErrPurged
	case s.Phase == media.Live:
		return m.completed(ctx, id)
	}
	file := File{Name: s.Request.Name.Text(), Declared: s.Request.Declared, Size: s.Request.Size, SHA256: s.Request.SHA256, Way: media.WaySigned}
	cmd := media.Upload{Media: id, By: env.Actor, At: m.vault.Now(), Policy: m.vault.Policy}
	if cmd.At.After(s.Request.ExpiresAt) {
		m.forget(ctx, s.Request)
		return UploadReceipt{}, m.refuse(ctx, env, op, id, file, media.File{}, media.ErrExpired)
	}
	if s.Request.Multipart != "" {
		if err := m.join(ctx, s.Request, parts); err != nil {
			return m.lateOr(ctx, id, err)
		}
	}
	stored, err := m.takeOver(ctx, s.Request, file)
	if err != nil {
		if r, no := domain.AsRefusal(err); no && media.AboutFile(r) && !errors.Is(err, ErrNotThere) {
			err = m.refuse(ctx, env, op, id, file, stored, err)
			m.forget(ctx, s.Request)
			return m.lateOr(ctx, id, err)
		}
		return m.lateOr(ctx, id, err)
	}
	ctx, cancel := m.vault.within(ctx) // all that is left
	defer cancel()
	cmd.File = stored
	kept, err := m.keep(ctx, env, id, s.Owner, stored, cmd.Decide)
	if err != nil {
		return UploadReceipt{}, err
	}
	cmd.File = kept.File
	got, err := decide(ctx, m.vault, env, op, mediaStream(id), media.Evolve, cmd.Decide)
	if errors.Is(err, media.ErrExists) {
		// Completed by two at once: the other one's copy is the item's.
		m.letGo(ctx, env, id, s.Owner, kept)
		return m.completed(ctx, id)
	}
	receipt, err := m.settle(ctx, env, op, id, file, kept, got, err)
	if _, no := domain.AsRefusal(err); err == nil || no {
		m.forget(ctx, s.Request)
	}
	return receipt, err
}

// lateOr answers what another request completed meanwhile, which is why the bytes are gone from where they were announced, or
// else the error.
func (m *Media) lateOr(ctx context.Context, id domain.MediaID, err error) (UploadReceipt, error) {
	if receipt, errDone := m.completed(ctx, id); errDone == nil {
		return receipt, nil
	}
	return UploadReceipt{}, err
}

// completed is the receipt of an upload that was completed before.
func (m *Media) completed(ctx context.Context, id domain.MediaID) (UploadReceipt, error) {
	for rec, err := range m.vault.Store.Stream(ctx, mediaStream(id), 0) {
		if err != nil {
			return UploadReceipt{}, err
		}
		if e, ok := rec.Event.(media.Uploaded); ok {
			return UploadReceipt{
				Receipt: Receipt{ID: string(id), Stream: rec.Stream, Revision: rec.Revision, Position: rec.Position, At: rec.At, Repeated: true},
				Version: 1, Type: e.File.Type, Size: e.File.Size, SHA256: e.File.SHA256, object: e.File.Object,
			}, nil
		}
	}
	return UploadReceipt{}, media.ErrNotRequested
}

// join puts the parts together.
func (m *Media) join(ctx context.Context, r media.UploadRequested, parts []Part) error {
	var named []blobs.Part
	for _, p := range parts {
		named = append(named, blobs.Part{Number: p.Number, ETag: p.ETag})
	}
	_, err := m.blobs.CompleteMultipart(ctx, r.Object, r.Multipart, named, r.Size)
	switch {
	case errors.Is(err, blobs.ErrIncomplete):
		return ErrIncomplete.On("parts")
	case errors.Is(err, blobs.ErrNoUpload), errors.Is(err, blobs.ErrNotFound):
		return ErrNotThere
	}
	return err
}

// takeOver copies the bytes to a place to which nobody holds a URL, and hashes them on the way.
func (m *Media) takeOver(ctx context.Context, r media.UploadRequested, f File) (media.File, error) {
	blob, err := m.blobs.Get(ctx, r.Object)
	if errors.Is(err, blobs.ErrNotFound) {
		return media.File{}, ErrNotThere
	}
	if err != nil {
		return media.File{}, err
	}
	got, err := m.storeBlob(ctx, r.Owner, &f, blob)
	if errClose := blob.Close(); err == nil && errClose != nil {
		m.discard(ctx, got.Object)
		return media.File{}, fmt.Errorf("take over %s: %w", r.Object, errClose)
	}
	switch {
	case errors.Is(err, blobs.ErrChanged), errors.Is(err, blobs.ErrNotFound):
		return media.File{}, ErrNotThere
	case err != nil:
		return got, err
	case got.SHA256 != r.SHA256:
		m.discard(ctx, got.Object)
		return got, media.ErrSHA256
	}
	return got, nil
}

func (m *Media) storeBlob(ctx context.Context, owner domain.UserID, f *File, blob *blobs.Blob) (media.File, error) {
	if blob.Info.Size != f.Size {
		return media.File{Size: blob.Info.Size}, media.ErrSize
	}
	return m.store(ctx, owner, f, blob)
}

// forget removes what was put to the announced place.
func (m *Media) forget(ctx context.Context, r media.UploadRequested) {
	if r.Multipart != "" {
		m.abort(ctx, r.Object, r.Multipart)
	}
	m.discard(ctx, r.Object)
}

// abort ends a multipart upload that is of no use. What cannot be forgotten now is swept later.
func (m *Media) abort(ctx context.Context, key domain.ObjectKey, multipart string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	_ = m.blobs.AbortMultipart(ctx, key, multipart)
}

// ExpireUpload ends an announcement whose time is over, and removes what was put to its place; for the vault itself. Before
// its time, and once the upload was completed, it changes nothing.
func (m *Media) ExpireUpload(ctx context.Context, env Envelope, id domain.MediaID) (Receipt, error) {
	now := m.vault.Now()
	return m.endUpload(ctx, env, id, func(s media.State) bool { return now.After(s.Request.ExpiresAt) })
}

// endUpload ends an announcement when it is over.
func (m *Media) endUpload(ctx context.Context, env Envelope, id domain.MediaID, over func(media.State) bool) (Receipt, error) {
	var request media.UploadRequested
	got, err := decide(ctx, m.vault, env, operation{name: "media.expire_upload", thing: string(id)}, mediaStream(id), media.Evolve,
		func(s media.State) ([]media.Event, error) {
			if s.Phase != media.Requested || !over(s) {
				return nil, nil
			}
			request = s.Request
			owner := domain.Actor{ID: s.Owner}
			return media.RefuseUpload{
				Media: id, By: owner, Size: s.Request.Size, Reasons: []string{media.ErrExpired.Code}, Policy: m.vault.Policy,
			}.Decide(s)
		})
	if err == nil && !got.Silent && request.Object != "" {
		m.forget(ctx, request)
	}
	return got.Receipt, err
}
