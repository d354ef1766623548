package analyzers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// Tools are programs of others that know formats which nothing here knows; each is optional. They run under the limits of
// internal/sandbox. The zero Tools has none.
type Tools struct {
	FFmpeg, FFprobe, PDFToPPM, HEIFThumbnailer, CWebP string // paths; "" where it is not installed
}

// FindTools looks for the tools on PATH.
func FindTools() Tools { return ToolsBy(exec.LookPath) }

// ToolsBy are the tools that the lookup finds by their names.
func ToolsBy(look func(name string) (path string, err error)) Tools {
	find := func(name string) string {
		path, err := look(name)
		if err != nil {
			return ""
		}
		return path
	}
	return Tools{FFmpeg: find("ffmpeg"), FFprobe: find("ffprobe"), PDFToPPM: find("pdftoppm"), HEIFThumbnailer: find("heif-thumbnailer"), CWebP: find("cwebp")}
}

// ErrCannot is content that a tool cannot read, or that makes it fail.
var ErrCannot = errors.New("the tool cannot do this")

// limits of tools. They are not Go: what counts for them is address space.
func toolLimits(output int64, wall time.Duration) sandbox.Limits {
	return sandbox.Limits{Memory: 4 << 30, CPU: 2 * wall, Wall: wall, Output: output}
}

func run(ctx context.Context, t sandbox.Tool) ([]byte, error) {
	out, err := sandbox.RunTool(ctx, t)
	var failed *sandbox.Failure
	if errors.As(err, &failed) && failed.Code == sandbox.Killed { // perhaps not for what it was doing
		out, err = sandbox.RunTool(ctx, t)
	}
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%w: %w", ErrCannot, failed)
	}
	return out, err
}

// Spool copies bytes into a file without a name, which tools can seek in. The caller closes it, and it is gone.
func Spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "mediavault-spool-")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	// Nobody finds it by its name any more; the tool, which is another user, opens it through its descriptor.
	err = errors.Join(f.Chmod(0o666), os.Remove(f.Name()))
	if err == nil && r != nil {
		_, err = io.Copy(f, r)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

// Stream is what a video or sound says about itself.
type Stream struct {
	Width, Height int // as it is to be seen
	Length        time.Duration
	Video, Audio  string // codecs
	TakenAt       time.Time
	Place, Author string
	Telling       bool
}

// input are the arguments by which ffmpeg and ffprobe read a file: it alone, whatever it says about others.
func input() []string {
	return []string{"-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-i", "/dev/fd/3"}
}

// Probe reads what a video or sound says about itself. ErrCannot.
func (t Tools) Probe(ctx context.Context, in *os.File) (Stream, error) {
	out, err := run(ctx, sandbox.Tool{
		Path: t.FFprobe, Args: append(input(), "-of", "json", "-show_format", "-show_streams"), Files: []*os.File{in}, Limits: toolLimits(1<<20, 20*time.Second),
	})
	if err != nil {
		return Stream{}, err
	}
	var said struct {
		Streams []struct {
			Type        string            `json:"codec_type"`
			Codec       string            `json:"codec_name"`
			Width       int               `json:"width"`
			Height      int               `json:"height"`
			Tags        map[string]string `json:"tags"`
			Disposition struct {
				Picture int `json:"attached_pic"`
			} `json:"disposition"`
			SideData []struct {
				Rotation int `json:"rotation"`
			} `json:"side_data_list"`
		} `json:"streams"`
		Format struct {
			Duration string            `json:"duration"`
			Tags     map[string]string `json:"tags"`
		} `json:"format"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return Stream{}, fmt.Errorf("%w: %w", ErrCannot, err)
	}
	var s Stream
	if seconds, err := strconv.ParseFloat(said.Format.Duration, 64); err == nil && seconds > 0 && seconds < 1e7 {
		s.Length = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	}
	s.read(said.Format.Tags)
	for _, st := range said.Streams {
		s.read(st.Tags)
		switch {
		case st.Type == "video" && st.Disposition.Picture == 0 && s.Video == "":
			s.Video, s.Width, s.Height = cleanTag(st.Codec), st.Width, st.Height
			if len(st.SideData) > 0 && st.SideData[0].Rotation%180 != 0 {
				s.Width, s.Height = s.Height, s.Width
			}
		case st.Type == "audio" && s.Audio == "":
			s.Audio = cleanTag(st.Codec)
		}
	}
	return s, nil
}

func (s *Stream) read(tags map[string]string) {
	for name, text := range tags {
		name, text = strings.ToLower(name), cleanTag(text)
		switch {
		case text == "":
		case strings.Contains(name, "location"):
			s.Telling = true
			if place, ok := iso6709(text); ok {
				s.Place = place
			}
		case slices.Contains([]string{"artist", "author", "copyright", "composer", "album_artist", "performer", "owner", "comment", "com.apple.quicktime.author"}, name):
			s.Telling = true
			if !strings.Contains(s.Author, text) {
				s.Author = clipText(strings.TrimPrefix(s.Author+"; "+text, "; "), 500)
			}
		case name == "creation_time":
			if at, err := time.Parse(time.RFC3339, text); err == nil && at.Year() > 1904 {
				s.TakenAt = at.UTC()
			}
		}
	}
}

// iso6709 reads +DD.DDDD-DDD.DDDD/ (ISO 6709, annex H).
func iso6709(text string) (string, bool) {
	if len(text) < 4 {
		return "", false
	}
	i := strings.IndexAny(text[1:], "+-") + 1
	if i < 2 {
		return "", false
	}
	rest := text[i:]
	if j := strings.IndexAny(rest[1:], "+-/"); j >= 0 {
		rest = rest[:j+1]
	}
	lat, errLat := strconv.ParseFloat(text[:i], 64)
	long, errLong := strconv.ParseFloat(rest, 64)
	if errLat != nil || errLong != nil || lat < -90 || lat > 90 || long < -180 || long > 180 {
		return "", false
	}
	return fmt.Sprintf("%.6f,%.6f", lat, long), true
}

// Poster is a frame of a video as a PNG, which is as untrusted as the video: examine it. ErrCannot.
func (t Tools) Poster(ctx context.Context, in *os.File, length time.Duration) ([]byte, error) {
	at := min(length/10, 3*time.Second) // the first frame is often black
	args := append([]string{"-ss", fmt.Sprintf("%.3f", at.Seconds())}, input()...)
	return run(ctx, sandbox.Tool{
		Path: t.FFmpeg, Args: append(args, "-an", "-sn", "-frames:v", "1", "-vf", "scale='min(1280,iw)':-2", "-f", "image2pipe", "-c:v", "png", "-threads", "1", "pipe:1"),
		Files: []*os.File{in}, Limits: toolLimits(32<<20, 30*time.Second),
	})
}

// FirstPage is the first page of a PDF as a PNG, which is as untrusted as the PDF: examine it. ErrCannot.
func (t Tools) FirstPage(ctx context.Context, in *os.File) ([]byte, error) {
	return run(ctx, sandbox.Tool{
		Path: t.PDFToPPM, Args: []string{"-f", "1", "-l", "1", "-singlefile", "-scale-to", "1000", "-png", "/dev/fd/3"},
		Files: []*os.File{in}, Limits: toolLimits(32<<20, 30*time.Second),
	})
}

// WebP is a small picture, a JPEG, as WebP. ErrCannot.
func (t Tools) WebP(ctx context.Context, picture []byte) ([]byte, error) {
	in, err := Spool(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return run(ctx, sandbox.Tool{
		Path: t.CWebP, Args: []string{"-quiet", "-q", "75", "-metadata", "none", "-o", "-", "--", "/dev/fd/3"},
		Files: []*os.File{in}, Limits: toolLimits(1<<20, 10*time.Second),
	})
}

// exact makes ffmpeg write the same bytes each time.
func exact() []string {
	return []string{"-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-y"}
}

// muxers are ffmpeg's names of the formats in which a copy without metadata can be written.
func muxer(kind string) (string, bool) {
	name, ok := map[string]string{
		"video/mp4": "mp4", "video/x-m4v": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "matroska", "video/3gpp": "3gp",
		"audio/mp4": "ipod", "audio/mpeg": "mp3", "audio/flac": "flac", "audio/ogg": "ogg", "video/ogg": "ogg", "audio/wav": "wav",
	}[kind]
	return name, ok
}

// Copies reports whether a tool that copies videos or sounds of this type without their metadata is installed.
func (t Tools) Copies(kind string) bool {
	_, ok := muxer(kind)
	return ok && t.FFmpeg != ""
}

// WithoutMetadata copies a video or sound without place, names and other tags, and without decoding it. ErrCannot. The caller
// closes the file.
func (t Tools) WithoutMetadata(ctx context.Context, in *os.File, kind string, most int64) (*os.File, error) {
	format, ok := muxer(kind)
	if !ok || t.FFmpeg == "" {
		return nil, ErrCannot
	}
	args := append(input(), "-map", "0:v?", "-map", "0:a?", "-dn", "-c", "copy")
	return t.writeBy(ctx, t.FFmpeg, in, append(append(args, exact()...), "-f", format, "/dev/fd/4"), most, 5*time.Minute)
}

// Playable makes a video that browsers play: H.264 and AAC in MP4, at most 1,280 pixels wide. ErrCannot. The caller closes the
// file.
func (t Tools) Playable(ctx context.Context, in *os.File, most int64) (*os.File, error) {
	args := append(input(), "-map", "0:v:0", "-map", "0:a:0?", "-dn", "-sn", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p",
		"-vf", "scale='min(1280,iw)':-2", "-c:a", "aac", "-b:a", "128k", "-threads", "2")
	return t.writeBy(ctx, t.FFmpeg, in, append(append(args, exact()...), "-movflags", "+faststart", "-f", "mp4", "/dev/fd/4"), most, 12*time.Minute)
}

// writeBy has a program write a file, which it has as /dev/fd/4. The caller closes it.
func (Tools) writeBy(ctx context.Context, path string, in *os.File, args []string, most int64, wall time.Duration) (*os.File, error) {
	out, err := Spool(nil)
	if err != nil {
		return nil, err
	}
	limits := toolLimits(most, wall)
	if _, err := run(ctx, sandbox.Tool{Path: path, Args: args, Files: []*os.File{in, out}, Limits: limits}); err != nil {
		_ = out.Close()
		return nil, err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("rewind: %w", err)
	}
	return out, nil
}
