package blobs

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// SignParts signs the parts of a multipart upload that SignMultipart began, once more: for a client that lost the answer.
func (s *S3) SignParts(ctx context.Context, key domain.ObjectKey, uploadID string, size, whole int64, life time.Duration) ([]SignedPart, error) {
	if size <= 0 || whole <= 0 || whole > size*maxParts {
		return nil, fmt.Errorf("sign parts of %s: %d bytes in parts of %d", key, whole, size)
	}
	var parts []SignedPart
	for from := int64(0); from < whole; from += size {
		number, length := len(parts)+1, min(size, whole-from)
		query := url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {uploadID}}
		headers := http.Header{"Content-Length": {strconv.FormatInt(length, 10)}}
		signed, err := s.sign(ctx, key, min(life, MaxPutTime), query, headers)
		if err != nil {
			return nil, err
		}
		parts = append(parts, SignedPart{Signed: signed, Number: number, Size: length})
	}
	return parts, nil
}
