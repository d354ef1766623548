package blobs

import (
	"context"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/domain"
)

// listPage is how many blobs List answers at most; the S3's own bound.
const listPage = 1000

// List answers the next blobs after a key (empty: from the beginning), in the order of their keys, at most 1,000; none: that was all.
// What is stored meanwhile may be missing.
func (s *S3) List(ctx context.Context, after domain.ObjectKey) ([]Info, error) {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	var all []Info
	for o := range s.core.ListObjectsIter(within, s.bucket, minio.ListObjectsOptions{StartAfter: string(after), MaxKeys: listPage, Recursive: true}) {
		if o.Err != nil {
			return nil, s.fault(ctx, "list blobs of", s.bucket, o.Err)
		}
		if all = append(all, infoOf(domain.ObjectKey(o.Key), o)); len(all) == listPage {
			break
		}
	}
	return all, nil
}

// Derived reports whether a key is one of DerivedKey: of something that can be made again, and goes with its item.
func Derived(key domain.ObjectKey) bool {
	for i := len(key) - 1; i >= 0 && key[i] != '/'; i-- {
		if key[i] == '-' {
			return true
		}
	}
	return false
}
