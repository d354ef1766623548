package readapi

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// delivery is a file of which a read model says that the viewer may have it.
type delivery struct {
	serving  Serving // without From and Bytes
	kind     string  // inline or attachment
	name     string
	mime     string
	size     int64
	sha256   domain.Digest
	object   domain.ObjectKey
	modified time.Time // when the version came to be
}

// wanted is what of an item is asked for.
type wanted struct {
	download bool // to be kept, not shown
	web      bool // the copy that browsers play
}

// wants reads what is asked for.
func wants(q *web.Query) wanted {
	return wanted{download: downloads(q), web: q.Enum("variant", "original", "original", "web") == "web"}
}

// deliverItem delivers the version that was current at the item's moment. serving says by which right.
func (s *Server) deliverItem(w http.ResponseWriter, r *http.Request, it projections.Item, want wanted, serving Serving) error {
	serving.Caller, serving.Media, serving.Version, serving.What = callerOf(r), it.ID, it.Version, "content"
	kind := "inline"
	if want.download {
		serving.What, kind = "download", "attachment"
	}
	if it.Version < 1 || it.Version > len(it.Versions) {
		return errNoContent
	}
	v := it.Versions[it.Version-1]
	if want.web {
		return s.deliverWeb(w, r, v, kind, serving)
	}
	object, size, digest := it.Handed(v, serving.Via == "owner" || serving.Via == "role")
	serving.Object = object
	return s.deliver(w, r, delivery{
		serving: serving, kind: kind, name: v.Name, mime: v.Type, size: size, sha256: digest, object: object, modified: v.Uploaded,
	})
}

// deliverWeb delivers the copy of a version that browsers play.
func (s *Server) deliverWeb(w http.ResponseWriter, r *http.Request, v projections.FileVersion, kind string, serving Serving) error {
	d, ok := v.Playable()
	if !ok {
		// Whether it may be seen at all is said first.
		if err := s.recorder.Check(r.Context(), serving); err != nil {
			return err
		}
		return errNoWebVariant
	}
	serving.Object = d.Object
	name := v.Name
	if name != "" {
		name = strings.TrimSuffix(name, path.Ext(name)) + extension(d.Type)
	}
	return s.deliver(w, r, delivery{
		serving: serving, kind: kind, name: name, mime: d.Type, size: d.Size, sha256: d.SHA256, object: d.Object, modified: v.Uploaded,
	})
}

// deliver answers the bytes, a part of them, 304 or 416. Whatever it is, the recorder is asked first: the read model may be
// behind what was decided this very moment.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, d delivery) error {
	siftRange(r, d.size)
	blob, err := s.blobs.Get(r.Context(), d.object)
	if err != nil {
		return s.missing(r.Context(), d, err)
	}
	defer blob.Close()
	f := &file{src: blob, size: d.size, head: r.Method == http.MethodHead}
	ticket := ticketOf(r, d)
	d.serving.Ticket = ticket.Value
	var g *gate
	g = newGate(w, f, func(answer served) error {
		given, err := s.permit(r.Context(), d.serving, answer)
		if given != "" {
			ticket.Value = given
			g.header.Add("Set-Cookie", ticket.String())
		}
		return err
	})
	g.still = func() error {
		underway := d.serving
		underway.Underway = true
		return s.recorder.Check(r.Context(), underway)
	}
	g.setHeaders(d)
	http.ServeContent(g, r, "", d.modified, f)
	switch {
	case g.err != nil:
		return g.err // once bytes have left, the answer is cut short: it has fewer than it announced
	case f.err != nil:
		return fmt.Errorf("content of %s version %d: %w", d.serving.Media, d.serving.Version, f.err)
	}
	return nil
}

// missing says why a blob cannot be opened. One that was purged is gone, and the recorder knows it; everything else is a fault.
func (s *Server) missing(ctx context.Context, d delivery, err error) error {
	if errors.Is(err, blobs.ErrNotFound) {
		if refused := s.recorder.Check(ctx, d.serving); refused != nil {
			return refused
		}
		return errGone // purged while a case was opened about it
	}
	return fmt.Errorf("open content of %s version %d: %w", d.serving.Media, d.serving.Version, err)
}

func (s *Server) permit(ctx context.Context, serving Serving, answer served) (ticket string, err error) {
	serving.From, serving.Bytes, serving.Part = answer.from, answer.bytes, answer.part
	if !answer.delivers {
		return "", s.recorder.Check(ctx, serving)
	}
	return s.recorder.Serve(ctx, serving)
}

func (g *gate) setHeaders(d delivery) {
	g.header.Set("Content-Type", safeType(d.mime))
	g.header.Set("Content-Disposition", disposition(d.kind, d.name, d.mime))
	g.header.Set("ETag", `"`+string(d.sha256)+`"`)
	// What may be seen today may be withdrawn tomorrow: a cache asks each time, and 304 is cheap.
	g.header.Set("Cache-Control", "private, no-cache")
	g.header.Set("Vary", "Authorization, Vault-Password, Accept") // of thumbnails there are several types
	g.header.Set("X-Content-Type-Options", "nosniff")
	g.header.Set("Content-Security-Policy", sandboxed(d.mime)+"; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'; frame-ancestors 'none'")
	g.header.Set("Cross-Origin-Resource-Policy", "same-site")
}

// sandboxed is how a browser that is led to the file itself shows it: nothing in it runs. A player asks for its parts, which from an origin
// of nobody's, without the link's cookies, it would not get; a film has nothing in it that could use the vault's.
func sandboxed(stored string) string {
	if kind := safeType(stored); strings.HasPrefix(kind, "video/") || strings.HasPrefix(kind, "audio/") {
		return "sandbox allow-same-origin"
	}
	return "sandbox"
}

// safeType is the stored type, unless a browser would run what it finds: the whitelist keeps such types out, and a policy that
// was changed must not open the door to older files.
func safeType(stored string) string {
	kind, _, err := mime.ParseMediaType(stored)
	switch {
	case err != nil, strings.Contains(kind, "html"), strings.Contains(kind, "xml") && !strings.HasPrefix(kind, "application/vnd."),
		strings.Contains(kind, "javascript"), strings.Contains(kind, "svg"):
		return "application/octet-stream"
	default:
		return stored
	}
}

// errNoThumbnail is a thumbnail that there is not.
var errNoThumbnail = domain.Refuse(domain.NotFound, "no_thumbnail", "there is no thumbnail of this item")

// errNoWebVariant is a copy for browsers that there is not: of what is no video, or not yet.
var errNoWebVariant = domain.Refuse(domain.NotFound, "no_web_variant", "there is no copy of this item that browsers play")

// errGone is a file whose bytes are no longer there, although somebody may have them.
var errGone = domain.Refuse(domain.Gone, "purged", "the item was purged")

// errNoVersion is a version that there is not, or that is not the viewer's to see.
var errNoVersion = domain.Refuse(domain.NotFound, "no_such_version", "the item has no such version")

// errNoContent is an item as of a moment at which it had no bytes.
var errNoContent = domain.Refuse(domain.NotFound, "no_content", "the item had no content at that moment")
