package writeapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/internal/web"
)

// recordTime bounds how long a refusal waits for its record.
const recordTime = 5 * time.Second

// RecordRefusals is a web.Refused that appends access.refused. A refusal that cannot be recorded is a refusal still: the log
// says that the record is missing.
func RecordRefusals(a *commands.Access, log *slog.Logger) web.Refused {
	return func(r *http.Request, rt web.Route, refusal *domain.Refusal) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTime)
		defer cancel()
		env := commands.Envelope{
			Actor: web.Actor(r), Address: web.ClientAddr(r), UserAgent: web.UserAgent(r), Correlation: web.Correlation(r), Started: time.Now(),
		}
		env.Reason, _ = web.Reason(r) // one that cannot be read is none
		err := a.Refused(ctx, env, access.Refused{
			Action: rt.Action(), Resource: shown(mux.Vars(r)["id"]), Code: refusal.Code, Status: web.Status(refusal.Kind),
		})
		if err != nil {
			log.ErrorContext(ctx, "refusal not recorded", "request_id", web.RequestID(r), "action", rt.Action(), "code", refusal.Code, "error", err.Error())
		}
	}
}
