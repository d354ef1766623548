package writeapi

import (
	"encoding/json"

	"github.com/mediavault-io/mediavault/internal/web"
)

// optional is a field of a merge patch (RFC 7396): not given, null, or a value.
type optional[T any] struct {
	given bool
	null  bool
	value T
}

// UnmarshalJSON implements json.Unmarshaler; it is only called for a field that is given.
func (o *optional[T]) UnmarshalJSON(data []byte) error {
	*o = optional[T]{given: true}
	if string(data) == "null" {
		o.null = true
		return nil
	}
	if err := json.Unmarshal(data, &o.value); err != nil {
		return web.ErrWrongType.Because("accepted is " + web.Accepts[T]() + ", or null")
	}
	return nil
}

// pointer is nil when the field is not given, and the zero value when it is null.
func (o optional[T]) pointer() *T {
	if !o.given {
		return nil
	}
	return &o.value
}
