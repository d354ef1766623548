package config

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

func into[T any](field *T, s string, parse func(string) (T, error)) error {
	v, err := parse(s)
	if err == nil {
		*field = v
	}
	return err
}

func anything(s string) (string, error) { return s, nil }

func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", errors.New("not one of these")
	}
}

// eventStore reads which store holds the events. What an address says is read by who connects to it.
func eventStore(s string) (string, error) {
	for _, scheme := range []string{"esdb://", "esdb+discover://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok && rest != "" {
			return s, nil
		}
	}
	return oneOf("postgres")(s)
}

func level(s string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, ok := levels[strings.ToLower(s)]
	if !ok {
		return 0, errors.New("not a level")
	}
	return l, nil
}

func whole(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, errors.New("not a whole number")
		}
		if n < least || n > most {
			return 0, errors.New("out of bounds")
		}
		return n, nil
	}
}

func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("not a duration")
		}
		if d < least || d > most {
			return 0, errors.New("out of bounds")
		}
		return d, nil
	}
}

// list reads what is joined by commas; a single 0 is an empty list.
func list[T any](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(s string) ([]T, error) {
		var all []T
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part == "" || s == "0" {
				continue
			}
			v, err := parse(part)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", part, err)
			}
			all = append(all, v)
		}
		return all, nil
	}
}

func limit(s string) (Limit, error) {
	if s == "0" {
		return Limit{}, nil
	}
	requests, per, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(requests)
	d, errPer := time.ParseDuration(per)
	if !ok || err != nil || errPer != nil || n < 1 || d <= 0 {
		return Limit{}, errors.New("not a limit")
	}
	return Limit{Requests: n, Per: d}, nil
}

func size(s string) (int64, error) {
	units := []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 1 || n > (5<<40)/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, errors.New("not a size")
}

func address(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("not an address")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", errors.New("not a port")
	}
	return s, nil
}

func host(s string) (string, error) {
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Hostname() == "" {
		return "", errors.New("not a host")
	}
	return s, nil
}

func httpURL(s string) (string, error) {
	s = strings.TrimSuffix(s, "/")
	return s, checkURL(s)
}

// issuerURL keeps a slash at the end: tokens name their issuer to the letter.
func issuerURL(s string) (string, error) { return s, checkURL(s) }

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("not such a URL")
	}
	return nil
}

func origin(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	if u, err := url.Parse(s); err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != s {
		return "", errors.New("not an origin")
	}
	return s, nil
}

func network(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("not a network")
	}
	return p.Masked(), nil
}

func bucket(s string) (string, error) {
	if len(s) < 3 || len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return "", errors.New("not a bucket's name")
	}
	return s, nil
}

func postgresURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", errors.New("not a Postgres URL")
	}
	return s, nil
}

func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "[secret]"
	}
	if q := u.Query(); q.Has("password") || q.Has("sslpassword") {
		return "[secret]"
	}
	return u.Redacted()
}

func masterKeys(s string) ([]MasterKey, error) {
	keys, err := list(masterKey)(s)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.ID] {
			return nil, errors.New("two keys have the same name")
		}
		seen[k.ID] = true
	}
	if len(keys) == 0 {
		return nil, errors.New("no key")
	}
	return keys, nil
}

// masterKey names a key that has no name by its digest, so that it keeps that name wherever it stands in the list.
func masterKey(s string) (MasterKey, error) {
	id, text, named := strings.Cut(s, ":")
	if !named {
		text = s
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		data, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil || len(data) != 32 || named && (id == "" || len(id) > 64) {
		return MasterKey{}, errors.New("not a key")
	}
	k := MasterKey{ID: id, Key: [32]byte(data)}
	if !named {
		sum := sha256.Sum256(data)
		k.ID = hex.EncodeToString(sum[:4])
	}
	return k, nil
}

func maskKeys(s string) string {
	keys, err := masterKeys(s)
	if err != nil {
		return "[secret]"
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.ID + ":[secret]"
	}
	return strings.Join(names, ",")
}

// streamAddress is an address, with or without how to speak there.
func streamAddress(s string) (string, error) {
	bare := strings.TrimPrefix(strings.TrimPrefix(s, "tls://"), "plain://")
	_, err := address(bare)
	return s, err
}
