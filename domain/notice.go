package domain

import "slices"

// Topic is what somebody is told about.
type Topic string

// The topics.
const (
	TopicShareGranted    Topic = "share_granted"    // something was shared with me
	TopicShareEnding     Topic = "share_ending"     // a share that I gave is about to expire, or nearly used up
	TopicShareEnded      Topic = "share_ended"      // a share that I gave expired, or is used up
	TopicUploadRefused   Topic = "upload_refused"   // my upload was not accepted
	TopicItemQuarantined Topic = "item_quarantined" // screening took my item out of circulation
	TopicItemInReview    Topic = "item_in_review"   // screening wants a person to look at my item
	TopicItemDecided     Topic = "item_decided"     // a moderator decided about my item
	TopicAppealDecided   Topic = "appeal_decided"   // my appeal was judged
	TopicCaseAssigned    Topic = "case_assigned"    // a case was put into my hands
	TopicReportDecided   Topic = "report_decided"   // what I reported was decided (Digital Services Act, article 16(5))
)

// Topics are all topics.
func Topics() []Topic {
	return []Topic{
		TopicShareGranted, TopicShareEnding, TopicShareEnded, TopicUploadRefused, TopicItemQuarantined, TopicItemInReview, TopicItemDecided,
		TopicAppealDecided, TopicCaseAssigned, TopicReportDecided,
	}
}

// Channel is how somebody is told.
type Channel string

// The channels.
const (
	ChannelInApp   Channel = "in_app"
	ChannelEmail   Channel = "email"
	ChannelWebhook Channel = "webhook"
)

// Channels are all channels.
func Channels() []Channel { return []Channel{ChannelInApp, ChannelEmail, ChannelWebhook} }

// Known reports whether it is one of Topics.
func (t Topic) Known() bool { return slices.Contains(Topics(), t) }

// Known reports whether it is one of Channels.
func (c Channel) Known() bool { return slices.Contains(Channels(), c) }
