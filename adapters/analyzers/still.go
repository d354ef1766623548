package analyzers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// ErrNoTool is a format that a tool knows which is not installed.
var ErrNoTool = errors.New("no tool that knows this format is installed")

// byHEIF and byFFmpeg are the formats of pictures that a tool decodes because nothing here does.
func byHEIF() []string {
	return []string{"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif"}
}

func byFFmpeg() []string {
	return []string{"image/avif", "image/jxl", "image/jp2", "image/jpx", "image/vnd.adobe.photoshop", "image/vnd.radiance", "image/x-icon"}
}

// Draws reports whether there is a tool, installed or not, that decodes pictures of this format.
func Draws(kind string) bool {
	return slices.Contains(byHEIF(), kind) || slices.Contains(byFFmpeg(), kind)
}

// Draws reports whether a tool that decodes pictures of this format is installed.
func (t Tools) Draws(kind string) bool {
	return t.HEIFThumbnailer != "" && slices.Contains(byHEIF(), kind) || t.FFmpeg != "" && slices.Contains(byFFmpeg(), kind)
}

// stillSide is how wide a picture that a tool draws is at most, in pixels; taller ones are as wide as high.
const stillSide = 1280

// Still is a picture, in a format that the child does not decode, as an upright PNG in small. It is as untrusted as the
// picture: examine it. Errors: ErrNoTool; ErrCannot.
func (t Tools) Still(ctx context.Context, in *os.File, kind string) ([]byte, error) {
	cannot := ErrNoTool
	if t.HEIFThumbnailer != "" && slices.Contains(byHEIF(), kind) {
		png, err := t.stillHEIF(ctx, in)
		if !errors.Is(err, ErrCannot) {
			return png, err
		}
		cannot = err
	}
	if t.FFmpeg == "" || !slices.Contains(byFFmpeg(), kind) {
		return nil, cannot
	}
	side := strconv.Itoa(stillSide)
	args := append(input(), "-frames:v", "1", "-vf", "scale='min("+side+",iw)':'min("+side+",ih)':force_original_aspect_ratio=decrease",
		"-f", "image2pipe", "-c:v", "png", "-pix_fmt", "rgba", "-threads", "1", "pipe:1")
	png, err := run(ctx, sandbox.Tool{Path: t.FFmpeg, Args: args, Files: []*os.File{in}, Limits: toolLimits(32<<20, 30*time.Second)})
	if err == nil && len(png) == 0 {
		err = fmt.Errorf("%w: no picture came of it", ErrCannot)
	}
	return png, err
}

// stillHEIF has a program of libheif decode the picture, which also turns it as it says.
func (t Tools) stillHEIF(ctx context.Context, in *os.File) ([]byte, error) {
	out, err := t.writeBy(ctx, t.HEIFThumbnailer, in, []string{"-p", "-s", strconv.Itoa(stillSide), "/dev/fd/3", "/dev/fd/4"}, 32<<20, 30*time.Second)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("read what was drawn: %w", err)
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: no picture came of it", ErrCannot)
	}
	png := make([]byte, info.Size())
	if _, err := out.ReadAt(png, 0); err != nil {
		return nil, fmt.Errorf("read what was drawn: %w", err)
	}
	return png, nil
}

// Frame is the frame of a video at a moment, as a small PNG, which is as untrusted as the video: examine it. ErrCannot.
func (t Tools) Frame(ctx context.Context, in *os.File, at time.Duration) ([]byte, error) {
	args := append([]string{"-ss", fmt.Sprintf("%.3f", at.Seconds())}, input()...)
	png, err := run(ctx, sandbox.Tool{
		Path: t.FFmpeg, Args: append(args, "-an", "-sn", "-frames:v", "1", "-vf", "scale='min(640,iw)':-2", "-f", "image2pipe", "-c:v", "png", "-threads", "1", "pipe:1"),
		Files: []*os.File{in}, Limits: toolLimits(16<<20, 30*time.Second),
	})
	if err == nil && len(png) == 0 {
		err = fmt.Errorf("%w: there is no frame at %v", ErrCannot, at)
	}
	return png, err
}
