package blobs_test

import (
	"io"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/s3test"
)

// benchSize is 1 GiB: `go test -bench Put -benchtime 3x ./adapters/blobs` puts it through this package and, on the same
// server, through minio-go alone, of which ours should have at least 0.8.
const benchSize = 1 << 30

// endless yields the same noise again and again.
type endless struct {
	block []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	return n, nil
}

func BenchmarkPut(b *testing.B) {
	server := s3test.New(b)
	s := open(b, server)
	raw, err := minio.New(server.Endpoint(), &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey(), server.SecretKey(), "")})
	if err != nil {
		b.Fatal(err)
	}
	block := noise(4 << 20)
	content := func() io.Reader { return io.LimitReader(&endless{block: block}, benchSize) }
	// In turns, so that a machine that is busy for a while slows down both.
	var ours, theirs, unknown time.Duration
	measure := func(total *time.Duration, put func(key string) error) {
		key := string(s.NewKey("bench"))
		began := time.Now()
		if err := put(key); err != nil {
			b.Fatal(err)
		}
		*total += time.Since(began)
		if err := raw.RemoveObject(b.Context(), "vault", key, minio.RemoveObjectOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		measure(&theirs, func(key string) error {
			// As fast as it can: parts at once, and no second hash.
			_, err := raw.PutObject(b.Context(), "vault", key, content(), benchSize, minio.PutObjectOptions{
				ConcurrentStreamParts: true, NumThreads: 4, DisableContentSha256: true,
			})
			return err
		})
		measure(&ours, func(key string) error {
			_, err := s.Put(b.Context(), domain.ObjectKey(key), content(), benchSize, "")
			return err
		})
		measure(&unknown, func(key string) error {
			_, err := s.Put(b.Context(), domain.ObjectKey(key), content(), -1, "")
			return err
		})
	}
	rate := func(total time.Duration) float64 { return float64(b.N) * benchSize / (1 << 20) / total.Seconds() }
	b.ReportMetric(rate(theirs), "MiB/s(minio-go)")
	b.ReportMetric(rate(ours), "MiB/s(ours)")
	b.ReportMetric(rate(unknown), "MiB/s(size-unknown)")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ours/minio-go")
}
