package readapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Recorder is the only way in which reading writes: what was served, and what was refused. commands implements it.
type Recorder interface {
	// Check looks at the streams themselves, at this very moment, whether the content may be delivered, and answers the
	// refusal when it may not. It records nothing.
	Check(ctx context.Context, s Serving) error
	// Serve is Check, and then the record that it was served; through a share with a limit of opens it counts one, and two
	// openers at once never exceed the limit. It answers what goes on with such an open (Serving.Ticket). Only a nil error lets a byte
	// leave.
	Serve(ctx context.Context, s Serving) (ticket string, err error)
	// Refused records a request that was refused.
	Refused(ctx context.Context, r Refusal) error
}

// Caller is who asked, and what the edge knows of the request; its text about the client is personal.
type Caller struct {
	Actor       domain.Actor // a guest when nobody was identified
	Address     string       // of the client, without a port
	UserAgent   string
	Reason      string // why, as the caller said it (Vault-Reason)
	Correlation uuid.UUID
	RequestID   string
}

// Serving is content on its way to a caller.
type Serving struct {
	Caller   Caller
	Media    domain.MediaID
	Version  int
	What     string         // content, download or thumbnail; view for what is not bytes
	Via      string         // owner, organisation, share, link or role, as the read model found it
	Share    domain.ShareID // when Via is share or link
	Token    string         // the link's secret, when Via is link
	Password string         // of the link, as the caller sent it
	From     int64          // first byte that was asked for
	Bytes    int64          // how many were asked for
	// Object is where the bytes are that are to be delivered: what this caller does not get is refused. Empty: no bytes.
	Object domain.ObjectKey
	// Underway: it was counted, and its password was right, when it began.
	Underway bool
	// Part: it is a part that leaves. With the Ticket that an open through a share with a limit was answered with, it is no open of its own.
	Part   bool
	Ticket string
}

// Refusal is a request that was refused.
type Refusal struct {
	Caller   Caller
	Action   string         // method and route, such as `GET /v1/media/{id}/content`
	Resource string         // the id that was asked for; never a link's secret
	Media    domain.MediaID // when it concerns an item
	Share    domain.ShareID
	Code     string
	Status   int // HTTP
}

func callerOf(r *http.Request) Caller {
	reason, _ := web.Reason(r) // one that cannot be read is none
	return Caller{
		Actor: web.Actor(r), Address: web.ClientAddr(r), UserAgent: web.UserAgent(r), Reason: reason,
		Correlation: web.Correlation(r), RequestID: web.RequestID(r),
	}
}
