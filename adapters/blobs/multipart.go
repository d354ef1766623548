package blobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/domain"
)

// Part is one part of a multipart upload, as the client that sent it knows it.
type Part struct {
	Number int    // from 1
	ETag   string // that the S3 answered
}

// CompleteMultipart puts the parts together. Without parts it takes those that the S3 has, for clients that could not read the
// ETags. size is the whole's, in bytes; -1 when it is not known. Completing twice answers the same.
//
// Errors: ErrNoUpload; ErrIncomplete when parts are missing or wrong, or sum up to another size, and the upload goes on;
// ErrUnavailable.
func (s *S3) CompleteMultipart(ctx context.Context, key domain.ObjectKey, uploadID string, parts []Part, size int64) (Info, error) {
	stored, err := s.storedParts(ctx, key, uploadID)
	if errors.Is(err, ErrNoUpload) {
		// It may have been completed before, by a request whose answer was lost.
		if info, errStat := s.Stat(ctx, key); errStat == nil && (size < 0 || info.Size == size) {
			return info, nil
		}
		return Info{}, err
	}
	if err != nil {
		return Info{}, err
	}
	chosen, err := choose(stored, parts, size)
	if err != nil {
		return Info{}, fmt.Errorf("complete upload of %s: %w", key, err)
	}
	if _, err := s.complete(ctx, key, uploadID, chosen, size); err != nil {
		return Info{}, err
	}
	return s.Stat(ctx, key)
}

// choose checks the parts that a client names against those that the S3 has.
func choose(stored []minio.ObjectPart, named []Part, size int64) ([]minio.CompletePart, error) {
	if len(stored) == 0 {
		return nil, fmt.Errorf("%w: no part has arrived", ErrIncomplete)
	}
	if len(named) == 0 {
		for _, part := range stored {
			named = append(named, Part{Number: part.PartNumber, ETag: part.ETag})
		}
	}
	byNumber := make(map[int]minio.ObjectPart, len(stored))
	for _, part := range stored {
		byNumber[part.PartNumber] = part
	}
	named = slices.Clone(named)
	slices.SortFunc(named, func(a, b Part) int { return cmp.Compare(a.Number, b.Number) })
	var sum int64
	var chosen []minio.CompletePart
	for i, part := range named {
		there, ok := byNumber[part.Number]
		switch {
		case part.Number != i+1:
			return nil, fmt.Errorf("%w: part %d is missing or named twice", ErrIncomplete, i+1)
		case !ok:
			return nil, fmt.Errorf("%w: part %d has not arrived", ErrIncomplete, part.Number)
		case part.ETag != "" && trimQuotes(part.ETag) != trimQuotes(there.ETag):
			return nil, fmt.Errorf("%w: part %d has another ETag", ErrIncomplete, part.Number)
		}
		sum += there.Size
		chosen = append(chosen, minio.CompletePart{PartNumber: part.Number, ETag: there.ETag, ChecksumCRC32C: there.ChecksumCRC32C})
	}
	if size >= 0 && sum != size {
		return nil, fmt.Errorf("%w: the parts have %d bytes of %d", ErrIncomplete, sum, size)
	}
	return chosen, nil
}

func trimQuotes(etag string) string {
	if len(etag) >= 2 && etag[0] == '"' && etag[len(etag)-1] == '"' {
		return etag[1 : len(etag)-1]
	}
	return etag
}

func (s *S3) storedParts(ctx context.Context, key domain.ObjectKey, uploadID string) ([]minio.ObjectPart, error) {
	var parts []minio.ObjectPart
	for marker := 0; ; {
		within, cancel := context.WithTimeout(ctx, s.patience)
		page, err := s.core.ListObjectParts(within, s.bucket, string(key), uploadID, marker, 1000)
		cancel()
		if err != nil {
			return nil, s.fault(ctx, "list the parts of", string(key), err)
		}
		parts = append(parts, page.ObjectParts...)
		if !page.IsTruncated || len(page.ObjectParts) == 0 {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// complete puts parts together, and answers the ETag. An answer that is lost is found again by looking at the blob: its key is
// used once only.
func (s *S3) complete(ctx context.Context, key domain.ObjectKey, uploadID string, parts []minio.CompletePart, size int64) (string, error) {
	within, cancel := context.WithTimeout(ctx, 2*s.patience+time.Duration(max(size, 0)/joinRate)*time.Second)
	defer cancel()
	info, err := s.core.CompleteMultipartUpload(within, s.bucket, string(key), uploadID, parts, minio.PutObjectOptions{})
	if err == nil {
		return info.ETag, nil
	}
	fault := s.fault(ctx, "complete upload of", string(key), err)
	if errors.Is(fault, ErrNoUpload) {
		if there, errStat := s.Stat(ctx, key); errStat == nil && (size < 0 || there.Size == size) {
			return there.ETag, nil
		}
	}
	return "", fault
}

// AbortMultipart forgets an upload and its parts. One that is not there is no error.
func (s *S3) AbortMultipart(ctx context.Context, key domain.ObjectKey, uploadID string) error {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := s.core.AbortMultipartUpload(within, s.bucket, string(key), uploadID)
	if err != nil {
		if err = s.fault(ctx, "abort upload of", string(key), err); errors.Is(err, ErrNoUpload) || errors.Is(err, ErrNotFound) {
			return nil
		}
	}
	return err
}

// Sweep aborts multipart uploads that were begun before a moment and never completed: of clients that gave up, and of processes
// that were killed. It answers how many.
func (s *S3) Sweep(ctx context.Context, before time.Time) (int, error) {
	swept := 0
	// Pages are bounded by the S3 at 1,000; aborting while listing would shift the pages, so each is listed first.
	for keyMarker, idMarker := "", ""; ; {
		within, cancel := context.WithTimeout(ctx, s.patience)
		page, err := s.core.ListMultipartUploads(within, s.bucket, "", keyMarker, idMarker, "", 1000)
		cancel()
		if err != nil {
			return swept, s.fault(ctx, "list uploads of", s.bucket, err)
		}
		for _, upload := range page.Uploads {
			if !upload.Initiated.Before(before) {
				continue
			}
			if err := s.AbortMultipart(ctx, domain.ObjectKey(upload.Key), upload.UploadID); err != nil {
				return swept, err
			}
			swept++
		}
		if !page.IsTruncated || len(page.Uploads) == 0 {
			return swept, nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
