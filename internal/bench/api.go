package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"
)

// APIOptions say against what the API is measured, and how long.
type APIOptions struct {
	Base    string // of a vault that runs, http://host:port
	Token   string // of a user
	Clients int    // 0: 64
	Items   int    // that are described; 0: 512
	Time    time.Duration
}

// API measures the write API over real HTTP: PATCH of a title by many clients with the token checked, beside the same clients
// asking for /healthz, which is what HTTP itself costs here.
func API(ctx context.Context, w io.Writer, o APIOptions) error {
	if o.Clients == 0 {
		o.Clients = 64
	}
	if o.Items == 0 {
		o.Items = 512
	}
	if o.Time == 0 {
		o.Time = 10 * time.Second
	}
	ids, err := someItems(ctx, o)
	if err != nil {
		return err
	}
	ceiling, err := hammer(ctx, o, func(int, int) []byte {
		return []byte("GET /healthz HTTP/1.1\r\nHost: vault\r\n\r\n")
	})
	if err != nil {
		return err
	}
	patch, err := hammer(ctx, o, func(client, n int) []byte {
		body := fmt.Sprintf(`{"title":"Harbour %d of client %d, at dusk"}`, n, client)
		return fmt.Appendf(nil, "PATCH /v1/media/%s HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			ids[(n*o.Clients+client)%len(ids)], o.Token, len(body), body)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "GET /healthz, %d clients (what HTTP costs)  %s  %s\n", o.Clients, ceiling.requests(), ceiling.cpu)
	fmt.Fprintf(w, "PATCH title, %d clients, token checked      %s  (%.2fx of /healthz)  %s\n", o.Clients, patch.requests(), patch.perSecond/ceiling.perSecond, patch.cpu)
	return nil
}

// someItems uploads the items that are described.
func someItems(ctx context.Context, o APIOptions) ([]string, error) {
	ids := make([]string, o.Items)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range ids {
		g.Go(func() error {
			body := fmt.Sprintf("%%PDF-1.4\n%% item %d\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n", i)
			var err error
			ids[i], err = uploadBody(ctx, o, fmt.Sprintf("item-%d.pdf", i), "application/pdf", strings.NewReader(body), int64(len(body)))
			return err
		})
	}
	return ids, g.Wait()
}

// uploadBody sends a raw body and answers the item's id.
func uploadBody(ctx context.Context, o APIOptions, name, contentType string, body io.Reader, size int64) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Base+"/v1/media", body)
	if err != nil {
		return "", err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+o.Token)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		ID     string `json:"id"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("upload: %s: %s", resp.Status, answer.Detail)
	}
	return answer.ID, nil
}

func figuresOf(took []time.Duration, all time.Duration) figures {
	slices.Sort(took)
	return figures{
		perSecond: float64(len(took)) / all.Seconds(),
		p50:       took[len(took)/2], p99: took[len(took)*99/100], max: took[len(took)-1],
	}
}

func (f figures) requests() string {
	return fmt.Sprintf("%9.0f req/s  p50 %7s   p99 %7s   max %7s", f.perSecond, short(f.p50), short(f.p99), short(f.max))
}

// hammer lets every client send one request after the other on a connection of its own, for the time, after a short warm-up.
// The requests are written as bytes, so that the clients cost little of the machine that they share with the vault.
func hammer(ctx context.Context, o APIOptions, request func(client, n int) []byte) (figures, error) {
	target, err := url.Parse(o.Base)
	if err != nil {
		return figures{}, err
	}
	cpu := newOwnCPUMeter()
	cpu.start()
	all := 0 // requests
	warm := time.Now().Add(time.Second)
	end := warm.Add(o.Time)
	var mu sync.Mutex // guards took and all
	var took []time.Duration
	g, ctx := errgroup.WithContext(ctx)
	for client := range o.Clients {
		g.Go(func() error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.SetDeadline(end.Add(30 * time.Second)); err != nil {
				return err
			}
			answers := bufio.NewReader(conn)
			var mine []time.Duration
			sent := 0
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				if began.After(end) {
					break
				}
				if _, err := conn.Write(request(client, n)); err != nil {
					return err
				}
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					return err
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					return err
				}
				if resp.StatusCode >= http.StatusBadRequest {
					return fmt.Errorf("answered %s", resp.Status)
				}
				sent++
				if began.After(warm) {
					mine = append(mine, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			all += sent
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return figures{}, err
	}
	if len(took) == 0 {
		return figures{}, errors.New("nothing was answered")
	}
	f := figuresOf(took, o.Time)
	f.cpu = cpu.per(all) + ", all that the vault does meanwhile included"
	return f, nil
}

// UploadOptions say where the vault and its storage are.
type UploadOptions struct {
	APIOptions
	Endpoint, AccessKey, SecretKey, Region, Bucket string // of the same S3 that the vault uses
	Size                                           int64  // bytes; 0: 1 GiB
	Rounds                                         int    // 0: 3
}

// Upload measures one large upload through the API beside a raw minio-go put of the same bytes to the same S3, in turn, and
// answers the medians.
func Upload(ctx context.Context, w io.Writer, o UploadOptions) error {
	if o.Size == 0 {
		o.Size = 1 << 30
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	client, err := minio.New(strings.TrimPrefix(o.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Region: o.Region,
	})
	if err != nil {
		return err
	}
	var api, raw []float64
	for i := range o.Rounds {
		began := time.Now()
		if _, err := client.PutObject(ctx, o.Bucket, fmt.Sprintf("bench/raw-%d", i), noise(o.Size), o.Size, minio.PutObjectOptions{
			ContentType: "video/mp4", DisableContentSha256: true,
		}); err != nil {
			return fmt.Errorf("raw put: %w", err)
		}
		raw = append(raw, rate(o.Size, began))
		if err := client.RemoveObject(ctx, o.Bucket, fmt.Sprintf("bench/raw-%d", i), minio.RemoveObjectOptions{}); err != nil {
			return err
		}
		began = time.Now()
		if _, err := uploadBody(ctx, o.APIOptions, fmt.Sprintf("film-%d.mp4", i), "video/mp4", noise(o.Size), o.Size); err != nil {
			return err
		}
		api = append(api, rate(o.Size, began))
	}
	a, r := median(api), median(raw)
	fmt.Fprintf(w, "upload of %d MiB: raw minio-go put %.0f MiB/s, through the API %.0f MiB/s (%.2fx, medians of %d)\n", o.Size>>20, r, a, a/r, o.Rounds)
	return nil
}

func rate(size int64, began time.Time) float64 {
	return float64(size>>20) / time.Since(began).Seconds()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// noise is a film of the size to whoever looks at its first bytes, and noise behind.
func noise(size int64) io.Reader {
	head := append([]byte{0, 0, 0, 0x20}, "ftypisom\x00\x00\x02\x00isomiso2avc1mp41"...)
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	return io.MultiReader(bytes.NewReader(head), io.LimitReader(&repeated{block: block}, size-int64(len(head))))
}

type repeated struct {
	block []byte
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}
