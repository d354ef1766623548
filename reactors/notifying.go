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
		media.UploadRefused{}.EventType(), media.Screened{}.EventType(), media.Quarantined{}.EventType(),
		moderation.Reported{}.EventType(), moderation.Decided{}.EventType(), moderation.AppealDecided{}.EventType(), moderation.Assigned{}.EventType(),
	}
}

// notice is one person, and what he is told.
type notice struct {
	to    domain.UserID
	about notification.About
}

// React implements Reactor. The notification's id follows from the person and the event: reacting again tells nobody twice.
func (n Notifying) React(ctx context.Context, rec eventstore.Recorded) error {
	if n.Now().Sub(rec.At) > tooOld {
		return nil
	}
	notices, err := n.notices(ctx, rec)
	if err != nil {
		return err
	}
	for _, t := range notices {
		if t.to == "" || t.to == rec.Metadata.Actor.ID && !answers(rec) {
			continue // nobody is told of what he did himself
		}
		t.about.Cause = int64(rec.Position)
		if _, err := n.Notifications.Raise(ctx, because(n, rec), t.to, t.about); err != nil {
			return err
		}
	}
	return nil
}

// answers reports whether what is told of the event is the vault's answer to who caused it.
func answers(rec eventstore.Recorded) bool {
	switch rec.Event.(type) {
	case media.UploadRefused:
		return rec.Revision > 0 // it was announced; without that, the request itself was refused, and its answer said so
	case moderation.Reported:
		return true
	default:
		return false
	}
}

func (n Notifying) notices(ctx context.Context, rec eventstore.Recorded) ([]notice, error) {
	switch e := rec.Event.(type) {
	case share.Granted:
		// Who belongs to an organisation the identity provider knows, not the vault; a link is for nobody by name.
		return []notice{{e.With.User, notification.About{Topic: domain.TopicShareGranted, Media: e.Media, Share: e.Share, By: e.By}}}, nil
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
		return []notice{{e.Owner, notification.About{Topic: domain.TopicUploadRefused, Media: e.Media, Code: strings.Join(e.Reasons, ",")}}}, nil
	case media.Screened:
		if e.Verdict != media.VerdictReview {
			return nil, nil
		}
		return n.owner(ctx, notification.About{Topic: domain.TopicItemInReview, Media: domain.MediaID(rec.Stream.ID()), Code: strings.Join(e.Reasons(), ",")})
	case media.Quarantined:
		if e.Code != media.CodeScreening {
			return nil, nil // the moderator's decision tells
		}
		return n.owner(ctx, notification.About{Topic: domain.TopicItemQuarantined, Media: domain.MediaID(rec.Stream.ID()), Code: e.Code})
	case moderation.Decided, moderation.AppealDecided, moderation.Reported:
		return n.outcomes(ctx, rec)
	case moderation.Assigned:
		return []notice{{e.Moderator, notification.About{Topic: domain.TopicCaseAssigned, Case: domain.CaseID(rec.Stream.ID()), By: e.By}}}, nil
	default:
		return nil, nil
	}
}

// outcomes tell the owner what a case came to, and those who reported his item the outcome and the rule, and no more.
func (n Notifying) outcomes(ctx context.Context, rec eventstore.Recorded) ([]notice, error) {
	id := domain.CaseID(rec.Stream.ID())
	file, err := n.Notifications.CaseAt(ctx, id, rec.Revision)
	if err != nil {
		return nil, err
	}
	reported := notification.About{Topic: domain.TopicReportDecided, Media: file.Media, Case: id}
	if last := len(file.Decisions) - 1; last >= 0 {
		reported.Code, reported.Policy = string(file.Decisions[last].Action), file.Decisions[last].Policy()
	}
	var all []notice
	switch e := rec.Event.(type) {
	case moderation.Reported:
		if e.Origin == moderation.FromReport && len(file.Decisions) > 0 && !file.Reopened {
			all = append(all, notice{e.By, reported}) // it joins what is decided, and nobody will decide that again for him
		}
		return all, nil
	case moderation.Decided:
		if e.Action == moderation.Approve {
			// What nobody took from him he need not hear of, nor that somebody reported it.
			if withheld, err := n.Notifications.WithheldBefore(ctx, e.Media, e.Version, rec.Position); err != nil || !withheld {
				return toAll(nil, file.Unheard(), reported), err
			}
		}
		all, err = n.owner(ctx, notification.About{Topic: domain.TopicItemDecided, Media: e.Media, Case: id, Code: string(e.Action)})
		return toAll(all, file.Unheard(), reported), err
	case moderation.AppealDecided:
		all, err = n.owner(ctx, notification.About{Topic: domain.TopicAppealDecided, Media: e.Media, Case: id, Code: string(e.Outcome)})
		if e.Outcome != moderation.Overturn {
			return all, err // what they were told stands
		}
		reported.Code, reported.Policy = string(e.Outcome), ""
	}
	return toAll(all, file.Reporters(), reported), err
}

func toAll(notices []notice, people []domain.UserID, about notification.About) []notice {
	for _, to := range people {
		notices = append(notices, notice{to, about})
	}
	return notices
}

// owner is whose item it is about.
func (n Notifying) owner(ctx context.Context, about notification.About) ([]notice, error) {
	to, err := n.Notifications.Owner(ctx, about.Media)
	return []notice{{to, about}}, err
}

// giver is who gave the share that the event is about.
func (n Notifying) giver(ctx context.Context, rec eventstore.Recorded, topic domain.Topic, code string) ([]notice, error) {
	id := domain.ShareID(rec.Stream.ID())
	by, item, err := n.Notifications.Giver(ctx, id)
	return []notice{{by, notification.About{Topic: topic, Media: item, Share: id, Code: code}}}, err
}
