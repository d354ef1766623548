package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Facts of other streams, gathered for a decision. They are read at the moment of the command; what changes after it is what
// the next command, or the next access, will see.

func mediaStream(id domain.MediaID) eventstore.Stream { return eventstore.StreamOf(media.Category, id) }
func shareStream(id domain.ShareID) eventstore.Stream { return eventstore.StreamOf(share.Category, id) }
func caseStream(id domain.CaseID) eventstore.Stream {
	return eventstore.StreamOf(moderation.Category, id)
}

// foldWhile reads a stream as far as its events are asked for: the state of an earlier moment.
func foldWhile[S any, E domain.Event](ctx context.Context, v *Vault, stream eventstore.Stream, evolve func(S, E) S, more func(eventstore.Recorded) bool) (S, error) {
	var state S
	for rec, err := range v.Store.Stream(ctx, stream, 0) {
		if err != nil {
			return state, fmt.Errorf("read %s: %w", stream, err)
		}
		if !more(rec) {
			break
		}
		event, err := eventOf[E](stream, rec)
		if err != nil {
			return state, err
		}
		state = evolve(state, event)
	}
	return state, nil
}

func eventOf[E domain.Event](stream eventstore.Stream, rec eventstore.Recorded) (E, error) {
	event, ok := rec.Event.(E)
	if !ok {
		return event, fmt.Errorf("read %s: revision %d is a %s, which is no event of this aggregate", stream, rec.Revision, rec.Type)
	}
	return event, nil
}

func (v *Vault) mediaState(ctx context.Context, id domain.MediaID) (media.State, error) {
	f, err := fold(ctx, v, mediaStream(id), media.Evolve, nil)
	return f.state, err
}

// mediaStateSince answers the item as it stood after the event of its stream, or later: without reading, when what is kept
// reaches to the event, or to the one before it.
func (v *Vault) mediaStateSince(ctx context.Context, id domain.MediaID, rec eventstore.Recorded) (media.State, error) {
	event, ok := rec.Event.(media.Event)
	if k, known := kept[media.State, media.Event](v, rec.Stream); known && ok && rec.Stream == mediaStream(id) {
		switch {
		case k.revision >= rec.Revision:
			return k.state, nil
		case k.revision == rec.Revision-1:
			state := media.Evolve(k.state, event)
			v.states.put(rec.Stream, keptState{state: state, revision: rec.Revision, position: rec.Position, at: rec.At, until: k.until})
			return state, nil
		}
	}
	return v.mediaState(ctx, id)
}

func (v *Vault) shareState(ctx context.Context, id domain.ShareID) (share.State, error) {
	f, err := fold(ctx, v, shareStream(id), share.Evolve, nil)
	return f.state, err
}

func (v *Vault) caseState(ctx context.Context, id domain.CaseID) (moderation.State, error) {
	f, err := fold(ctx, v, caseStream(id), moderation.Evolve, nil)
	return f.state, err
}

// chain answers the share and those that it came through, up to one that the owner gave.
func (v *Vault) chain(ctx context.Context, id domain.ShareID) ([]share.State, error) {
	var chain []share.State
	for id != "" && len(chain) <= share.MaxDepth {
		s, err := v.shareState(ctx, id)
		if err != nil {
			return nil, err
		}
		chain = append(chain, s)
		id = s.Through
	}
	return chain, nil
}

// right answers what the actor may do with an item that is not his own: through the share that is given, or else through
// those that the index finds; moderators, auditors and admins may see that it is there.
func (v *Vault) right(ctx context.Context, by domain.Actor, item media.State, given domain.ShareID) (media.Right, error) {
	if !by.Known() || by.ID == item.Owner || !item.Known() {
		return media.RightNone, nil
	}
	chains, err := v.chains(ctx, by, item.ID, given)
	if err != nil {
		return media.RightNone, err
	}
	best := media.RightNone
	if by.Is(domain.RoleModerator, domain.RoleAuditor, domain.RoleAdmin) {
		best = media.RightSee
	}
	now := v.Now()
	for _, c := range chains {
		use := share.Use{Media: item.ID, Viewer: by, Permission: share.Edit, At: now, Chain: c[1:]}
		if use.Check(c[0]) == nil {
			return media.RightEdit, nil
		}
		use.Permission = share.View
		if use.Check(c[0]) == nil {
			best = media.RightSee
		}
	}
	return best, nil
}

// chains answers the chains of the share that is given, or else of those that the index finds for the actor.
func (v *Vault) chains(ctx context.Context, by domain.Actor, item domain.MediaID, given domain.ShareID) ([][]share.State, error) {
	ids := []domain.ShareID{given}
	if given == "" {
		if v.Index == nil || !by.Known() {
			return nil, nil
		}
		var err error
		if ids, err = v.Index.SharesWith(ctx, item, by); err != nil {
			return nil, err
		}
	}
	var chains [][]share.State
	for _, id := range ids {
		c, err := v.chain(ctx, id)
		if err != nil {
			return nil, err
		}
		if c[0].Known() && c[0].Media == item {
			chains = append(chains, c)
		}
	}
	return chains, nil
}

// caseOf answers the latest case about an item: the one that is open, or else the last that was closed, and the id that the
// next one will have. The ids follow from the item and a generation, so that two reports at once meet in one stream.
func (v *Vault) caseOf(ctx context.Context, item domain.MediaID) (latest moderation.State, next domain.CaseID, err error) {
	for generation := 1; ; generation++ {
		id := caseID(item, generation)
		s, err := v.caseState(ctx, id)
		if err != nil {
			return moderation.State{}, "", err
		}
		if !s.Known() {
			return latest, id, nil
		}
		latest = s
		if s.Open() {
			return latest, id, nil
		}
	}
}

func caseID(item domain.MediaID, generation int) domain.CaseID {
	return domain.CaseID(domain.Derive("case", string(item), strconv.Itoa(generation)).String())
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
