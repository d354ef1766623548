package readapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
)

// ticketOf is the cookie by which a player goes on with what it opened through a share with a limit: without it each part that it
// fetches would be an open. There is one for each thing that the path delivers. How long it is good, the recorder knows. Its value is empty where the request has none.
func ticketOf(r *http.Request, d delivery) *http.Cookie {
	c := &http.Cookie{
		Name: "vault-open-" + string(domain.DigestOf(d.serving.What + " " + string(d.object)))[:8], Path: r.URL.EscapedPath(),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https", // who lies about it harms himself alone
	}
	if shown, err := r.Cookie(c.Name); err == nil && len(shown.Value) <= maxToken {
		c.Value = shown.Value
	}
	return c
}
