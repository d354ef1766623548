package main

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/readapi"
)

// recorder lets the read API record through commands: neither knows the other.
type recorder struct{ access *commands.Access }

// Check implements readapi.Recorder.
func (r recorder) Check(ctx context.Context, s readapi.Serving) error {
	_, err := r.access.Check(ctx, envelopeOf(s.Caller), servingOf(s))
	return err
}

// Serve implements readapi.Recorder.
func (r recorder) Serve(ctx context.Context, s readapi.Serving) (ticket string, err error) {
	d, err := r.access.Serve(ctx, envelopeOf(s.Caller), servingOf(s))
	return d.Ticket, err
}

// Refused implements readapi.Recorder.
func (r recorder) Refused(ctx context.Context, f readapi.Refusal) error {
	return r.access.Refused(ctx, envelopeOf(f.Caller), access.Refused{
		Action: f.Action, Resource: f.Resource, Media: f.Media, Share: f.Share, Code: f.Code, Status: f.Status,
	})
}

func envelopeOf(c readapi.Caller) commands.Envelope {
	return commands.Envelope{
		Actor: c.Actor, Address: c.Address, UserAgent: c.UserAgent, Reason: c.Reason, Correlation: c.Correlation, Started: time.Now(),
	}
}

func servingOf(s readapi.Serving) commands.Serving {
	return commands.Serving{
		Media: s.Media, Version: s.Version, What: s.What, Via: access.Via(s.Via), Share: s.Share,
		Token: s.Token, Password: s.Password, From: s.From, Bytes: s.Bytes, Object: s.Object, Underway: s.Underway, Part: s.Part, Ticket: s.Ticket,
	}
}
