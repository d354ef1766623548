package readapi

import (
	"bufio"
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	page := q.Page(pageSize, maxPageSize)
	query := projections.AuditQuery{
		Who: domain.UserID(q.String("who", 255)), Action: q.String("action", 100), Resource: q.String("resource", 255),
		Kind:    q.Enum("kind", "", projections.ResourceMedia, projections.ResourceShare, projections.ResourceCase, projections.ResourceOther),
		Media:   web.Parameter(q, "media_id", domain.ParseMediaID),
		Outcome: q.Enum("outcome", "", projections.OutcomeOK, projections.OutcomeRefused),
		From:    q.Time("from"), To: q.Time("to"),
		Oldest: q.Enum("sort", "", "at", "-at") == "at",
	}
	form, err := form(r, q, formJSON, formCSV, formNDJSON)
	m := asOf(q)
	if err := firstOf(q.Done(), err); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.AuditName); err != nil {
		return err
	}
	if form == formJSON {
		found, err := s.auditLog.Page(r.Context(), web.Actor(r), query, paging(page), m)
		if err != nil {
			return err
		}
		return web.JSON(w, http.StatusOK, web.NewList(found.Items, found.Total, page, found.Next).AtLeast(found.More))
	}
	return s.exportAudit(w, r, query, m, form)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// exportAudit writes everything that matches, in flat memory. What fails before the first entry is a proper answer; later the
// connection is cut.
func (s *Server) exportAudit(w http.ResponseWriter, r *http.Request, query projections.AuditQuery, m projections.Moment, form string) error {
	entries, err := s.auditLog.Export(r.Context(), web.Actor(r), query, m)
	if err != nil {
		return err
	}
	entries, stop, err := begun(entries)
	if err != nil {
		return err
	}
	defer stop()
	w.Header().Set("Content-Disposition", `attachment; filename="audit-`+time.Now().UTC().Format("20060102-150405")+"."+form+`"`)
	if form == formNDJSON {
		return web.ServeLines(w, r, func(_ context.Context, out *web.Lines) error {
			for e, err := range entries {
				if err != nil {
					return err
				}
				if err := out.Write(e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.WriteHeader(http.StatusOK) // it has begun, however long it takes until there is a buffer full of entries
	out := bufio.NewWriterSize(w, 32<<10)
	if _, err := projections.WriteAuditCSV(out, entries); err != nil {
		return cut(w, out, err)
	}
	return out.Flush()
}

// cut lets out what was written, so that the answer has begun and its end is a broken connection.
func cut(w http.ResponseWriter, out *bufio.Writer, err error) error {
	if out.Flush() == nil {
		_ = http.NewResponseController(w).Flush() // the error that is returned says more
	}
	return err
}

// begun fetches the first value, so that an error at once is told before anything is written. stop ends the sequence.
func begun[T any](seq iter.Seq2[T, error]) (rest iter.Seq2[T, error], stop func(), err error) {
	next, stop := iter.Pull2(seq)
	first, err, more := next()
	if err != nil {
		stop()
		return nil, nil, err
	}
	return func(yield func(T, error) bool) {
		for v, err := first, error(nil); more; v, err, more = next() {
			if !yield(v, err) {
				return
			}
		}
	}, stop, nil
}
