package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/domain"
)

// Blob reads a stored blob: sequentially, and from wherever it is sought to, as http.ServeContent does it. It is for one
// goroutine, and has to be closed.
type Blob struct {
	Info Info // without Digest

	s3  *S3
	ctx context.Context //nolint:containedctx // io.Reader has no place for it; it ends what Get began

	at      int64 // where the next Read reads
	body    io.ReadCloser
	cancel  context.CancelFunc // of body
	left    int64              // bytes of body that are still to come
	window  int64              // bytes to ask for next
	retries int                // since the last byte
}

// A reader that is sought to a place and read from there may want 1 KiB or 5 GiB, and does not say which. Bytes are asked for in
// windows that grow, so that little is asked for in vain and large blobs cost few requests.
const (
	firstWindow = 1 << 20
	maxWindow   = 64 << 20
	readRetries = 3
)

// Get opens a blob for reading. ctx has to live as long as the reading. ErrNotFound.
func (s *S3) Get(ctx context.Context, key domain.ObjectKey) (*Blob, error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return &Blob{Info: info, s3: s, ctx: ctx, window: firstWindow}, nil
}

// Read implements io.Reader. Errors: ErrUnavailable, also when no byte arrived for twice a call's time; ErrChanged; ErrNotFound when the blob
// was deleted meanwhile. A connection that breaks is made again where it broke.
func (b *Blob) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if b.at >= b.Info.Size {
			return 0, io.EOF
		}
		if b.body == nil {
			if err := b.open(); err != nil {
				return 0, err
			}
		}
		n, err := b.readBody(p)
		b.at += int64(n)
		b.left -= int64(n)
		if err != nil || b.left <= 0 {
			b.hangUp()
		}
		if n > 0 {
			b.retries = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		if b.retries++; errors.Is(err, context.Canceled) {
			b.retries += readRetries - 1 // it was silent for a call's time, and gets that once more
		}
		if b.retries > readRetries || b.ctx.Err() != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the S3 broke off
			}
			return 0, b.s3.fault(b.ctx, "read blob", string(b.Info.Key), err)
		}
	}
}

// readBody reads from the open connection, and breaks it when nothing comes for a call's time. The time that the caller takes
// between two reads does not count.
func (b *Blob) readBody(p []byte) (int, error) {
	silence := time.AfterFunc(b.s3.patience, b.cancel)
	defer silence.Stop()
	return b.body.Read(p)
}

// open asks for the next window.
func (b *Blob) open() error {
	within, cancel := context.WithCancel(b.ctx)
	end := min(b.at+b.window, b.Info.Size)
	var options minio.GetObjectOptions
	if err := errors.Join(options.SetRange(b.at, end-1), options.SetMatchETag(b.Info.ETag)); err != nil {
		cancel()
		return fmt.Errorf("read blob %s: %w", b.Info.Key, err)
	}
	silence := time.AfterFunc(b.s3.patience, cancel)
	body, _, _, err := b.s3.core.GetObject(within, b.s3.bucket, string(b.Info.Key), options)
	silence.Stop()
	if err != nil {
		cancel()
		if errors.Is(err, context.Canceled) && b.ctx.Err() == nil {
			err = context.DeadlineExceeded
		}
		return b.s3.fault(b.ctx, "read blob", string(b.Info.Key), err)
	}
	b.body, b.cancel, b.left = body, cancel, end-b.at
	b.window = min(2*b.window, maxWindow)
	return nil
}

// hangUp ends the open connection, if there is one.
func (b *Blob) hangUp() {
	if b.body == nil {
		return
	}
	// Nothing is lost by an error here: what was read was read.
	_ = b.body.Close()
	b.cancel()
	b.body, b.cancel = nil, nil
}

// Seek implements io.Seeker. It asks the S3 for nothing.
func (b *Blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.Info.Size
	default:
		return 0, fmt.Errorf("seek in blob %s: whence %d", b.Info.Key, whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in blob %s: before its beginning", b.Info.Key)
	}
	if offset != b.at {
		b.hangUp()
		b.at, b.window = offset, firstWindow
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *Blob) Close() error {
	b.hangUp()
	return nil
}

// HeadSize is how many first bytes Hash answers: enough to tell the type of content.
const HeadSize = 3 << 10

// Hash reads the whole blob and answers its SHA-256 (in Info), and its first HeadSize bytes. It holds no more than these.
func (s *S3) Hash(ctx context.Context, key domain.ObjectKey) (info Info, head []byte, err error) {
	blob, err := s.Get(ctx, key)
	if err != nil {
		return Info{}, nil, err
	}
	defer blob.Close()
	blob.window = maxWindow // it will all be read
	digest := sha256.New()
	buffer := make([]byte, 256<<10)
	for {
		n, err := blob.Read(buffer)
		_, _ = digest.Write(buffer[:n]) // a hash never fails
		if wanted := HeadSize - len(head); wanted > 0 {
			head = append(head, buffer[:min(n, wanted)]...)
		}
		if errors.Is(err, io.EOF) {
			info = blob.Info
			info.Digest = domain.Digest(hex.EncodeToString(digest.Sum(nil)))
			return info, head, nil
		}
		if err != nil {
			return Info{}, nil, err
		}
	}
}
