package commands

import (
	"context"
	"fmt"

	"github.com/mediavault-io/mediavault/domain"
)

// Look is what stored bytes look like.
type Look struct {
	Type string // MIME type, judged by content
	Size int64  // bytes
}

// Sniff answers the MIME type that first bytes look like, by the same rules as for an upload.
func (m *Media) Sniff(head []byte) string { return sniff(head) }

// SniffSize is how many first bytes Sniff looks at.
const SniffSize = sniffed

// Look looks at stored bytes again, for the reactor that screens. blobs.ErrNotFound when they are gone.
func (m *Media) Look(ctx context.Context, key domain.ObjectKey) (Look, error) {
	blob, err := m.blobs.Get(ctx, key)
	if err != nil {
		return Look{}, fmt.Errorf("look at blob: %w", err)
	}
	defer blob.Close()
	head, _, err := peek(blob)
	if err != nil {
		return Look{}, fmt.Errorf("look at blob: %w", err)
	}
	return Look{Type: sniff(head), Size: blob.Info.Size}, nil
}
