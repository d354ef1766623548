package web

import (
	"net/http"
	"strconv"
)

// List is how lists are answered.
type List[T any] struct {
	Items []T   `json:"items"`
	Total int64 `json:"total"`
	// TotalExceeded says that there are more than Total: counting ends somewhere, so that no list costs more the more there is.
	TotalExceeded bool `json:"total_exceeded"`

	Page       int    `json:"page"`
	PageSize   int    `json:"page_size"`
	TotalPages int    `json:"total_pages"`
	HasNext    bool   `json:"has_next"`
	HasPrev    bool   `json:"has_prev"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// Page is which part of a list is asked for: by number, or, at the same cost on every page, by the cursor of the one before.
type Page struct {
	Number int    // from 1; with a cursor it only counts along
	Size   int    // items per page
	Cursor string // "" for the first page or when the number decides
}

// maxPage bounds page numbers, so that number times size always fits.
const maxPage = 1_000_000

// Page reads page, page_size and cursor.
func (q *Query) Page(size, maxSize int) Page {
	p := Page{
		Number: int(q.Int("page", 1, 1, maxPage)),
		Size:   int(q.Int("page_size", int64(size), 1, int64(maxSize))),
		Cursor: q.String("cursor", 4096),
	}
	if p.Cursor != "" && q.values.Get("page") != "" {
		q.Refuse("page", "with a cursor no page number is accepted: the cursor says where to go on")
	}
	return p
}

// Offset is how many items stand before the page, when its number decides.
func (p Page) Offset() int { return (p.Number - 1) * p.Size }

// NewList is one page of total items. next is the cursor of the page after it, "" when this is the last.
func NewList[T any](items []T, total int64, p Page, next string) List[T] {
	if items == nil {
		items = []T{}
	}
	pages := 0
	if p.Size > 0 {
		pages = int((total + int64(p.Size) - 1) / int64(p.Size))
	}
	return List[T]{
		Items: items, Total: total, Page: p.Number, PageSize: p.Size, TotalPages: pages,
		HasNext: next != "" || p.Cursor == "" && p.Number < pages, HasPrev: p.Cursor != "" || p.Number > 1, NextCursor: next,
	}
}

// Whole is a list that is answered as one page, because it is never long.
func Whole[T any](items []T) List[T] {
	return NewList(items, int64(len(items)), Page{Number: 1, Size: max(1, len(items))}, "")
}

// AtLeast says whether there are more items than the total of the list.
func (l List[T]) AtLeast(more bool) List[T] {
	l.TotalExceeded = more
	return l
}

// Written is how a write is answered. An answer that says more embeds it.
type Written struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Position int64  `json:"position"`
}

// Wrote answers a write: Location (where location is not ""), ETag, Vault-Position, and body, or the receipt when body is nil.
func Wrote(w http.ResponseWriter, status int, location string, receipt Written, body any) error {
	h := w.Header()
	if location != "" {
		h.Set("Location", location)
	}
	h.Set("ETag", ETag(receipt.Revision))
	h.Set("Vault-Position", strconv.FormatInt(receipt.Position, 10))
	if body == nil {
		body = receipt
	}
	return JSON(w, status, body)
}
