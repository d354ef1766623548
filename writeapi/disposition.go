package writeapi

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// maxHeader bounds, in bytes, a header that is parsed here.
const maxHeader = 16 << 10

// disposition reads a Content-Disposition (RFC 6266; RFC 7578 in forms). filename* counts more than filename. The name is
// given as it was sent, folders and all: whether it is a good name is for the domain to say.
func disposition(value string) (kind string, params map[string]string, err error) {
	refused := domain.ErrInvalid.On("Content-Disposition").Because(`accepted is, for instance, attachment; filename="harbour.jpg"`)
	if len(value) > maxHeader || !utf8.ValidString(value) {
		return "", nil, refused
	}
	kind, params, err = mime.ParseMediaType(value)
	if err != nil {
		return "", nil, refused
	}
	for name, v := range params {
		if !utf8.ValidString(v) {
			return "", nil, refused.Because(name + " is not UTF-8")
		}
	}
	return kind, params, nil
}

// formName undoes what browsers do to a name in a form (WHATWG HTML, "multipart/form-data encoding algorithm"): of the characters
// that would break the header, and of these only.
var formName = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n")

// bodyDigest is the SHA-256 of the body that Content-Digest (RFC 9530) or Digest (RFC 3230) say; "" when neither does. Other
// algorithms are ignored, as both specifications allow.
func bodyDigest(h http.Header) (domain.Digest, error) {
	var sum domain.Digest
	for _, name := range []string{"Content-Digest", "Digest"} {
		for _, value := range h.Values(name) {
			if len(value) > maxHeader {
				return "", errDigest.On(name)
			}
			for member := range strings.SplitSeq(value, ",") {
				key, encoded, _ := strings.Cut(strings.TrimSpace(member), "=")
				if !strings.EqualFold(key, "sha-256") {
					continue
				}
				if name == "Content-Digest" {
					inner, ok := strings.CutPrefix(encoded, ":")
					if encoded, _, _ = strings.Cut(inner, ":"); !ok || !strings.Contains(inner, ":") {
						return "", errDigest.On(name).Because("accepted is sha-256=:<base64>:")
					}
				}
				raw, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil || len(raw) != 32 {
					return "", errDigest.On(name).Because("a SHA-256 has 32 bytes, in base64")
				}
				given := domain.Digest(hex.EncodeToString(raw))
				if sum != "" && sum != given {
					return "", errDigests.On(name)
				}
				sum = given
			}
		}
	}
	return sum, nil
}
