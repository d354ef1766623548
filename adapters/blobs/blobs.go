// Package blobs keeps bytes in S3: MinIO, AWS or any other that speaks its protocol. It streams; no call holds a whole file
// in memory. It knows nothing of who may see what, and writes nothing but bytes.
package blobs

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/domain"
)

var (
	// ErrUnavailable is an S3 that does not answer, or answers that it cannot now. Trying again later may help.
	ErrUnavailable = errors.New("blob store is unavailable")
	// ErrFull is an ErrUnavailable of an S3 that has no room left, or no more for this bucket: asking again helps once somebody has made
	// some.
	ErrFull = fmt.Errorf("%w: there is no room left", ErrUnavailable)
	// ErrNotFound is a key under which nothing is stored.
	ErrNotFound = errors.New("no such blob")
	// ErrNoUpload is a multipart upload that was never begun, or is completed or aborted.
	ErrNoUpload = errors.New("no such upload")
	// ErrIncomplete is a multipart upload whose parts are not the ones that were announced.
	ErrIncomplete = errors.New("upload is incomplete")
	// ErrShort is a reader that ended before the size that was announced.
	ErrShort = errors.New("fewer bytes than announced")
	// ErrLong is a reader that went on after the size that was announced.
	ErrLong = errors.New("more bytes than announced")
	// ErrChanged is a blob that was replaced while it was being read.
	ErrChanged = errors.New("blob changed while it was read")
)

// Config says where the S3 is and how to use it.
type Config struct {
	Endpoint  string // host:port, or a URL with http or https
	Secure    bool   // TLS, when Endpoint has no scheme
	AccessKey string
	SecretKey string
	Region    string // "" is us-east-1
	Bucket    string // made when missing
	// PublicEndpoint is what clients reach the S3 under, for signed URLs: a URL, or host:port. "": the same as Endpoint.
	PublicEndpoint string
	// Secret isolates owners: object keys begin with a keyed hash of the owner. It must not change once there are blobs, or
	// an owner's new blobs get another prefix (nothing else breaks). nil: an unkeyed hash.
	Secret []byte
	// Timeout bounds a call that does not stream, and, twice over, each silence of one that does; 0: 15 s.
	Timeout time.Duration
}

// Info is what is known of a stored blob.
type Info struct {
	Key         domain.ObjectKey
	Size        int64         // bytes
	Digest      domain.Digest // of the bytes; only Put and Hash know it
	ContentType string        // as it was stored, which may be what a client claimed
	ETag        string        // of S3, without quotes: changes when the bytes do
	Modified    time.Time     // UTC
}

// S3 is a bucket. Its methods are safe for concurrent use. Each has a deadline of its own, or one on progress where it
// streams, besides the caller's context.
type S3 struct {
	core     minio.Core
	public   *minio.Client // signs, never connects
	bucket   string
	secret   []byte
	patience time.Duration // for a call that does not stream
	spare    chan struct{} // a token per buffer that uploads may have beyond their first
}

// Deadlines, where Config.Timeout does not make them shorter.
const (
	callTime   = 15 * time.Second
	pingTime   = 3 * time.Second
	cleanTime  = 5 * time.Second  // for removing what a failed upload left
	deriveTime = 10 * time.Minute // for removing all that was made of an item
	maxRetries = 4

	sendRate = 256 << 10 // bytes a second, at least, at which a connection's buffers empty
	joinRate = 16 << 20  // bytes a second, at least, at which an S3 puts parts together: some do so only when asked to complete
)

// Open connects to the bucket, and makes it when it is missing.
func Open(ctx context.Context, c Config) (*S3, error) {
	if c.Bucket == "" || c.Endpoint == "" {
		return nil, errors.New("open blob store: endpoint and bucket have to be given")
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.PublicEndpoint == "" {
		c.PublicEndpoint = c.Endpoint
	}
	inner, err := newClient(c, c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	public, err := newClient(c, c.PublicEndpoint)
	if err != nil {
		return nil, fmt.Errorf("open blob store: public endpoint: %w", err)
	}
	s := &S3{
		core: minio.Core{Client: inner}, public: public, bucket: c.Bucket, secret: c.Secret, patience: cmp.Or(c.Timeout, callTime),
		spare: make(chan struct{}, spareBuffers),
	}
	if err := s.ensureBucket(ctx, c.Region); err != nil {
		return nil, err
	}
	return s, nil
}

func newClient(c Config, endpoint string) (*minio.Client, error) {
	secure := c.Secure
	if scheme, rest, ok := strings.Cut(endpoint, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return nil, fmt.Errorf("%q has to begin with http:// or https://", endpoint)
		}
		secure, endpoint = scheme == "https", strings.TrimSuffix(rest, "/")
	}
	return minio.New(endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure:     secure,
		Region:     c.Region, // known, so that signing asks nobody
		MaxRetries: maxRetries,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ExpectContinueTimeout: time.Second,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       time.Minute,
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        64 << 10,
			// Bytes are stored as they are; asking for gzip would change them.
			DisableCompression: true,
		},
	})
}

func (s *S3) ensureBucket(ctx context.Context, region string) error {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	there, err := s.core.BucketExists(within, s.bucket)
	if err != nil {
		return s.fault(ctx, "open bucket", s.bucket, err)
	}
	if there {
		return nil
	}
	err = s.core.MakeBucket(within, s.bucket, minio.MakeBucketOptions{Region: region})
	if code := minio.ToErrorResponse(err).Code; err != nil && code != "BucketAlreadyOwnedByYou" {
		return s.fault(ctx, "make bucket", s.bucket, err)
	}
	return nil
}

// NewKey makes a key for bytes of the owner: a prefix of the owner's own, which does not tell whose it is, and 128 random bits.
func (s *S3) NewKey(owner domain.UserID) domain.ObjectKey {
	prefix := hmac.New(sha256.New, s.secret)
	_, _ = io.WriteString(prefix, "blob owner\x00"+string(owner)) // a hash never fails
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return domain.ObjectKey(hex.EncodeToString(prefix.Sum(nil)[:16]) + "/" + hex.EncodeToString(random))
}

// Stat answers what is known of a blob, without its bytes. ErrNotFound.
func (s *S3) Stat(ctx context.Context, key domain.ObjectKey) (Info, error) {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	object, err := s.core.StatObject(within, s.bucket, string(key), minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s.fault(ctx, "stat blob", string(key), err)
	}
	return infoOf(key, object), nil
}

// Delete removes a blob. One that is not there is no error.
func (s *S3) Delete(ctx context.Context, key domain.ObjectKey) error {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := s.core.RemoveObject(within, s.bucket, string(key), minio.RemoveObjectOptions{})
	if err != nil && !isNotFound(err) {
		return s.fault(ctx, "delete blob", string(key), err)
	}
	return nil
}

// Ping asks whether the bucket answers, within 3 s at most.
func (s *S3) Ping(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, min(pingTime, s.patience))
	defer cancel()
	there, err := s.core.BucketExists(within, s.bucket)
	if err != nil {
		return s.fault(ctx, "ping bucket", s.bucket, err)
	}
	if !there {
		return fmt.Errorf("ping bucket %s: %w: there is no such bucket", s.bucket, ErrUnavailable)
	}
	return nil
}

func infoOf(key domain.ObjectKey, o minio.ObjectInfo) Info {
	return Info{Key: key, Size: o.Size, ContentType: o.ContentType, ETag: o.ETag, Modified: o.LastModified.UTC()}
}

// fault says what was being done, and which of this package's errors it is.
func (s *S3) fault(ctx context.Context, what, name string, err error) error {
	code := minio.ToErrorResponse(err).Code
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", what, name, context.Cause(ctx))
	case isNotFound(err):
		return fmt.Errorf("%s %s: %w", what, name, ErrNotFound)
	case code == "NoSuchUpload":
		return fmt.Errorf("%s %s: %w", what, name, ErrNoUpload)
	case code == "InvalidPart" || code == "InvalidPartOrder" || code == "EntityTooSmall":
		return fmt.Errorf("%s %s: %w: %w", what, name, ErrIncomplete, err)
	case code == "PreconditionFailed":
		return fmt.Errorf("%s %s: %w", what, name, ErrChanged)
	case isFull(err):
		return fmt.Errorf("%s %s: %w: %w", what, name, ErrFull, err)
	case isUnavailable(err):
		return fmt.Errorf("%s %s: %w: %w", what, name, ErrUnavailable, err)
	default:
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
}

func isNotFound(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == "NoSuchKey" || code == "NotFound"
}

// isFull reports whether the server has no room left. What it says then is not S3's but each server's own: MinIO, versitygw and Ceph.
func isFull(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "QuotaExceeded":
		return true
	}
	return answer.StatusCode == http.StatusInsufficientStorage
}

// isUnavailable reports whether the server could not be reached, did not answer in time (then it was we who ended the call: the
// caller's own end was looked at before), or answered with a 5xx or 429.
func isUnavailable(err error) bool {
	var network net.Error
	var request *url.Error
	if errors.As(err, &network) || errors.As(err, &request) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests ||
		answer.Code == "SlowDown" || answer.Code == "InternalError" || answer.Code == "ServiceUnavailable")
}
