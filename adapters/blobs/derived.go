package blobs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/domain"
)

// DerivedKey is the key of something that was made of an item's bytes: it follows from the item and the content's name, so that
// making it again puts the same bytes at the same place. All keys of an item begin alike.
func (s *S3) DerivedKey(owner domain.UserID, item domain.MediaID, name string) domain.ObjectKey {
	content := hmac.New(sha256.New, s.secret)
	_, _ = io.WriteString(content, "derived content\x00"+string(item)+"\x00"+name) // a hash never fails
	return domain.ObjectKey(s.derivedPrefix(owner, item) + hex.EncodeToString(content.Sum(nil)[:16]))
}

func (s *S3) derivedPrefix(owner domain.UserID, item domain.MediaID) string {
	prefix := hmac.New(sha256.New, s.secret)
	_, _ = io.WriteString(prefix, "blob owner\x00"+string(owner))
	of := hmac.New(sha256.New, s.secret)
	_, _ = io.WriteString(of, "derived of\x00"+string(item))
	return hex.EncodeToString(prefix.Sum(nil)[:16]) + "/" + hex.EncodeToString(of.Sum(nil)[:16]) + "-"
}

// DeleteDerived removes everything that was made of an item's bytes, also what nobody recorded.
func (s *S3) DeleteDerived(ctx context.Context, owner domain.UserID, item domain.MediaID) error {
	within, cancel := context.WithTimeout(ctx, deriveTime)
	defer cancel()
	for object := range s.core.ListObjectsIter(within, s.bucket, minio.ListObjectsOptions{Prefix: s.derivedPrefix(owner, item)}) {
		if object.Err != nil {
			return s.fault(ctx, "list what was derived of", string(item), object.Err)
		}
		if err := s.Delete(ctx, domain.ObjectKey(object.Key)); err != nil {
			return err
		}
	}
	return nil
}
