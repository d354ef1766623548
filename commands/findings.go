package commands

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Findings is what is found in items, and what people say of it.
type Findings struct {
	vault *Vault
	index FindingIndex
}

// FindingIndex finds findings and shares; a read model implements it. Unlike a hint it must have everything that was appended
// before it was asked, or answer an error: what it leaves out would keep an old risk.
type FindingIndex interface {
	// FindingsOf answers all findings of an item, in any status.
	FindingsOf(ctx context.Context, item domain.MediaID) ([]domain.FindingID, error)
	// AllSharesOf answers all shares of an item, in any state.
	AllSharesOf(ctx context.Context, item domain.MediaID) ([]domain.ShareID, error)
}

// NewFindings makes the commands about findings.
func NewFindings(vault *Vault, index FindingIndex) *Findings {
	return &Findings{vault: vault, index: index}
}

// Found is one type of thing that was found in one place.
type Found struct {
	Place       finding.Place
	Type        string
	Count       int // different values
	Confidence  int // percent
	Sensitivity int // 1 to 10
	Sample      string
	Detector    finding.Detector
}

// Looked is a look at some places of an item: all that was found there, and so what was not.
type Looked struct {
	Version int // of the media; 0: the places are in no version
	Places  []finding.Place
	Found   []Found
	// Types is all that was looked for in a version.
	Types []string
}

// Record raises what was found, and resolves what was found there before and is gone; for the vault itself. Doing it again says
// nothing new.
func (f *Findings) Record(ctx context.Context, env Envelope, id domain.MediaID, l Looked) error {
	if l.Version > 0 {
		return f.recordVersion(ctx, env, id, l)
	}
	known, err := f.index.FindingsOf(ctx, id)
	if err != nil || len(l.Found) == 0 && len(known) == 0 {
		return err
	}
	item, err := f.vault.mediaState(ctx, id)
	if err != nil || !item.Known() {
		return err // nothing is kept about what is no more
	}
	exposure, err := f.exposure(ctx, item)
	if err != nil {
		return err
	}
	return f.say(ctx, env, item, l, known, func(finding.State) finding.Exposure { return exposure })
}

// recordVersion is Record for what is in a version, which is looked at while it is screened: it asks the streams alone, and waits
// for no read model. An item's shares are counted by Rescore, which follows what is raised.
func (f *Findings) recordVersion(ctx context.Context, env Envelope, id domain.MediaID, l Looked) error {
	item, err := f.vault.mediaState(ctx, id)
	if err != nil || !item.Known() {
		return err
	}
	var known []domain.FindingID
	if v, _ := item.Version(l.Version); v.Screened.Verdict != "" { // looked at before: ids follow from what and where it is
		for _, place := range l.Places {
			for _, kind := range l.Types {
				known = append(known, findingID(id, l.Version, place, kind))
			}
		}
	}
	return f.say(ctx, env, item, l, known, func(s finding.State) finding.Exposure {
		if s.Known() {
			return s.Exposure
		}
		return ownExposure(item)
	})
}

// say raises what was found, and clears what of the known findings was not.
func (f *Findings) say(ctx context.Context, env Envelope, item media.State, l Looked, known []domain.FindingID, exposure func(finding.State) finding.Exposure) error {
	id := item.ID
	var said []domain.FindingID
	for _, found := range l.Found {
		which := findingID(id, l.Version, found.Place, found.Type)
		said = append(said, which)
		cmd := finding.Raise{By: env.Actor, Found: finding.Raised{
			Finding: which, Media: id, Owner: item.Owner, Org: item.Org, Version: l.Version, Type: found.Type, Place: found.Place,
			Count: found.Count, Confidence: found.Confidence, Sensitivity: found.Sensitivity,
			Sample: domain.NewPersonal(item.Owner, found.Sample), Detector: found.Detector,
		}}
		err := f.vault.noteFinding(ctx, env, "raise", which, func(s finding.State) ([]finding.Event, error) {
			cmd.Found.Exposure = exposure(s)
			return cmd.Decide(s)
		})
		if err != nil {
			return err
		}
	}
	for _, which := range known {
		if slices.Contains(said, which) {
			continue
		}
		err := f.vault.noteFinding(ctx, env, "clear", which, func(s finding.State) ([]finding.Event, error) {
			if s.Raised.Version != l.Version || !slices.Contains(l.Places, s.Raised.Place) {
				return nil, nil
			}
			return finding.Clear{By: env.Actor, Version: l.Version}.Decide(s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Rescore computes the risk of all findings of an item again, because others may see it now; for the vault itself.
func (f *Findings) Rescore(ctx context.Context, env Envelope, id domain.MediaID) error {
	known, err := f.index.FindingsOf(ctx, id)
	if err != nil || len(known) == 0 {
		return err
	}
	item, err := f.vault.mediaState(ctx, id)
	if err != nil {
		return err
	}
	exposure, err := f.exposure(ctx, item)
	if err != nil {
		return err
	}
	for _, which := range known {
		if err := f.vault.noteFinding(ctx, env, "rescore", which, finding.Rescore{By: env.Actor, Exposure: exposure}.Decide); err != nil {
			return err
		}
	}
	return nil
}

// RescoreShared is Rescore for the item of a share.
func (f *Findings) RescoreShared(ctx context.Context, env Envelope, id domain.ShareID) error {
	s, err := f.vault.shareState(ctx, id)
	if err != nil || !s.Known() {
		return err
	}
	return f.Rescore(ctx, env, s.Media)
}

// Texts are the places of an item that are text in its history, as they were after the event or later; false when there was no
// such item any more.
func (f *Findings) Texts(ctx context.Context, id domain.MediaID, since eventstore.Recorded) (map[finding.Place]string, bool, error) {
	item, err := f.vault.mediaStateSince(ctx, id, since)
	if err != nil || !item.Known() {
		return nil, false, err
	}
	texts := map[finding.Place]string{finding.InTitle: item.Title.Text(), finding.InDescription: item.Description.Text()}
	for _, tag := range item.Tags {
		texts[finding.InTags] += tag.Text() + "\n"
	}
	return texts, true, nil
}

// SetStatus says what became of a finding: the owner of the item, a moderator or an admin.
func (f *Findings) SetStatus(ctx context.Context, env Envelope, id domain.FindingID, status finding.Status, note string) (Receipt, error) {
	asked := struct{ Status, Note string }{string(status), note}
	return f.vault.decideFinding(ctx, env, "status", id, asked, finding.SetStatus{By: env.Actor, Status: status, Note: note}.Decide)
}

func findingStream(id domain.FindingID) eventstore.Stream {
	return eventstore.StreamOf(finding.Category, id)
}

func (v *Vault) decideFinding(ctx context.Context, env Envelope, name string, id domain.FindingID, asked any,
	decision func(finding.State) ([]finding.Event, error),
) (Receipt, error) {
	got, err := decide(ctx, v, env, operation{name: "finding." + name, thing: string(id), asked: asked}, findingStream(id), finding.Evolve, decision)
	return got.Receipt, err
}

// noteFinding decides about a finding for the vault itself: the state of the finding says whether it was said.
func (v *Vault) noteFinding(ctx context.Context, env Envelope, name string, id domain.FindingID,
	decision func(finding.State) ([]finding.Event, error),
) error {
	_, err := v.decideFinding(ctx, unconditional(env), name, id, nil, decision)
	return err
}

// exposure is the widest circle that may see an item, by its shares as their streams stand.
func (f *Findings) exposure(ctx context.Context, item media.State) (finding.Exposure, error) {
	if !seen(item) {
		return finding.Private, nil
	}
	widest, hold := ownExposure(item), item.Hold()
	ids, err := f.index.AllSharesOf(ctx, item.ID)
	if err != nil {
		return "", err
	}
	now := f.vault.Now()
	for _, id := range ids {
		chain, err := f.vault.chain(ctx, id)
		if err != nil {
			return "", err
		}
		if !opens(chain, now) {
			continue
		}
		switch to := chain[0].With; {
		case to.Kind == share.WithLink && hold != media.IsRestricted:
			widest = widest.Wider(finding.Anyone)
		case to.Kind == share.WithOrganisation && to.Organisation != item.Org:
			widest = widest.Wider(finding.Partner)
		case to.Kind == share.WithUser, to.Kind == share.WithOrganisation:
			widest = widest.Wider(finding.Organisation)
		}
	}
	return widest, nil
}

// seen reports whether others than the owner may see the item at all.
func seen(item media.State) bool {
	hold := item.Hold()
	return item.Phase == media.Live && hold != media.IsQuarantined && hold != media.IsRemoved
}

// ownExposure is who may see an item that is not shared.
func ownExposure(item media.State) finding.Exposure {
	if item.Org != "" && seen(item) {
		return finding.Organisation
	}
	return finding.Private
}

// opens reports whether a share, and all those that it came through, let somebody in, and are not used up.
func opens(chain []share.State, now time.Time) bool {
	return share.Alive(chain, now) && !chain[0].Exhausted && !slices.ContainsFunc(chain, func(s share.State) bool { return s.Closed })
}

func findingID(item domain.MediaID, version int, place finding.Place, kind string) domain.FindingID {
	return domain.FindingID(domain.Derive("finding", string(item), strconv.Itoa(version), string(place), kind).String())
}
