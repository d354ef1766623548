package projections

import (
	"fmt"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/domain/parked"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/share"
)

// summarize says in one English sentence what happened, without its subject: who did it stands beside it. It tells no more
// than the reader may see.
func summarize(e domain.Event, s sight) string {
	switch e := e.(type) {
	case media.Event:
		return summarizeMedia(e, s)
	case share.Event:
		return summarizeShare(e)
	case moderation.Event:
		return summarizeCase(e, s)
	case access.Served:
		return summarizeServed(e)
	case access.Refused:
		return fmt.Sprintf("was refused %s (%s)", e.Action, e.Code)
	case nil:
		return "something that this version cannot read"
	}
	if said := summarizeOther(e); said != "" {
		return said
	}
	return e.EventType()
}

// summarizeOther is summarize for what is in no item's history, and in the audit log; "" where the type of the event says it all.
func summarizeOther(e domain.Event) string {
	switch e := e.(type) {
	case finding.Raised:
		return fmt.Sprintf("found %s of type %s in the %s: risk %d", counted(e.Count, "value"), e.Type, e.Place, e.Risk)
	case finding.Rescored:
		return fmt.Sprintf("took the risk from %d to %d: %s", e.Before, e.Risk, e.Exposure)
	case finding.StatusChanged:
		return fmt.Sprintf("took it from %s to %s", e.From, e.To)
	case finding.Referred:
		return fmt.Sprintf("put it before people in case %s: risk %d, from %d on", e.Case, e.Risk, e.Least)
	case person.ErasureRequested:
		return "asked for the person to be forgotten: " + string(e.Ground)
	case person.Erased:
		return "forgot the person; kept as evidence: " + counted(e.Kept, "item")
	case parked.Retried:
		return fmt.Sprintf("had %s %s try %s again", e.What.Source, e.What.Name, e.What.Key)
	case parked.Dropped:
		return fmt.Sprintf("had %s %s go on without %s of %s at position %d", e.What.Source, e.What.Name, e.Type, e.What.Key, e.What.Position)
	case object.Swept:
		bytes := int64(0)
		for _, l := range e.Objects {
			bytes += l.Size
		}
		return fmt.Sprintf("swept %s that nobody needs, %s", counted(len(e.Objects), "object"), bytesText(bytes))
	default:
		return ""
	}
}

func summarizeMedia(e media.Event, s sight) string {
	switch e := e.(type) {
	case media.UploadRequested:
		return fmt.Sprintf("announced an upload of %s%s", bytesText(e.Size), named(e.Name, s))
	case media.UploadRefused:
		return fmt.Sprintf("had an upload%s refused: %s", named(e.Name, s), strings.Join(e.Reasons, ", "))
	case media.Uploaded:
		return fmt.Sprintf("uploaded version 1%s: %s, %s", named(e.File.Name, s), e.File.Type, bytesText(e.File.Size))
	case media.VersionAdded:
		return fmt.Sprintf("added version %d%s: %s, %s", e.Version, named(e.File.Name, s), e.File.Type, bytesText(e.File.Size))
	case media.RolledBack:
		return fmt.Sprintf("went back from version %d to version %d", e.From, e.Version)
	case media.Described:
		return fmt.Sprintf("described it%s, with %s", named(e.Title, s), counted(len(e.Tags), "tag"))
	case media.Inspected:
		return fmt.Sprintf("inspected version %d", e.Version)
	case media.Derived:
		return fmt.Sprintf("made %s of version %d", counted(len(e.Derivatives), "derivative"), e.Version)
	case media.MetadataChosen:
		if e.Keep {
			return "chose to let others have the place and names that its bytes carry"
		}
		return "chose to keep the place and names that its bytes carry from others"
	case media.Screened:
		return fmt.Sprintf("screened version %d: %s, security score %d", e.Version, e.Verdict, e.Score)
	case media.Restricted:
		return "restricted it to its owner and those it is shared with by name"
	case media.Quarantined:
		return "quarantined it (" + e.Code + ")"
	case media.Released:
		return "released it"
	case media.Removed:
		return "removed it"
	case media.Deleted:
		return "deleted it"
	case media.Restored:
		return "restored it"
	case media.Purged:
		return fmt.Sprintf("purged it: %s destroyed", counted(len(e.Objects), "object"))
	case media.DescriptionRequested:
		return fmt.Sprintf("asked for a description of version %d", e.Version)
	case media.DescriptionSuggested:
		return fmt.Sprintf("suggested a description of version %d, by %s", e.Version, e.Provider)
	case media.SuggestionAccepted:
		if e.Edited {
			return "accepted the suggested description, edited"
		}
		return "accepted the suggested description"
	case media.SuggestionRejected:
		return "rejected the suggested description"
	case media.Fingerprinted:
		return fmt.Sprintf("noted what version %d looks like", e.Version)
	case media.Resembles:
		return fmt.Sprintf("noted that version %d looks like version %d of %s", e.Version, e.Of, e.Other)
	default:
		return e.EventType()
	}
}

func summarizeShare(e share.Event) string {
	switch e := e.(type) {
	case share.Granted:
		return fmt.Sprintf("shared it with %s: %s", toWhom(e.With), terms(e.Terms))
	case share.Changed:
		return "changed a share: " + terms(e.Terms)
	case share.Revoked:
		if e.Code == share.GranteeForgotten {
			return "ended a share: the person to whom it was given was forgotten"
		}
		return "revoked a share"
	case share.EndAnnounced:
		if e.OpensLeft > 0 {
			return fmt.Sprintf("a share is nearly used up: %s left", counted(e.OpensLeft, "open"))
		}
		return "a share ends at " + e.ExpiresAt.UTC().Format(time.RFC3339)
	case share.Expired:
		return "a share expired"
	case share.Exhausted:
		return fmt.Sprintf("a share was opened as often as it allows (%d)", e.Opens)
	case share.Suspended:
		return fmt.Sprintf("a share is suspended: the item is %s", e.Code)
	case share.Resumed:
		return "a share can be used again"
	case share.Closed:
		return fmt.Sprintf("a share is closed: the item is %s", e.Code)
	default:
		return e.EventType()
	}
}

func summarizeCase(e moderation.Event, s sight) string {
	switch e := e.(type) {
	case moderation.Opened:
		return fmt.Sprintf("opened a case for %s (%s)", e.Category, e.Origin)
	case moderation.Reported:
		return fmt.Sprintf("reported it for %s (%s)", e.Category, e.Origin)
	case moderation.Reopened:
		return fmt.Sprintf("brought the case back after decision %d (%s)", e.Decision, e.Why)
	case moderation.Assigned:
		if !s.staff {
			return "gave the case to a moderator"
		}
		return fmt.Sprintf("gave the case to %s", e.Moderator)
	case moderation.Claimed:
		return "claimed the case until " + e.Until.UTC().Format("2006-01-02T15:04:05Z")
	case moderation.GivenBack:
		return "gave the case back"
	case moderation.Escalated:
		return "put the case before an admin"
	case moderation.Proposed:
		if !s.staff {
			return "proposed a decision"
		}
		return fmt.Sprintf("proposed (%d): %s, by policy %s", e.Number, e.Action, e.Policy)
	case moderation.Confirmed:
		return fmt.Sprintf("confirmed proposal %d", e.Number)
	case moderation.Declined:
		return fmt.Sprintf("declined proposal %d", e.Number)
	case moderation.ReachChanged:
		if !s.staff {
			return "noted who may see it"
		}
		return fmt.Sprintf("noted that %s, %s and %s lead to it", counted(e.Reach.Users, "person"), counted(e.Reach.Organisations, "organisation"), counted(e.Reach.Links, "link"))
	case moderation.Decided:
		if e.Policy == "" {
			return fmt.Sprintf("decided (%d): %s", e.Number, e.Action)
		}
		return fmt.Sprintf("decided (%d): %s, by policy %s", e.Number, e.Action, e.Policy)
	case moderation.Appealed:
		return fmt.Sprintf("appealed (%d) against decision %d", e.Number, e.Decision)
	case moderation.AppealDecided:
		return fmt.Sprintf("judged appeal %d: %s", e.Number, e.Outcome)
	case moderation.Closed:
		return "closed the case (" + e.Code + ")"
	default:
		return e.EventType()
	}
}

func summarizeServed(e access.Served) string {
	through := string(e.Via)
	if e.Share != "" {
		through += " " + string(e.Share)
	}
	what := "the " + e.What
	if e.Continued {
		what = "another part of the " + e.What
	}
	return fmt.Sprintf("was served %s of version %d, %s, as %s", what, e.Version, bytesText(e.Bytes), through)
}

func toWhom(with share.Grantee) string {
	switch with.Kind {
	case share.WithUser:
		return "user " + string(with.User)
	case share.WithOrganisation:
		return "organisation " + string(with.Organisation)
	default:
		return "anyone who holds the link"
	}
}

func terms(t share.Terms) string {
	said := make([]string, 0, len(t.Permissions)+3)
	for _, p := range t.Permissions {
		said = append(said, string(p))
	}
	if !t.ExpiresAt.IsZero() {
		said = append(said, "until "+t.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if t.PasswordHash != "" {
		said = append(said, "with a password")
	}
	if t.MaxOpens > 0 {
		said = append(said, "at most "+counted(t.MaxOpens, "open"))
	}
	return strings.Join(said, ", ")
}

func named(p domain.Personal, s sight) string {
	if text, ok := p.Reveal(); ok && s.opens(p, s.data) {
		return " " + fmt.Sprintf("%q", text)
	}
	return ""
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// bytesText says bytes for people, in binary units, as file managers do.
func bytesText(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	n, unit := float64(bytes), 0
	for n >= 1024 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", n, " KMGT"[unit])
}
