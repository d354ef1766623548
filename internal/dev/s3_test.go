//go:build unix

package dev_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/mediavault-io/mediavault/internal/dev"
)

// withTimeout is a context that ends before the test's patience does.
func withTimeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, s *dev.S3) *minio.Client {
	t.Helper()
	c, err := minio.New(s.Endpoint(), &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey(), s.SecretKey(), ""), Region: s.Region()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startS3(t *testing.T, dir string) *dev.S3 {
	t.Helper()
	s, err := dev.StartS3(withTimeout(t), dev.S3Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAnAcknowledgedUploadSurvivesAKill(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	s := startS3(t, t.TempDir())
	c := client(t, s)
	if err := c.MakeBucket(ctx, "vault", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("vault"), 1<<20)
	if _, err := c.PutObject(ctx, "vault", "a/b", bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	endpoint := s.Endpoint()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if s.Endpoint() != endpoint {
		t.Errorf("the endpoint went from %s to %s", endpoint, s.Endpoint())
	}
	object, err := c.GetObject(ctx, "vault", "a/b", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(object)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Error("other bytes came back")
	}
}

func TestCredentialsStayAndAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startS3(t, dir)
	if err := first.Stop(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	second := startS3(t, dir)
	if first.AccessKey() != second.AccessKey() || first.SecretKey() != second.SecretKey() {
		t.Error("other credentials after a restart")
	}
	info, err := os.Stat(filepath.Join(dir, "credentials.json"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("credentials are readable by others: %v", info.Mode())
	}
}

func TestWhereFilesCarryNoAttributesMetadataStandsBeside(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	// What a folder on a file system without attributes looks like after the first start.
	if err := os.Mkdir(filepath.Join(dir, "meta"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := startS3(t, dir)
	c := client(t, s)
	if err := c.MakeBucket(ctx, "vault", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutObject(ctx, "vault", "x/y/z", bytes.NewReader([]byte("hello")), 5, minio.PutObjectOptions{ContentType: "image/png"}); err != nil {
		t.Fatal(err)
	}
	info, err := c.StatObject(ctx, "vault", "x/y/z", minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if info.ContentType != "image/png" {
		t.Errorf("content type is %q", info.ContentType)
	}
}
