package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// The load is what a vault's log holds of each photo, in the mean: these weights are how many of each there are for an item.
// An upload is five events: media.uploaded, then inspected, derived (two thumbnails) and screened, as the reactors append them,
// and, beside the item's own, one share.granted. Later come descriptions and accesses, of any item that its owner has by then.
const (
	weightUpload    = 50
	weightDescribed = 3 * weightUpload // title, description, a tag
	weightServed    = 6 * weightUpload
	weightReported  = 1 // one item in fifty gets a case
)

// loadSays is the load in words, for whoever reads the figures.
const loadSays = "per item: uploaded, inspected, derived, screened, 3 described, 1 share granted, 6 accesses served; a case for every 50th"

// owner is who makes a part of the load.
type owner struct {
	rnd  *rand.Rand
	mine []domain.MediaID
}

// fill appends histories of media, interleaved as many owners make them.
func (b *projectionBench) fill() error {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	const callers = 64
	missing := b.Events - int(head)
	b.say("load, %s", loadSays)
	start := time.Now()
	b.cpu.start()
	var group errgroup.Group
	for c := range callers {
		group.Go(func() error {
			o := owner{rnd: rand.New(rand.NewPCG(7, uint64(c)))} //nolint:gosec // a load needs no secrets
			for done := 0; done < missing/callers; {
				n, err := b.appendSome(&o)
				if err != nil {
					return err
				}
				done += n
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if missing > 0 {
		b.say("appended %d events, sealed, in %.1f s; %s", missing, time.Since(start).Seconds(), b.cpu.per(missing))
	}
	// What runs for long has been vacuumed; a table that was just filled has not.
	_, err = b.pool.Exec(b.ctx, "vacuum analyze")
	return err
}

// appendSome appends what happens next.
func (b *projectionBench) appendSome(o *owner) (int, error) {
	i := o.rnd.IntN(subjects)
	what := o.rnd.IntN(weightUpload + weightDescribed + weightServed + weightReported)
	if what < weightUpload || len(o.mine) == 0 {
		return b.upload(o, i)
	}
	id := o.mine[o.rnd.IntN(len(o.mine))]
	switch what -= weightUpload; {
	case what < weightDescribed:
		return b.append(media.Category, string(id), i, descriptionOf(o.rnd, i))
	case what < weightDescribed+weightServed:
		return b.append(access.Category, string(id), i, access.Served{
			Media: id, Version: 1, What: []string{"thumbnail", "content"}[o.rnd.IntN(2)], Via: access.ViaOwner, Bytes: 48_000,
		})
	}
	c := uuid.Must(uuid.NewV7()).String()
	return b.append(moderation.Category, c, i, moderation.Opened{
		Case: domain.CaseID(c), Media: id, Owner: subject(i), Origin: moderation.FromReport, By: subject(i + 1), Category: "other", Version: 1,
	})
}

func (b *projectionBench) append(category, id string, i int, events ...domain.Event) (int, error) {
	_, err := b.store.Append(b.ctx, eventstore.StreamOf(category, id), eventstore.Any, metadata(i), events...)
	return len(events), err
}

func (b *projectionBench) upload(o *owner, i int) (int, error) {
	id := domain.MediaID(uuid.Must(uuid.NewV7()).String())
	o.mine = append(o.mine, id)
	all := 0
	for _, events := range [][]domain.Event{{uploadOf(id, i)}, screeningOf(id)} {
		n, err := b.append(media.Category, string(id), i, events...)
		if err != nil {
			return all, err
		}
		all += n
	}
	s := uuid.Must(uuid.NewV7()).String()
	n, err := b.append(share.Category, s, i, share.Granted{
		Share: domain.ShareID(s), Media: id, Owner: subject(i), By: subject(i), With: share.Grantee{Kind: share.WithUser, User: subject(i + 1)},
		Terms: share.Terms{Permissions: []share.Permission{share.View}},
	})
	return all + n, err
}

func uploadOf(id domain.MediaID, i int) media.Uploaded {
	return media.Uploaded{
		Media: id, Owner: subject(i), Org: "", Title: domain.NewPersonal(subject(i), "IMG 1234"),
		File: media.File{
			Name: domain.NewPersonal(subject(i), "IMG_1234.jpg"), Type: "image/jpeg", Declared: "image/jpeg", Size: 4_300_000,
			SHA256: digestOf(id, 0), Object: domain.ObjectKey("o/" + string(id)), Way: media.WayForm,
		},
	}
}

// digestOf is a text of the length and variety of a digest.
func digestOf(id domain.MediaID, n byte) domain.Digest {
	return domain.Digest(strings.ReplaceAll(uuid.NewSHA1(uuid.Nil, append([]byte(id), n)).String()+uuid.NewSHA1(uuid.Nil, append([]byte(id), n, n)).String(), "-", ""))
}

func screeningOf(id domain.MediaID) []domain.Event {
	thumbnail := func(name string, width, height int, n byte) media.Derivative {
		return media.Derivative{
			Kind: media.KindThumbnail, Name: name, Type: "image/jpeg", Width: width, Height: height, Size: 9_000,
			SHA256: digestOf(id, n), Object: domain.ObjectKey("d/" + string(id) + "/" + name),
		}
	}
	return []domain.Event{
		media.Inspected{Version: 1, Width: 4032, Height: 3024, Orientation: 1, Camera: "Acme C-1", TakenAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		media.Derived{Version: 1, Derivatives: []media.Derivative{thumbnail("200", 200, 200, 1), thumbnail("400", 400, 300, 2)}, Blurhash: "LEHV6nWB2yk8pyo0adR*.7kCMdnj"},
		media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 90, Stages: []media.Stage{{Name: "type", Version: "1", Verdict: media.VerdictClean}}},
	}
}

func descriptionOf(rnd *rand.Rand, i int) media.Described {
	return media.Described{
		Title:       domain.NewPersonal(subject(i), fmt.Sprintf("Grandma's 80th birthday, picture %d", rnd.IntN(1e6))),
		Description: domain.NewPersonal(subject(i), "In the garden behind the house, with everybody who could come."),
		Tags:        []domain.Personal{domain.NewPersonal(subject(i), "family")},
	}
}
