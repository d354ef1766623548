package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// File is a file on its way in, and what was said about it.
type File struct {
	Name     string        // as the client calls it
	Declared string        // MIME type; empty or octet-stream: not said
	Size     int64         // bytes; -1: not said
	SHA256   domain.Digest // empty: not said
	Way      media.Way
	Title    string // empty: the file's name
	// Description and Tags may be empty. A new version has neither, nor a title.
	Description string
	Tags        []string
	// Late is asked once the bytes have ended, for what a form says behind its file; nil: nothing. What it answers is laid over
	// what is said above where it is not empty.
	Late func() (Late, error)
	// Share lets the actor add a version, when he is not the owner; empty: found by the index.
	Share domain.ShareID
}

// Late is what a form says behind its file.
type Late struct {
	Title       string
	Description string
	Tags        []string
	SHA256      domain.Digest
}

// UploadReceipt is a receipt with what became known of the bytes.
type UploadReceipt struct {
	Receipt
	Version int // from 1
	Type    string
	Size    int64 // bytes
	SHA256  domain.Digest
	object  domain.ObjectKey
}

// Upload takes a new item's bytes: it judges name and type by the first of them, stores them all, compares size and SHA-256,
// and only then says that they are there. Of what is refused nothing is kept but the event that says so.
func (m *Media) Upload(ctx context.Context, env Envelope, f File, body io.Reader) (UploadReceipt, error) {
	id := domain.MediaID(m.vault.newThing(env, "media.upload"))
	op := operation{name: "media.upload", asked: asked(f)}
	if receipt, done, err := m.repeated(ctx, env, op, id, body); done || err != nil {
		return receipt, err
	}
	cmd := media.Upload{Media: id, By: env.Actor, At: m.vault.Now(), Policy: m.vault.Policy}
	if err := cmd.MayUpload(); err != nil {
		return UploadReceipt{}, err
	}
	stored, err := m.store(ctx, env.Actor.ID, &f, body)
	if err != nil {
		return UploadReceipt{}, m.refuse(ctx, env, op, id, f, stored, err)
	}
	ctx, cancel := m.vault.within(ctx) // all that is left
	defer cancel()
	personal := func(text string) domain.Personal { return domain.NewPersonal(env.Actor.ID, text) }
	cmd.Title, cmd.Description, cmd.Tags = personal(f.Title), personal(f.Description), tagsOf(env.Actor.ID, f.Tags)
	cmd.File, cmd.Expected = stored, media.Expected{Size: f.Size, SHA256: f.SHA256}
	kept, err := m.keep(ctx, env, id, env.Actor.ID, stored, cmd.Decide)
	if err != nil {
		return UploadReceipt{}, err
	}
	cmd.File = kept.File
	got, err := decide(ctx, m.vault, env, op, mediaStream(id), media.Evolve, cmd.Decide)
	return m.settle(ctx, env, op, id, f, kept, got, err)
}

// decided is what became of a command about an item.
type decided = outcome[media.State, media.Event]

// settle ends an upload whose bytes are stored: bytes that did not become the item's are let go.
func (m *Media) settle(ctx context.Context, env Envelope, op operation, id domain.MediaID, f File, stored placed,
	got decided, err error,
) (UploadReceipt, error) {
	owner := env.Actor.ID
	if err != nil {
		if _, no := domain.AsRefusal(err); !no {
			// Whether the event is there is not known. Bytes without an event are litter, an event without bytes a loss.
			return UploadReceipt{}, err
		}
		m.letGo(ctx, env, id, owner, stored)
		return UploadReceipt{}, m.refuse(ctx, env, op, id, f, stored.File, err)
	}
	return m.settled(ctx, env, id, owner, stored, got)
}

// settled answers the receipt of an upload or a new version. Bytes that somebody else's request, or an earlier one, made
// unnecessary are let go.
func (m *Media) settled(ctx context.Context, env Envelope, id domain.MediaID, owner domain.UserID, stored placed, got decided) (UploadReceipt, error) {
	receipt, err := uploadReceipt(got)
	if err != nil || got.Silent || receipt.object != stored.Object {
		m.letGo(ctx, env, id, owner, stored)
	}
	if err == nil && receipt.SHA256 != stored.SHA256 {
		return UploadReceipt{}, ErrKeyReused
	}
	return receipt, err
}

// uploadReceipt reads what an upload or a new version came to from what was said about it; where nothing was said, the bytes
// were there already as the current version.
func uploadReceipt(got decided) (UploadReceipt, error) {
	r := UploadReceipt{Receipt: got.Receipt}
	var file media.File
	for _, e := range got.said {
		switch e := e.(type) {
		case media.Uploaded:
			r.Version, file = 1, e.File
		case media.VersionAdded:
			r.Version, file = e.Version, e.File
		case media.UploadRefused:
			return UploadReceipt{}, got.state.Refused()
		}
	}
	if r.Version == 0 {
		v, ok := got.state.Version(0)
		if !ok {
			return UploadReceipt{}, fmt.Errorf("receipt of %s: there is no version", got.Stream)
		}
		r.Version, file = got.state.Current, v.File
	}
	r.Type, r.Size, r.SHA256, r.object = file.Type, file.Size, file.SHA256, file.Object
	return r, nil
}

// asked is what an idempotency key stands for, besides the bytes themselves, which are compared by their SHA-256.
func asked(f File) any {
	return []any{f.Name, media.Canonical(f.Declared), f.SHA256, f.Title, f.Description, f.Tags}
}

// repeated answers what an upload with the same idempotency key answered, before any byte is stored again. The bytes are read
// and compared all the same: another file under the same key is a mistake that has to be told.
func (m *Media) repeated(ctx context.Context, env Envelope, op operation, id domain.MediaID, body io.Reader) (UploadReceipt, bool, error) {
	if env.IdempotencyKey == "" {
		return UploadReceipt{}, false, nil
	}
	meta, err := m.vault.metadata(env, op)
	if err != nil {
		return UploadReceipt{}, false, err
	}
	f, err := fold(ctx, m.vault, mediaStream(id), media.Evolve, &meta)
	if err != nil {
		return UploadReceipt{}, false, err
	}
	before, ok, err := f.original()
	if !ok || err != nil {
		return UploadReceipt{}, false, err
	}
	receipt, err := uploadReceipt(before)
	if err != nil {
		return UploadReceipt{}, true, err
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, AtMost(body, m.vault.Policy.MaxSize)); err != nil {
		return UploadReceipt{}, true, fmt.Errorf("read upload: %w", err)
	}
	if domain.Digest(hex.EncodeToString(digest.Sum(nil))) != receipt.SHA256 {
		return UploadReceipt{}, true, ErrKeyReused
	}
	return receipt, true, nil
}

// store judges the name, and the type by the first bytes, and then stores all of them. On error nothing is kept; what it
// answers then is what it learnt.
func (m *Media) store(ctx context.Context, owner domain.UserID, f *File, body io.Reader) (media.File, error) {
	got := media.File{Name: domain.NewPersonal(owner, f.Name), Declared: f.Declared, Way: f.Way}
	policy := m.vault.Policy
	name, err := media.CleanName(f.Name, policy)
	if err != nil {
		return got, err
	}
	if err := media.Plausible(name, f.Declared, policy); err != nil {
		return got, err
	}
	if f.Size > policy.MaxSize {
		return got, media.TooLarge(policy.MaxSize)
	}
	head, whole, err := peek(body)
	if err != nil {
		return got, fmt.Errorf("read upload: %w", err)
	}
	if len(head) == 0 {
		if f.Size > 0 {
			return got, media.ErrSize
		}
		return got, media.ErrEmpty
	}
	got.Type = sniff(head)
	if _, err := media.Judge(name, f.Declared, got.Type, policy); err != nil {
		return got, err
	}
	if f.Size < 0 {
		whole = AtMost(whole, policy.MaxSize)
	}
	got.Object = m.blobs.NewKey(owner)
	info, err := m.blobs.Put(ctx, got.Object, whole, f.Size, got.Type)
	switch {
	case errors.Is(err, blobs.ErrShort), errors.Is(err, blobs.ErrLong):
		return got, media.ErrSize
	case err != nil:
		return got, err
	}
	got.Size, got.SHA256 = info.Size, info.Digest
	stored := m.vault.Now()
	err = f.hear()
	if err == nil {
		err = m.late(stored)
	}
	if err != nil {
		m.discard(ctx, got.Object)
		return got, err
	}
	return got, nil
}

// hear asks for what the form said behind the file.
func (f *File) hear() error {
	if f.Late == nil {
		return nil
	}
	late, err := f.Late()
	if err != nil {
		return err
	}
	if late.SHA256 != "" {
		if f.SHA256 != "" && f.SHA256 != late.SHA256 {
			return media.ErrSHA256
		}
		f.SHA256 = late.SHA256
	}
	if late.Title != "" {
		f.Title = late.Title
	}
	if late.Description != "" {
		f.Description = late.Description
	}
	if len(late.Tags) > 0 {
		f.Tags = late.Tags
	}
	return nil
}

// refuse records that an upload was refused, when it was and when its reason is one about the file, and answers the reason.
func (m *Media) refuse(ctx context.Context, env Envelope, op operation, id domain.MediaID, f File, got media.File, why error) error {
	reason, ok := domain.AsRefusal(why)
	if !ok || !media.AboutFile(reason) {
		return why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	env.IfMatch = nil
	recorded, err := decide(ctx, m.vault, env, op, mediaStream(id), media.Evolve, media.RefuseUpload{
		Media: id, By: env.Actor, Name: domain.NewPersonal(env.Actor.ID, f.Name), Declared: f.Declared,
		Type: got.Type, Size: max(got.Size, f.Size), Reasons: []string{reason.Code}, Policy: m.vault.Policy,
	}.Decide)
	switch {
	case errors.Is(err, media.ErrExists), errors.Is(err, media.ErrNotFound):
		return why // somebody else's success, or thing, is not to be spoilt
	case err != nil:
		return errors.Join(why, fmt.Errorf("record the refusal: %w", err))
	case recorded.state.Phase == media.Refused:
		return reason
	}
	return why
}

// discard deletes bytes that nobody will ask for. What cannot be deleted now is litter, not harm.
func (m *Media) discard(ctx context.Context, key domain.ObjectKey) {
	if key == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	_ = m.blobs.Delete(ctx, key)
}

// AtMost reads r, and ends with media.ErrTooLarge where there are more than the bytes that are accepted.
func AtMost(r io.Reader, accepted int64) io.Reader {
	return &capped{r: r, left: accepted, most: accepted}
}

type capped struct {
	r    io.Reader
	left int64
	most int64
}

// Read implements io.Reader.
func (c *capped) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, media.TooLarge(c.most)
	}
	return n, err
}
