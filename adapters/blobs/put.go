package blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
)

// What one upload costs in memory: one buffer of partSize, or of the announced size where that is less; and up to
// extraBuffers more, as long as all uploads together have no more than spareBuffers of these.
const (
	partSize     = 8 << 20
	extraBuffers = 3
	spareBuffers = 8

	maxParts = 10_000 // S3's own limit

	checksumHeader    = "X-Amz-Checksum-Crc32c"
	checksumAlgorithm = "X-Amz-Checksum-Algorithm"
)

// Put stores what r yields under a key that is new, and answers its size and SHA-256. size is what was announced, -1 when it is
// not known. contentType is stored beside the bytes and means nothing here.
//
// When it fails nothing stays behind, as far as the S3 can be reached. Errors: that of r, wrapped; ErrShort and ErrLong when r
// does not have the announced size; ErrUnavailable. A reader that hangs is the caller's matter.
func (s *S3) Put(ctx context.Context, key domain.ObjectKey, r io.Reader, size int64, contentType string) (Info, error) {
	if size < -1 {
		return Info{}, fmt.Errorf("put blob %s: size %d", key, size)
	}
	u := &upload{s3: s, key: key, contentType: contentType, digest: sha256.New(), announced: size, r: r}
	if size >= 0 {
		// One byte more shows that there is more.
		u.r = io.LimitReader(r, size+1)
	}
	capacity := int64(partSize)
	if size >= 0 && size <= capacity {
		capacity = size + 1
	}
	first, last, err := u.fill(make([]byte, capacity))
	if err != nil {
		return Info{}, fmt.Errorf("put blob %s: %w", key, err)
	}
	var etag string
	if last {
		etag, err = u.single(ctx, first)
	} else {
		etag, err = u.multipart(ctx, first)
	}
	if err != nil {
		return Info{}, err
	}
	return Info{
		Key: key, Size: u.size, Digest: domain.Digest(hex.EncodeToString(u.digest.Sum(nil))), ContentType: contentType,
		ETag: etag, Modified: time.Now().UTC().Truncate(time.Second),
	}, nil
}

// upload is one Put. What is here belongs to the goroutine that reads.
type upload struct {
	s3          *S3
	key         domain.ObjectKey
	contentType string
	r           io.Reader
	announced   int64
	digest      hash.Hash
	size        int64 // read so far
}

// fill reads until the buffer is full or the reader ends (last), and checks against what was announced.
func (u *upload) fill(buffer []byte) (part []byte, last bool, err error) {
	n := 0
	for n < len(buffer) && !last {
		// Not io.ReadFull: it says io.ErrUnexpectedEOF at a plain end, which is what a broken request body says, too.
		read, errRead := u.r.Read(buffer[n:])
		n += read
		switch {
		case errRead == io.EOF: //nolint:errorlint // by io.Reader's contract, never wrapped; a wrapped one is a failure
			last = true
		case errRead != nil:
			return nil, false, fmt.Errorf("read: %w", errRead)
		}
	}
	part = buffer[:n]
	u.size += int64(n)
	_, _ = u.digest.Write(part) // a hash never fails
	if u.announced >= 0 && u.size > u.announced {
		return nil, false, fmt.Errorf("%w: over %d", ErrLong, u.announced)
	}
	if last && u.announced >= 0 && u.size < u.announced {
		return nil, false, fmt.Errorf("%w: %d of %d", ErrShort, u.size, u.announced)
	}
	return part, last, nil
}

// single stores a blob that is in memory whole. Its SHA-256 is signed with the request, so the S3 checks it.
func (u *upload) single(ctx context.Context, content []byte) (string, error) {
	sending, stop := u.s3.lingering(ctx)
	defer stop()
	within, body, cancel := u.s3.moving(sending, content)
	defer cancel()
	info, err := u.s3.core.PutObject(within, u.s3.bucket, string(u.key), body, int64(len(content)), "",
		hex.EncodeToString(u.digest.Sum(nil)), minio.PutObjectOptions{ContentType: u.contentType, DisableContentSha256: true})
	if err != nil {
		u.clean(ctx, "")
		return "", u.s3.fault(ctx, "put blob", string(u.key), err)
	}
	if ctx.Err() != nil {
		u.clean(ctx, "")
		return "", fmt.Errorf("put blob %s: %w", u.key, context.Cause(ctx))
	}
	return info.ETag, nil
}

// multipart stores a blob of several parts: while some are on their way the next is read.
func (u *upload) multipart(ctx context.Context, first []byte) (string, error) {
	within, cancel := context.WithTimeout(ctx, u.s3.patience)
	id, err := u.s3.core.NewMultipartUpload(within, u.s3.bucket, string(u.key), minio.PutObjectOptions{
		ContentType: u.contentType, UserMetadata: map[string]string{checksumAlgorithm: "CRC32C"},
	})
	cancel()
	if err != nil {
		return "", u.s3.fault(ctx, "begin to put blob", string(u.key), err)
	}
	parts, err := u.sendParts(ctx, id, first)
	if err != nil {
		u.clean(ctx, id)
		return "", err
	}
	etag, err := u.s3.complete(ctx, u.key, id, parts, u.size)
	if err != nil {
		u.clean(ctx, id)
		return "", err
	}
	return etag, nil
}

// sendParts reads in this goroutine and sends in up to 1+extraBuffers others, which all have ended when it returns.
func (u *upload) sendParts(ctx context.Context, id string, part []byte) ([]minio.CompletePart, error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	group, going := errgroup.WithContext(within) // going ends when reading or a part failed, or the caller gave up
	sending, stop := u.s3.lingering(going)
	defer stop()
	buffers := &partBuffers{spare: u.s3.spare, free: make(chan []byte, 1+extraBuffers)}
	defer buffers.giveBack()

	var sent []*minio.CompletePart // each is written by the one goroutine that sends it
	var readFailure error
	for last := false; ; {
		if len(sent) == maxParts {
			readFailure = fmt.Errorf("put blob %s: %w: S3 takes %d parts of %d bytes", u.key, ErrLong, maxParts, partSize)
			break
		}
		result := &minio.CompletePart{PartNumber: len(sent) + 1}
		sent = append(sent, result)
		content := part
		group.Go(func() error {
			defer func() { buffers.free <- content[:cap(content)] }()
			return u.sendPart(sending, id, content, result)
		})
		if last {
			break
		}
		buffer := buffers.next()
		if going.Err() != nil {
			break // a part failed, or the caller gave up: Wait says so
		}
		if part, last, readFailure = u.fill(buffer); readFailure != nil {
			readFailure = fmt.Errorf("put blob %s: %w", u.key, readFailure)
			break
		}
		if len(part) == 0 {
			break
		}
	}
	if readFailure != nil {
		cancel()
		_ = group.Wait() // the parts on their way do not matter any more, but have to be answered before the upload is aborted
		return nil, readFailure
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("put blob %s: %w", u.key, context.Cause(ctx))
	}
	parts := make([]minio.CompletePart, len(sent))
	for i, result := range sent {
		parts[i] = *result
	}
	return parts, nil
}

// lingering is a context for sending: when ctx ends, what is on its way still has a moment to be answered. An S3 may go on
// with a request whose sender has left, so that what is removed meanwhile comes back: S3 itself warns that a part which
// arrives during an abort can outlive it.
func (s *S3) lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timer := time.AfterFunc(math.MaxInt64, cancel)
	unwatch := context.AfterFunc(ctx, func() { timer.Reset(s.cleaning()) })
	return sending, func() {
		unwatch()
		timer.Stop()
		cancel()
	}
}

// cleaning is how long removing what a failed upload left may take.
func (s *S3) cleaning() time.Duration { return min(cleanTime, s.patience) }

// moving is a context that ends when an S3 takes nothing of the content, and after the last of it does not answer, for twice a call's
// time: however slowly bytes go, they go. What left last may wait in the connection's buffers, which takes a slow line its time, too.
func (s *S3) moving(ctx context.Context, content []byte) (context.Context, io.Reader, context.CancelFunc) {
	within, cancel := context.WithCancel(ctx)
	silence := time.AfterFunc(2*s.patience, cancel)
	body := &leaving{content: bytes.NewReader(content), moved: func(left int) {
		patience := 2 * s.patience
		if left == 0 {
			patience += time.Duration(len(content)) * time.Second / sendRate
		}
		silence.Reset(patience)
	}}
	return within, body, func() { silence.Stop(); cancel() }
}

// leaving is content that tells when some of it leaves, and how many bytes are left. It can be sought, so that the client can send
// it again.
type leaving struct {
	content *bytes.Reader
	moved   func(left int)
}

// Read implements io.Reader.
func (l *leaving) Read(p []byte) (int, error) {
	n, err := l.content.Read(p)
	l.moved(l.content.Len())
	return n, err
}

// Seek implements io.Seeker.
func (l *leaving) Seek(offset int64, whence int) (int64, error) {
	return l.content.Seek(offset, whence)
}

// sendPart sends one part with its CRC-32C, which the S3 checks, and notes what completing needs.
func (u *upload) sendPart(ctx context.Context, id string, content []byte, result *minio.CompletePart) error {
	within, body, cancel := u.s3.moving(ctx, content)
	defer cancel()
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
	result.ChecksumCRC32C = base64.StdEncoding.EncodeToString(sum)
	part, err := u.s3.core.PutObjectPart(within, u.s3.bucket, string(u.key), id, result.PartNumber, body, int64(len(content)),
		minio.PutObjectPartOptions{DisableContentSha256: true, CustomHeader: http.Header{checksumHeader: {result.ChecksumCRC32C}}})
	if err != nil {
		return u.s3.fault(ctx, fmt.Sprintf("put part %d of blob", result.PartNumber), string(u.key), err)
	}
	result.ETag = part.ETag
	return nil
}

// partBuffers are the buffers of one upload. next and giveBack belong to the goroutine that reads.
type partBuffers struct {
	spare chan struct{} // shared by all uploads
	free  chan []byte   // of this upload, not on their way
	extra int           // tokens taken from spare
}

// next answers a buffer: one that is free, else one more if there may be one, else the first that becomes free. An upload
// always has one, so uploads never wait for each other.
func (b *partBuffers) next() []byte {
	select {
	case buffer := <-b.free:
		return buffer
	default:
	}
	if b.extra < extraBuffers {
		select {
		case b.spare <- struct{}{}:
			b.extra++
			return make([]byte, partSize)
		default:
		}
	}
	return <-b.free
}

func (b *partBuffers) giveBack() {
	for range b.extra {
		<-b.spare
	}
}

// clean removes what a failed upload may have left; without the caller's context, which may be what ended it. The upload's own
// failure is what matters to the caller, and says whether the S3 can be reached: what cannot be removed is left to Sweep.
func (u *upload) clean(ctx context.Context, id string) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.s3.cleaning())
	defer cancel()
	if id != "" {
		_ = u.s3.core.AbortMultipartUpload(within, u.s3.bucket, string(u.key), id)
	}
	// The S3 may have stored it although its answer did not arrive.
	_ = u.s3.core.RemoveObject(within, u.s3.bucket, string(u.key), minio.RemoveObjectOptions{})
}
