package readapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// mediaItem is an item as its viewer sees it. Where its bytes are stored is nobody's to know.
type mediaItem struct {
	ID            domain.MediaID `json:"id"`
	Owner         domain.UserID  `json:"owner"`
	Organisation  domain.OrgID   `json:"organisation,omitempty"`
	Title         string         `json:"title"`
	Description   string         `json:"description"`
	Tags          []string       `json:"tags"`
	Erased        bool           `json:"erased,omitempty"`
	Status        string         `json:"status"`
	Version       int            `json:"version"`
	Filename      string         `json:"filename"`
	ContentType   string         `json:"content_type"`
	Size          int64          `json:"size"`
	SHA256        domain.Digest  `json:"sha256,omitempty"`
	SecurityScore *int           `json:"security_score,omitempty"`
	Reasons       []string       `json:"reasons,omitempty"`
	CreatedAt     time.Time      `json:"created_at"`
	UpdatedAt     time.Time      `json:"updated_at"`
	Revision      int64          `json:"revision"`
	Position      int64          `json:"position"`
	Details       *mediaDetails  `json:"details,omitempty"`
	Blurhash      string         `json:"blurhash,omitempty"`
	Thumbnails    []thumbnail    `json:"thumbnails,omitempty"`
	NoThumbnail   string         `json:"no_thumbnail,omitempty"` // why there is none
	WebVariant    *webVariant    `json:"web_variant,omitempty"`
	MetadataKept  bool           `json:"metadata_kept,omitempty"`
	Versions      []mediaVersion `json:"versions,omitempty"`
}

type mediaVersion struct {
	Version       int           `json:"version"`
	Filename      string        `json:"filename"`
	ContentType   string        `json:"content_type"`
	DeclaredType  string        `json:"declared_type,omitempty"`
	Size          int64         `json:"size"`
	SHA256        domain.Digest `json:"sha256"`
	Way           string        `json:"way"`
	UploadedAt    time.Time     `json:"uploaded_at"`
	Verdict       string        `json:"verdict,omitempty"`
	SecurityScore *int          `json:"security_score,omitempty"`
	Cleared       bool          `json:"cleared,omitempty"`
	Reasons       []string      `json:"reasons,omitempty"`
}

func itemOf(it projections.Item, viewer domain.Actor) mediaItem {
	tags := it.Tags
	if tags == nil {
		tags = []string{}
	}
	item := mediaItem{
		ID: it.ID, Owner: it.Owner, Organisation: it.Org, Title: it.Title, Description: it.Description, Tags: tags, Erased: it.Erased,
		Status: string(it.Status), Version: it.Version, Filename: it.FileName, ContentType: it.Type, Size: it.Size, SHA256: it.SHA256,
		SecurityScore: scoreOf(it.Score), Reasons: it.ReasonsFor(viewer, 0), CreatedAt: it.Created.UTC(), UpdatedAt: it.Updated.UTC(),
		Revision: int64(it.Revision), Position: int64(it.Position), MetadataKept: it.Kept,
	}
	if it.Version >= 1 && it.Version <= len(it.Versions) {
		v := it.Versions[it.Version-1]
		item.show(v, it.Owner == viewer.ID)
		_, item.Size, item.SHA256 = it.HandedTo(viewer, v) // those of the bytes that the viewer gets
	}
	return item
}

func versionsOf(it projections.Item, viewer domain.Actor) []mediaVersion {
	all := make([]mediaVersion, 0, len(it.Versions))
	for _, v := range it.Versions {
		all = append(all, mediaVersion{
			Version: v.Number, Filename: v.Name, ContentType: v.Type, DeclaredType: v.Declared, Size: v.Size, SHA256: v.SHA256,
			Way: string(v.Way), UploadedAt: v.Uploaded.UTC(), Verdict: string(v.Verdict), SecurityScore: scoreOf(v.Score), Cleared: v.Cleared,
			Reasons: it.ReasonsFor(viewer, v.Number),
		})
	}
	return all
}

func scoreOf(score int) *int {
	if score == projections.NoScore {
		return nil
	}
	return &score
}

func statuses() []string {
	var all []string
	for _, s := range projections.MediaStatuses() {
		all = append(all, string(s))
	}
	return all
}

func (s *Server) listMedia(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	page := q.Page(pageSize, maxPageSize)
	query := projections.MediaQuery{
		Text: q.String("q", 200), Type: mediaType(q), Tag: q.String("tag", 100),
		Status: projections.MediaStatus(q.Enum("status", "", statuses()...)), Owner: domain.UserID(q.String("owner", 255)),
		From: q.Time("from"), To: q.Time("to"),
		Sort: q.Enum("sort", "", bothWays("created_at", "updated_at", "title", "size")...),
		Page: paging(page),
	}
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.prepare(w, r, m, projections.LibraryName, projections.SharesName); err != nil {
		return err
	}
	viewer := web.Actor(r)
	found, err := s.library.Page(r.Context(), viewer, query, m)
	if err != nil {
		return err
	}
	items := make([]mediaItem, 0, len(found.Items))
	for _, it := range found.Items {
		ok, err := s.stillSeen(r.Context(), viewer, it, m)
		if err != nil {
			return err
		}
		if ok {
			items = append(items, itemOf(it, viewer))
		}
	}
	return web.JSON(w, http.StatusOK, web.NewList(items, found.Total, page, found.Next).AtLeast(found.More))
}

// mediaType reads type: a MIME type that the vault accepts, or the part of one before the slash.
func mediaType(q *web.Query) string {
	var wide, all []string
	for _, name := range projections.MediaTypes() {
		kind, _, _ := strings.Cut(name, "/")
		wide, all = append(wide, kind), append(all, name)
	}
	said := strings.ToLower(q.String("type", 100))
	slices.Sort(wide)
	if wide = slices.Compact(wide); said != "" && !slices.Contains(wide, said) && !slices.Contains(all, said) {
		q.Refuse("type", "accepted is one of "+strings.Join(wide, ", ")+", or one of the MIME types "+strings.Join(all, ", "))
	}
	return said
}

// bothWays are the names, and each with a leading minus.
func bothWays(names ...string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, "-"+name)
	}
	return all
}

// stillSeen reports whether who could see an item at an earlier moment still may today: asking as of the past must not bring
// back what was revoked since.
func (s *Server) stillSeen(ctx context.Context, viewer domain.Actor, it projections.Item, m projections.Moment) (bool, error) {
	if m.IsNow() || projections.SeesAll(viewer) || it.Owner == viewer.ID {
		return true, nil
	}
	err := s.today(ctx, viewer, it.ID, m)
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind == domain.NotFound {
		return false, nil
	}
	return err == nil, err
}

// prepare is ready for a question that asks today, too, when it is as of the past. What rights there are now comes from a read
// model of its own: it has to have come as far as those that answer about now, or a viewer who was told already that an item
// is not there any more would still get it by as_of.
func (s *Server) prepare(w http.ResponseWriter, r *http.Request, m projections.Moment, models ...string) error {
	if m.IsNow() {
		return s.ready(w, r, m, models...)
	}
	if !slices.Contains(models, projections.AccessName) {
		models = append(slices.Clone(models), projections.AccessName) // so that it waits for Vault-After
	}
	if err := s.ready(w, r, m, models...); err != nil {
		return err
	}
	for _, name := range []string{projections.LibraryName, projections.SharesName} {
		told, err := s.engine.Position(r.Context(), name)
		if err != nil {
			return err
		}
		if err := s.reached(r.Context(), told, projections.AccessName); err != nil {
			return err
		}
	}
	return nil
}

// today refuses a question as of the past to whoever has no right to the item now. prepare comes before it.
func (s *Server) today(ctx context.Context, viewer domain.Actor, id domain.MediaID, m projections.Moment) error {
	if m.IsNow() {
		return nil
	}
	_, err := s.access.Right(ctx, viewer, id, projections.Moment{})
	return err
}

// mediaID is the id in the path. What cannot be one is not found, like any other that there is not.
func mediaID(r *http.Request) (domain.MediaID, error) {
	id, err := domain.ParseMediaID(mux.Vars(r)["id"])
	if err != nil {
		return "", projections.ErrHidden
	}
	return id, nil
}

// question reads what every question about one item has, and waits until it can be answered.
func (s *Server) question(w http.ResponseWriter, r *http.Request, q *web.Query, models ...string) (domain.MediaID, projections.Moment, error) {
	m := asOf(q)
	if err := q.Done(); err != nil {
		return "", m, err
	}
	id, err := mediaID(r)
	if err != nil {
		return "", m, err
	}
	if err := s.prepare(w, r, m, models...); err != nil {
		return "", m, err
	}
	return id, m, s.today(r.Context(), web.Actor(r), id, m)
}

func (s *Server) getMedia(w http.ResponseWriter, r *http.Request) error {
	id, m, err := s.question(w, r, web.NewQuery(r), projections.LibraryName, projections.SharesName)
	if err != nil {
		return err
	}
	viewer := web.Actor(r)
	it, err := s.library.Item(r.Context(), viewer, id, m)
	if err != nil {
		return err
	}
	includes(w, it.Position)
	if tagged(w, r, int64(it.Revision)) {
		return nil
	}
	item := itemOf(it, viewer)
	if it.SeesVersions(viewer) {
		item.Versions = versionsOf(it, viewer)
	}
	return web.JSON(w, http.StatusOK, item)
}

// historyList is a part of a history. It has no total: it is merged from the streams of the item, its shares, its cases and its
// accesses, and counting what of them had happened by a moment would mean reading them all.
type historyList struct {
	Items      []projections.HistoryEntry `json:"items"`
	PageSize   int                        `json:"page_size"`
	HasNext    bool                       `json:"has_next"`
	NextCursor string                     `json:"next_cursor,omitempty"`
}

func (s *Server) mediaHistory(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	p := projections.Paging{Size: int(q.Int("page_size", pageSize, 1, maxPageSize)), Cursor: q.String("cursor", 2000)}
	id, m, err := s.question(w, r, q, projections.AccessName, projections.SharesName, projections.ReviewName)
	if err != nil {
		return err
	}
	found, err := s.history.Item(r.Context(), web.Actor(r), id, p, m)
	if err != nil {
		return err
	}
	items := found.Items
	if items == nil {
		items = []projections.HistoryEntry{}
	}
	return web.JSON(w, http.StatusOK, historyList{Items: items, PageSize: p.Size, HasNext: found.Next != "", NextCursor: found.Next})
}

// accessList is who may see an item.
type accessList struct {
	Media  domain.MediaID          `json:"media_id"`
	Owner  domain.UserID           `json:"owner"`
	Org    domain.OrgID            `json:"organisation,omitempty"`
	Status projections.MediaStatus `json:"status"`
	web.List[projections.Grant]
}

func (s *Server) mediaAccess(w http.ResponseWriter, r *http.Request) error {
	id, m, err := s.question(w, r, web.NewQuery(r), projections.AccessName)
	if err != nil {
		return err
	}
	found, err := s.access.WhoMaySee(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, accessList{
		Media: found.Media, Owner: found.Owner, Org: found.Org, Status: found.Status, List: web.Whole(found.Items),
	})
}

func (s *Server) mediaContent(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	want, version := wants(q), int(q.Int("version", 0, 1, 1_000_000))
	id, m, err := s.question(w, r, q, projections.LibraryName, projections.AccessName, projections.SharesName)
	if err != nil {
		return err
	}
	ctx, viewer := r.Context(), web.Actor(r)
	right, err := s.access.Right(ctx, viewer, id, projections.Moment{})
	if err != nil {
		return err
	}
	grant, err := grantOf(right, want.download)
	if err != nil {
		return err
	}
	it, err := s.library.Item(ctx, viewer, id, m)
	if err != nil {
		return err
	}
	if version != 0 && version != it.Version {
		if !it.SeesVersions(viewer) || version > len(it.Versions) {
			return errNoVersion
		}
		it.Version = version
	}
	return s.deliverItem(w, r, it, want, Serving{Via: string(grant.Via), Share: grant.Share})
}

// errNotPermitted is a right that does not go that far.
var errNotPermitted = domain.Refuse(domain.Forbidden, "not_permitted", "your right to the item does not allow this")

// grantOf is the grant by which the bytes are tried.
func grantOf(right projections.Right, download bool) (grant projections.Grant, err error) {
	grant, held := right.For("view")
	if download {
		grant, held = right.For("download")
	}
	if !held {
		return projections.Grant{}, errNotPermitted
	}
	return grant, nil
}

func downloads(q *web.Query) bool {
	asked := q.Enum("download", "0", "0", "1", "false", "true")
	return asked == "1" || asked == "true"
}
