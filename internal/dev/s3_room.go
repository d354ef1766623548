//go:build unix

package dev

import (
	"context"
	"errors"
	"syscall"

	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"golang.org/x/sys/unix"
)

// roomStore is the gateway's storage, but that it says so wherever there is no room left: the gateway does when bytes do not fit, and
// says something else when a folder does not.
type roomStore struct {
	*posix.Posix
	objects string
}

// PutObject implements the gateway's backend.
func (r roomStore) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	out, err := r.Posix.PutObject(ctx, in)
	return out, r.said(err)
}

// CreateMultipartUpload implements the gateway's backend.
func (r roomStore) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	out, err := r.Posix.CreateMultipartUpload(ctx, in)
	return out, r.said(err)
}

func (r roomStore) said(err error) error {
	var answer s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
	case errors.As(err, &answer) && !errors.Is(err, s3err.GetAPIError(s3err.ErrExistingObjectIsDirectory)), !r.full():
		return err
	}
	return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
}

// full reports whether no block, or no file, is left for anybody.
func (r roomStore) full() bool {
	var disk unix.Statfs_t
	if err := unix.Statfs(r.objects, &disk); err != nil {
		return false
	}
	return disk.Bavail == 0 || disk.Files > 0 && disk.Ffree == 0
}
