package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// DecisionOptions say against what it is measured how soon a decision is effective.
type DecisionOptions struct {
	Base      string // of a vault that runs, http://host:port
	Owner     string // tokens: of the owner,
	Recipient string // of somebody (user bob) with whom he shares,
	Moderator string // and of a moderator
	Decisions int    // 0: 100
}

// Decision measures how soon a moderator's decision is effective at every door: from when it is sent until the last request that
// was still answered with bytes began. Readers ask at each door as fast as they get answers.
func Decision(ctx context.Context, w io.Writer, o DecisionOptions) error {
	if o.Decisions == 0 {
		o.Decisions = 100
	}
	var answered []time.Duration
	effective := map[string][]time.Duration{}
	for n := range o.Decisions {
		took, doors, err := decideOnce(ctx, o, n)
		if err != nil {
			return fmt.Errorf("decision %d: %w", n, err)
		}
		answered = append(answered, took)
		for door, d := range doors {
			effective[door] = append(effective[door], d)
		}
	}
	fmt.Fprintf(w, "%-34s %s\n", "a decision is answered", quantiles(answered))
	for _, door := range []string{"owner", "named share", "named share, download", "link"} {
		fmt.Fprintf(w, "%-34s %s\n", "effective at: "+door, quantiles(effective[door]))
	}
	return nil
}

func quantiles(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("p50 %v  p99 %v  max %v", all[len(all)/2].Round(100*time.Microsecond), all[len(all)*99/100].Round(100*time.Microsecond), all[len(all)-1].Round(100*time.Microsecond))
}

// decideOnce uploads, shares and reports an item, has it read at every door, and quarantines it.
func decideOnce(ctx context.Context, o DecisionOptions, n int) (time.Duration, map[string]time.Duration, error) {
	client := func(token string) *demo.Client { return &demo.Client{Base: o.Base, Token: token} }
	owner, moderator := client(o.Owner), client(o.Moderator)
	body := fmt.Sprintf("%%PDF-1.4\n%% item %d\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n", n)
	up, err := owner.Upload(ctx, "/v1/media", fmt.Sprintf("decided-%d.pdf", n), "application/pdf", []byte(body), nil)
	if err != nil {
		return 0, nil, err
	}
	share := func(with map[string]any) (demo.Written, error) {
		return owner.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": with, "permissions": []string{"view", "download"}})
	}
	link, err := share(map[string]any{"link": true})
	if err == nil {
		_, err = share(map[string]any{"user": "bob"})
	}
	var item struct{ Status string }
	if err == nil {
		err = owner.Until(ctx, "/v1/media/"+up.ID, &item, func() bool { return item.Status != "processing" })
	}
	if err == nil && item.Status != "available" {
		err = fmt.Errorf("the item is %s", item.Status)
	}
	var opened demo.Written
	if err == nil {
		opened, err = moderator.Write(ctx, http.MethodPost, "/v1/moderation/cases", map[string]any{"media_id": up.ID, "category": "other"})
	}
	if err != nil {
		return 0, nil, err
	}
	doors := map[string]struct{ token, path string }{
		"owner":                 {o.Owner, "/v1/media/" + up.ID + "/content"},
		"named share":           {o.Recipient, "/v1/media/" + up.ID + "/content"},
		"named share, download": {o.Recipient, "/v1/media/" + up.ID + "/content?download=1"},
		"link":                  {"", "/v1/public/" + link.Token + "/content"},
	}
	var mu sync.Mutex // guards last
	last := map[string]time.Time{}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var open sync.WaitGroup // until every door was open once
	g, reading := errgroup.WithContext(reading)
	for name, door := range doors {
		open.Add(1)
		var once sync.Once
		g.Go(func() error {
			defer once.Do(open.Done)
			for reading.Err() == nil {
				began := time.Now()
				bytes, err := client(door.token).Get(reading, door.path)
				if err == nil && len(bytes) > 0 {
					mu.Lock()
					last[name] = began
					mu.Unlock()
					once.Do(open.Done)
				}
			}
			return nil
		})
	}
	open.Wait()
	sent := time.Now()
	decision, _ := json.Marshal(map[string]any{"action": "quarantine", "reason": "r", "policy": "p", "statement": "s"})
	_, err = moderator.Write(ctx, http.MethodPost, "/v1/moderation/cases/"+opened.ID+"/decisions", json.RawMessage(decision))
	took := time.Since(sent)
	// Readers stay for as long as a decision may take, so that a late delivery would be seen.
	select {
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond):
	}
	stop()
	_ = g.Wait()
	effective := map[string]time.Duration{}
	for name, at := range last {
		effective[name] = max(0, at.Sub(sent))
	}
	return took, effective, err
}
