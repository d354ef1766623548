package config_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/config"
)

func TestDefaultsAreGood(t *testing.T) {
	t.Parallel()
	c, err := config.Load([]string{"HOME=/root", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != ":8080" || c.MaxUpload != 5<<30 || c.S3.Bucket != "mediavault" || !c.S3.TLS || c.OIDCAudience != "media-vault" ||
		c.LimitPerIP != (config.Limit{Requests: 100, Per: time.Minute}) || len(c.LimitPerPrincipal) != 2 || c.ShutdownGrace != 30*time.Second || len(c.Unknown) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{
		"MEDIAVAULT_ADDR=here", "MEDIAVAULT_MAX_UPLOAD=lots", "MEDIAVAULT_TRUSTED_PROXIES=10.0.0.0/8,home", "MEDIAVAULT_LOG_LEVEL=loud",
		"MEDIAVAULT_CORS_ORIGINS=example.org", "MEDIAVAULT_MASTER_KEY=c2VjcmV0LXNob3J0", "MEDIAVAULT_DATABASE_URL=mysql://u:hush-hush@h/d",
		"MEDIAVAULT_LIMIT_PER_IP=many/1m", "MEDIAVAULT_PAGE_SIZE=500", "MEDIAVAULT_S3_ENDPOINT=https://s3.example.org", "MEDIAVAULT_S3_TLS=maybe",
	}, config.Needs()...)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{
		"ADDR", "MAX_UPLOAD", "TRUSTED_PROXIES", "LOG_LEVEL", "CORS_ORIGINS", "MASTER_KEY", "DATABASE_URL", "LIMIT_PER_IP", "PAGE_SIZE",
		"S3_ENDPOINT", "S3_TLS", "S3_ACCESS_KEY is needed", "S3_SECRET_KEY is needed", "OIDC_ISSUER is needed",
	} {
		if !strings.Contains(err.Error(), "MEDIAVAULT_"+name) {
			t.Errorf("nothing about %s in %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hush-hush") || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("a secret in %v", err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load([]string{
		"MEDIAVAULT_DATABASE_URL=postgres://vault:hush-hush@db:5432/vault", "MEDIAVAULT_S3_SECRET_KEY_FILE=" + file, "MEDIAVAULT_MASTER_KEY=2026q4:" + key + ", " + key,
		"MEDIAVAULT_TRUSTED_PROXIES=10.1.2.3/8, ::1", "MEDIAVAULT_LIMIT_PER_PRINCIPAL=0", "MEDIAVAULT_MAX_UPLOAD=10MiB", "MEDIAVAULT_BASE_URL=https://vault.example.org/",
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	if all := out.String() + fmt.Sprint(c.MasterKeys); strings.Contains(all, "hush-hush") || strings.Contains(all, key) || !strings.Contains(all, "2026q4:[secret]") {
		t.Error(all)
	}
	if c.S3.SecretKey != "hush-hush" || len(c.MasterKeys) != 2 || c.MasterKeys[1].ID == "" || c.MaxUpload != 10<<20 || len(c.LimitPerPrincipal) != 0 ||
		c.TrustedProxies[0] != netip.MustParsePrefix("10.0.0.0/8") || c.TrustedProxies[1] != netip.MustParsePrefix("::1/128") || c.BaseURL != "https://vault.example.org" {
		t.Errorf("%+v", c)
	}
}

func TestMisspeltVariablesAreNoticed(t *testing.T) {
	t.Parallel()
	c, err := config.Load([]string{"MEDIAVAULT_ADRR=:1", "MEDIAVAULT_ADDR_FILE=x", "MEDIAVAULT_TEST_DATABASE_URL=x", "MEDIAVAULT_POSTGRES_BIN=/x", "MEDIAVAULT_S3_SECRET_KEY=a"})
	if err != nil || fmt.Sprint(c.Unknown) != "[MEDIAVAULT_ADDR_FILE MEDIAVAULT_ADRR]" {
		t.Errorf("%v %v", c.Unknown, err)
	}
}

func TestEveryVariableIsExplainedByItself(t *testing.T) {
	t.Parallel()
	c, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	// They are shown one at a time where one is missing: none may mean the line before.
	leans := regexp.MustCompile(`# (its|and|how$)\b|\b(to it|there|of them)\b( at most)?$`)
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(line); leans.MatchString(line) {
			t.Errorf("%s", line)
		}
	}
	if !strings.Contains(out.String(), "MEDIAVAULT_CACHE_DIR=") {
		t.Error("the folder of downloads is not among them")
	}
}

func TestASecretStandsInOnePlace(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"MEDIAVAULT_S3_SECRET_KEY=a", "MEDIAVAULT_S3_SECRET_KEY_FILE=/b"},
		{"MEDIAVAULT_S3_SECRET_KEY_FILE=" + filepath.Join(t.TempDir(), "missing")},
	} {
		if _, err := config.Load(env); err == nil {
			t.Errorf("%v was accepted", env)
		}
	}
}
