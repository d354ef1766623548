package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrAddress is a host that is, or leads to, an address that webhooks may not ask.
var ErrAddress = errors.New("the address is not a public one")

// Webhooks posts messages as the Standard Webhooks specification says (https://www.standardwebhooks.com, version 1.0.0):
// webhook-id, webhook-timestamp and webhook-signature, HMAC-SHA256 over all three parts.
type Webhooks struct {
	client *http.Client
	now    func() time.Time
}

// NewWebhooks makes a poster. timeout bounds one attempt, 0 is 15 s. private lets it ask addresses that are not public, for tests
// and for vaults whose receivers stand beside them.
func NewWebhooks(timeout time.Duration, private bool) *Webhooks {
	if timeout == 0 {
		timeout = 15 * time.Second
	}
	return posting(timeout, dialing(timeout, private))
}

func dialing(timeout time.Duration, private bool) *net.Dialer {
	dialer := &net.Dialer{Timeout: timeout / 2}
	if !private {
		// Asked when the address is known and before anything is sent: a name that resolves to something else the second time
		// (DNS rebinding) is asked about the address that is dialled.
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return public(address) }
	}
	return dialer
}

func posting(timeout time.Duration, dialer *net.Dialer) *Webhooks {
	return &Webhooks{
		now: time.Now,
		client: &http.Client{
			Timeout: timeout,
			Transport: &http.Transport{
				DialContext:         dialer.DialContext, // and no proxy: it would ask the address for us
				MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: timeout / 2, ResponseHeaderTimeout: timeout,
				ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
			},
			// Where a receiver sends us on is not where its owner told us to go.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// notPublic are networks that net/netip has no word for: shared and benchmark addresses, protocol assignments, documentation, site-local
// ones, and those that stand for IPv4 addresses or lead to them (RFC 6890, 6598, 2544, 6052, 3056, 4380, 3879, 7526, 9637, 9602).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrAddress
	}
	ip := at.Addr().Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return fmt.Errorf("%w: %s", ErrAddress, ip)
	}
	for _, network := range notPublic {
		if network.Contains(ip) {
			return fmt.Errorf("%w: %s", ErrAddress, ip)
		}
	}
	return nil
}

// Public reports whether the host of a URL may be public, without asking anybody: it is no address that is not, in any way of writing it
// that resolvers take, and not localhost. Where a name leads is asked when it is dialled.
func Public(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true // for others to say
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		var legacy bool
		if ip, legacy = legacyIPv4(host); !legacy {
			return true
		}
	}
	return public(netip.AddrPortFrom(ip, 0).String()) == nil
}

// legacyIPv4 reads what inet_aton takes besides four decimals: 127.1, 2130706433, 0x7f.0.0.1, 0177.0.0.1.
func legacyIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var all uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		last := i == len(parts)-1
		if err != nil || strings.Contains(part, "_") || !last && n > 255 || last && n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}, false
		}
		if last {
			all = all<<(8*(5-len(parts))) | n
		} else {
			all = all<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}

// Post sends a message once. id names the message, the same however often it is sent; each secret adds a signature. Errors: a
// *Failure, unless ctx ended.
func (w *Webhooks) Post(ctx context.Context, address, id string, body []byte, secrets []string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &Failure{code: "url", permanent: true, err: err}
	}
	at := w.now()
	signature, err := Sign(id, at, body, secrets)
	if err != nil {
		return &Failure{code: "secret", permanent: true, err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "MediaVault-Webhooks/1")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	res, err := w.client.Do(r)
	var network net.Error
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrAddress):
		return &Failure{code: "address_not_allowed", permanent: true, err: ErrAddress}
	case errors.As(err, &network) && network.Timeout():
		return &Failure{code: "timeout", err: errors.New("no answer in time")}
	default:
		return &Failure{code: "unreachable", err: err}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // what it says is not for us; the connection is
	if res.StatusCode/100 == 2 {
		return nil
	}
	return &Failure{
		code: "status_" + strconv.Itoa(res.StatusCode), permanent: res.StatusCode == http.StatusGone,
		err: fmt.Errorf("answered %d", res.StatusCode),
	}
}

// Sign is the webhook-signature of a message: one for each secret, the newest first.
func Sign(id string, at time.Time, body []byte, secrets []string) (string, error) {
	var all []string
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) < 24 {
			return "", errors.New("the secret is not whsec_ and at least 24 bytes in base64")
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(all) == 0 {
		return "", errors.New("there is no secret")
	}
	return strings.Join(all, " "), nil
}
