package projections

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// auditColumns are the columns of the CSV export, in order. Programs read them by name: add at the end only.
func auditColumns() []string {
	return []string{
		"position", "at", "actor", "org", "roles", "action", "resource_kind", "resource_id", "media", "outcome", "code", "address", "user_agent",
		"reason", "correlation", "causation", "duration_ms", "score", "detail", "stream", "revision", "event_id",
	}
}

// WriteAuditCSV writes the entries as CSV (RFC 4180, CRLF, UTF-8), a header first, and answers how many. A text that a
// spreadsheet would take for a formula gets a leading apostrophe (OWASP, CSV Injection). Memory does not grow with the rows.
func WriteAuditCSV(w io.Writer, entries iter.Seq2[AuditEntry, error]) (int, error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(auditColumns()); err != nil {
		return 0, fmt.Errorf("write audit as CSV: %w", err)
	}
	n := 0
	for e, err := range entries {
		if err != nil {
			out.Flush() // what was found stands; the caller says that it is not all
			return n, err
		}
		if err := out.Write(auditRecord(e)); err != nil {
			return n, fmt.Errorf("write audit as CSV: %w", err)
		}
		n++
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return n, fmt.Errorf("write audit as CSV: %w", err)
	}
	return n, nil
}

func auditRecord(e AuditEntry) []string {
	score := ""
	if e.Score != nil {
		score = strconv.Itoa(*e.Score)
	}
	record := []string{
		strconv.FormatInt(int64(e.Position), 10), e.At.UTC().Format(time.RFC3339Nano), string(e.Actor), string(e.Org), rolesText(e.Roles),
		e.Action, e.Resource.Kind, e.Resource.ID, string(e.Media), e.Outcome, e.Code, e.Address, e.UserAgent, e.Reason,
		uuidText(e.Correlation), uuidText(e.Causation), strconv.FormatFloat(e.DurationMS, 'f', -1, 64), score, e.Detail,
		e.Stream, strconv.FormatInt(e.Revision, 10), uuidText(e.EventID),
	}
	for i, cell := range record {
		record[i] = harmless(cell)
	}
	return record
}

func rolesText(roles []domain.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " ")
}

func uuidText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// harmless keeps a spreadsheet from taking a cell for a formula. Blanks and control characters before the sign are looked
// through, as spreadsheets trim them; so are the full-width signs, which some turn into plain ones.
func harmless(cell string) string {
	rest := strings.TrimLeftFunc(cell, func(r rune) bool { return r <= ' ' || r == '\u00a0' || r == '\u3000' || r == '\ufeff' })
	if strings.IndexAny(rest, "=+-@＝＋－＠") == 0 || strings.HasPrefix(cell, "\t") || strings.HasPrefix(cell, "\r") || strings.HasPrefix(cell, "\n") {
		return "'" + cell
	}
	return cell
}
