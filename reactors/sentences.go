package reactors

import (
	"fmt"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
)

// sentence says what a notification is about, in words that are nobody's secret.
func sentence(a notification.About) string {
	switch a.Topic {
	case domain.TopicShareGranted:
		return fmt.Sprintf("%s shared item %s with you.", a.By, a.Media)
	case domain.TopicShareEnding:
		if a.Code == "opens" {
			return fmt.Sprintf("Your share %s of item %s is nearly used up.", a.Share, a.Media)
		}
		return fmt.Sprintf("Your share %s of item %s is about to expire.", a.Share, a.Media)
	case domain.TopicShareEnded:
		return fmt.Sprintf("Your share %s of item %s is over: %s.", a.Share, a.Media, a.Code)
	case domain.TopicUploadRefused:
		return fmt.Sprintf("Your upload %s was not accepted: %s.", a.Media, a.Code)
	case domain.TopicItemQuarantined:
		return fmt.Sprintf("Your item %s was quarantined.", a.Media)
	case domain.TopicItemInReview:
		if a.Code == "" {
			return fmt.Sprintf("Your item %s waits for a person to look at it.", a.Media)
		}
		return fmt.Sprintf("Your item %s waits for a person to look at it: %s.", a.Media, a.Code)
	case domain.TopicItemDecided:
		if a.Code == string(moderation.Approve) {
			return fmt.Sprintf("A moderator looked at your item %s, and let it be.", a.Media)
		}
		return fmt.Sprintf("A moderator decided about your item %s: %s. You may appeal in case %s.", a.Media, a.Code, a.Case)
	case domain.TopicAppealDecided:
		return fmt.Sprintf("Your appeal about item %s was judged: %s.", a.Media, a.Code)
	case domain.TopicReportDecided:
		return reportDecided(a)
	case domain.TopicCaseAssigned:
		return fmt.Sprintf("Case %s was assigned to you.", a.Case)
	default:
		return string(a.Topic)
	}
}

// reportDecided says to who reported an item what became of it, by which rule, and what he can do about that.
func reportDecided(a notification.About) string {
	var said string
	switch a.Code {
	case string(moderation.Approve):
		said = fmt.Sprintf("A moderator looked at item %s, which you reported, and let it be.", a.Media)
	case string(moderation.Overturn):
		said = fmt.Sprintf("The decision about item %s, which you reported, fell on appeal.", a.Media)
	default:
		said = fmt.Sprintf("A moderator decided about item %s, which you reported: %s.", a.Media, a.Code)
	}
	if a.Policy != "" {
		said += " Rule: " + a.Policy + "."
	}
	return said + " If you disagree you may report it again, or go to a dispute settlement body or a court."
}
