package blobs

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/domain"
)

// Signed is a request that its holder may send to the S3 without credentials, until it expires. Headers have to be sent with
// exactly these values: they are part of the signature.
type Signed struct {
	Method  string
	URL     string
	Headers map[string]string
	Expires time.Time // UTC
}

// SignedPart is one part of a signed multipart upload.
type SignedPart struct {
	Signed
	Number int // from 1
	Size   int64
}

// SignedUpload is a multipart upload that was begun: every part may be sent, in any order, several at once, and again.
type SignedUpload struct {
	UploadID string
	PartSize int64 // of all parts but the last
	Parts    []SignedPart
}

// Upload says what a client announced that it will send.
type Upload struct {
	Size        int64 // bytes
	ContentType string
	Digest      domain.Digest // "": not announced
}

// Limits of signed requests.
const (
	MaxSignedPut  = 5 << 30 // bytes of a single PUT, S3's own limit
	MaxPutTime    = 24 * time.Hour
	minSignedPart = 16 << 20 // bytes
)

// SignPut signs one PUT of a whole blob. The S3 refuses another length or type and, when the digest was announced, other
// bytes. Compare with Hash even so: not every S3 does.
func (s *S3) SignPut(ctx context.Context, key domain.ObjectKey, u Upload, life time.Duration) (Signed, error) {
	if u.Size < 0 || u.Size > MaxSignedPut {
		return Signed{}, fmt.Errorf("sign put of %s: %d bytes", key, u.Size)
	}
	headers := http.Header{"Content-Length": {strconv.FormatInt(u.Size, 10)}}
	if u.ContentType != "" {
		headers.Set("Content-Type", u.ContentType)
	}
	if u.Digest != "" {
		sum, err := hex.DecodeString(string(u.Digest))
		if err != nil || len(sum) != 32 {
			return Signed{}, fmt.Errorf("sign put of %s: %q is no SHA-256", key, u.Digest)
		}
		headers.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum))
	}
	return s.sign(ctx, key, min(life, MaxPutTime), nil, headers)
}

// SignMultipart begins a multipart upload and signs its parts. Whoever asked completes it (CompleteMultipart) or not (Sweep).
func (s *S3) SignMultipart(ctx context.Context, key domain.ObjectKey, u Upload, life time.Duration) (SignedUpload, error) {
	if u.Size <= 0 {
		return SignedUpload{}, fmt.Errorf("sign upload of %s: %d bytes", key, u.Size)
	}
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	id, err := s.core.NewMultipartUpload(within, s.bucket, string(key), minio.PutObjectOptions{ContentType: u.ContentType})
	if err != nil {
		return SignedUpload{}, s.fault(ctx, "begin upload of", string(key), err)
	}
	// No more than S3's 10,000 parts, in whole MiB.
	size := max(minSignedPart, (u.Size/maxParts+1<<20)>>20<<20)
	upload := SignedUpload{UploadID: id, PartSize: size}
	for from := int64(0); from < u.Size; from += size {
		number, length := len(upload.Parts)+1, min(size, u.Size-from)
		query := url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {id}}
		headers := http.Header{"Content-Length": {strconv.FormatInt(length, 10)}}
		signed, err := s.sign(ctx, key, min(life, MaxPutTime), query, headers)
		if err != nil {
			return SignedUpload{}, err
		}
		upload.Parts = append(upload.Parts, SignedPart{Signed: signed, Number: number, Size: length})
	}
	return upload, nil
}

func (s *S3) sign(ctx context.Context, key domain.ObjectKey, life time.Duration, query url.Values, headers http.Header) (Signed, error) {
	if life < time.Second {
		return Signed{}, fmt.Errorf("sign put of %s: a life of %s is under a second", key, life)
	}
	// Signed at or after this moment, and S3 counts in whole seconds.
	expires := time.Now().UTC().Truncate(time.Second).Add(life.Truncate(time.Second))
	address, err := s.public.PresignHeader(ctx, http.MethodPut, s.bucket, string(key), life.Truncate(time.Second), query, headers)
	if err != nil {
		return Signed{}, fmt.Errorf("sign put of %s: %w", key, err)
	}
	signed := Signed{Method: http.MethodPut, URL: address.String(), Expires: expires, Headers: make(map[string]string, len(headers))}
	for name, values := range headers {
		signed.Headers[name] = values[0]
	}
	return signed, nil
}
