package reactors

import (
	"context"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// tooOld is how old an event is that nobody is told of any more: a vault that learns to notify does not tell its whole past.
const tooOld = 72 * time.Hour

// Notifying decides who is told of what, and tells them in the app. The other channels follow what it says.
type Notifying struct {
	Notifications *commands.Notifications
	Now           func() time.Time
}

// Name implements Reactor.
func (Notifying) Name() string { return "notifying" }

// Types implements Reactor.
func (Notifying) Types() []string {
	return []string{
		share.Granted{}.EventType(), share.EndAnnounced{}.EventType(), share.Expired{}.EventType(), share.Exhausted{}.EventType(),
		media.UploadRefused{}.EventType(), media.Quarantined{}.EventType(),
		moderation.Decided{}.EventType(), moderation.AppealDecided{}.EventType(), moderation.Assigned{}.EventType(),
	}
}

// React implements Reactor. The notification's id follows from the person and the event: reacting again tells nobody twice.
func (n Notifying) React(ctx context.Context, rec eventstore.Recorded) error {
	if n.Now().Sub(rec.At) > tooOld {
		return nil
	}
	to, about, err := n.whom(ctx, rec)
	if err != nil || to == "" || to == rec.Metadata.Actor.ID && about.Topic != domain.TopicUploadRefused {
		return err // nobody is told of what he did himself
	}
	about.Cause = int64(rec.Position)
	_, err = n.Notifications.Raise(ctx, because(n, rec), to, about)
	return err
}

func (n Notifying) whom(ctx context.Context, rec eventstore.Recorded) (to domain.UserID, about notification.About, err error) {
	switch e := rec.Event.(type) {
	case share.Granted:
		// Who belongs to an organisation the identity provider knows, not the vault; a link is for nobody by name.
		return e.With.User, notification.About{Topic: domain.TopicShareGranted, Media: e.Media, Share: e.Share, By: e.By}, nil
	case share.EndAnnounced:
		code := "expires"
		if e.OpensLeft > 0 {
			code = "opens"
		}
		return n.giver(ctx, rec, domain.TopicShareEnding, code)
	case share.Expired:
		return n.giver(ctx, rec, domain.TopicShareEnded, "expired")
	case share.Exhausted:
		return n.giver(ctx, rec, domain.TopicShareEnded, "exhausted")
	case media.UploadRefused:
		return e.Owner, notification.About{Topic: domain.TopicUploadRefused, Media: e.Media, Code: strings.Join(e.Reasons, ",")}, nil
	case media.Quarantined:
		if e.Code != media.CodeScreening {
			return "", about, nil // the moderator's decision tells
		}
		item := domain.MediaID(rec.Stream.ID())
		to, err = n.Notifications.Owner(ctx, item)
		return to, notification.About{Topic: domain.TopicItemQuarantined, Media: item, Code: e.Code}, err
	case moderation.Decided:
		to, err = n.Notifications.Owner(ctx, e.Media)
		return to, notification.About{Topic: domain.TopicItemDecided, Media: e.Media, Case: domain.CaseID(rec.Stream.ID()), Code: string(e.Action)}, err
	case moderation.AppealDecided:
		to, err = n.Notifications.Owner(ctx, e.Media)
		return to, notification.About{Topic: domain.TopicAppealDecided, Media: e.Media, Case: domain.CaseID(rec.Stream.ID()), Code: string(e.Outcome)}, err
	case moderation.Assigned:
		return e.Moderator, notification.About{Topic: domain.TopicCaseAssigned, Case: domain.CaseID(rec.Stream.ID()), By: e.By}, nil
	default:
		return "", about, nil
	}
}

// giver is who gave the share that the event is about.
func (n Notifying) giver(ctx context.Context, rec eventstore.Recorded, topic domain.Topic, code string) (domain.UserID, notification.About, error) {
	id := domain.ShareID(rec.Stream.ID())
	by, item, err := n.Notifications.Giver(ctx, id)
	return by, notification.About{Topic: topic, Media: item, Share: id, Code: code}, err
}
