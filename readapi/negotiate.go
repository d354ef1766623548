package readapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// The forms in which rows and events are answered.
const (
	formJSON   = "json"
	formCSV    = "csv"
	formNDJSON = "ndjson"
	formSSE    = "sse"
)

// formTypes are the content types by which Accept names a form.
func formTypes(form string) []string {
	switch form {
	case formCSV:
		return []string{"text/csv"}
	case formNDJSON:
		return []string{"application/x-ndjson", "application/ndjson", "application/jsonl"}
	case formSSE:
		return []string{"text/event-stream"}
	default:
		return []string{"application/json"}
	}
}

// errNotAcceptable is an Accept that none of the forms meets.
var errNotAcceptable = domain.Refuse(domain.Invalid, "not_acceptable", "none of the forms that there are is accepted")

// form is which of the forms is asked for: by ?format=, or by Accept, or the first.
func form(r *http.Request, q *web.Query, forms ...string) (string, error) {
	if asked := q.Enum("format", "", forms...); asked != "" {
		return asked, nil
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return forms[0], nil
	}
	best, chosen := 0.0, ""
	for _, f := range forms {
		for _, kind := range formTypes(f) {
			if weight := quality(accept, kind); weight > best {
				best, chosen = weight, f
			}
		}
	}
	if chosen == "" {
		return "", errNotAcceptable.On("Accept").Because("there is " + strings.Join(forms, ", "))
	}
	return chosen, nil
}

// quality is the weight that an Accept gives to a type (RFC 9110, section 12.5.1): that of the most specific range.
func quality(accept, kind string) float64 {
	weight, closest := 0.0, 0
	major, _, _ := strings.Cut(kind, "/")
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		near := 0
		switch name {
		case kind:
			near = 3
		case major + "/*":
			near = 2
		case "*/*":
			near = 1
		}
		if near <= closest {
			continue
		}
		closest, weight = near, 1
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			weight = min(1, max(0, q))
		}
	}
	return weight
}
