package notify_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestSignaturesAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	// The example of the Standard Webhooks reference implementations.
	got, err := notify.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), []string{secret})
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s %v", got, err)
	}
	two, err := notify.Sign("a", time.Unix(1, 0), nil, []string{secret, "whsec_" + strings.Repeat("YWFh", 8)})
	if err != nil || strings.Count(two, "v1,") != 2 {
		t.Errorf("%s %v", two, err)
	}
	for _, bad := range [][]string{nil, {"whsec_"}, {"whsec_!!"}} {
		if _, err := notify.Sign("a", time.Unix(1, 0), nil, bad); err == nil {
			t.Errorf("%v signs", bad)
		}
	}
}

func code(t *testing.T, err error) (string, bool) {
	t.Helper()
	var f *notify.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no failure", err)
	}
	return f.Code(), f.Permanent()
}

func TestPost(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/ok":
			at, _ := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
			want, _ := notify.Sign(r.Header.Get("Webhook-Id"), time.Unix(at, 0), body, []string{secret})
			if r.Header.Get("Webhook-Signature") != want || r.Header.Get("Webhook-Id") != "n1" || time.Since(time.Unix(at, 0)) > time.Minute {
				t.Errorf("%v", r.Header)
			}
		case "/away":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/stuck":
			<-stuck
		}
	}))
	t.Cleanup(receiver.Close)
	t.Cleanup(func() { close(stuck) })
	hooks := notify.NewWebhooks(300*time.Millisecond, true)
	post := func(path string) error {
		return hooks.Post(t.Context(), receiver.URL+path, "n1", []byte(`{}`), []string{secret})
	}
	if err := post("/ok"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{"/away": "status_302", "/gone": "status_410", "/broken": "status_503", "/stuck": "timeout"} {
		if got, permanent := code(t, post(path)); got != want || permanent != (path == "/gone") {
			t.Errorf("%s: %s %v", path, got, permanent)
		}
	}
	if got, _ := code(t, hooks.Post(t.Context(), "http://127.0.0.1:1/", "n1", nil, []string{secret})); got != "unreachable" {
		t.Errorf("nobody there: %s", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hooks.Post(ended, receiver.URL+"/ok", "n1", nil, []string{secret}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestOnlyPublicAddressesAreAsked(t *testing.T) {
	t.Parallel()
	asked, port := notify.NewReceiver(t)
	hooks := notify.NewWebhooks(2*time.Second, false)
	for _, host := range []string{
		"127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254",
		"100.64.0.1", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255", "[::]", "[::7f00:1]", "198.18.0.1",
		"[fec0::1]", "[3fff::1]", "192.88.99.1",
	} {
		if at := "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + "/"; notify.Public(at) {
			t.Errorf("%s is taken for public", at)
		}
		err := hooks.Post(t.Context(), "http://"+net.JoinHostPort(strings.Trim(host, "[]"), port)+"/", "n1", []byte(`{}`), []string{secret})
		if got, _ := code(t, err); got != "address_not_allowed" && !(got == "unreachable" && host == "127.1") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if len(asked) > 0 {
		t.Error("a private address was asked")
	}
	var failure *notify.Failure
	if err := hooks.Post(t.Context(), "http://10.0.0.1/", "n1", []byte(`{}`), []string{secret}); !errors.As(err, &failure) || !failure.Permanent() {
		t.Errorf("what can never be asked is tried again: %v", err)
	}
	for _, host := range []string{"LOCALHOST", "localhost.", "hooks.localhost", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[fe80::1%25eth0]"} {
		if notify.Public("http://" + host + ":8080/h") {
			t.Errorf("%s is taken for public", host)
		}
	}
	for _, host := range []string{"hooks.example.org", "93.184.216.34", "[2606:2800:220:1::1]", "1.2.3.4.5", "localhost.example.org", "0x.example", "10.example.org"} {
		if !notify.Public("https://" + host + "/h") {
			t.Errorf("%s is not taken for public", host)
		}
	}
}
