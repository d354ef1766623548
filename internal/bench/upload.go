package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// UploadOptions say where the vault and its storage are.
type UploadOptions struct {
	Served
	S3     Storage // the same that the vault uses
	Size   int64   // bytes; 0: 1 GiB
	Rounds int     // 0: 3
}

// Storage is a bucket of an S3.
type Storage struct {
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Region    string `json:"region"`
	Bucket    string `json:"bucket"`
}

// Upload measures one large upload through the API, as a raw body and as a form, beside raw minio-go puts of the same bytes to
// the same S3, in turn, and answers the medians and the vault's peak memory. The vault serves without reactors: screening reads
// what was uploaded, and would be measured with the next one.
func Upload(ctx context.Context, w io.Writer, o UploadOptions) error {
	if o.Size == 0 {
		o.Size = 1 << 30
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	ways := []struct{ how, name string }{
		{putPlain, "raw minio-go put"},
		{putTuned, "raw minio-go put, parts at once as the vault's"},
		{postBody, "through the API, raw body"},
		{postForm, "through the API, multipart form"},
	}
	rates, costs := map[string][]float64{}, map[string][]float64{}
	var peak int64
	for round := range o.Rounds {
		for i := range ways {
			way := ways[(i+round)%len(ways)].how // whoever comes first finds another disk
			memory := restPeak()
			cpu, _ := processOf("self")
			got, err := ask(ctx, LoadJob{Upload: &uploadJob{How: way, Served: o.Served, S3: o.S3, Size: o.Size, Name: fmt.Sprintf("film-%d", round)}})
			if err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
			after, _ := processOf("self")
			rates[way] = append(rates[way], float64(o.Size>>20)/got.Took[0].Seconds())
			costs[way] = append(costs[way], (after.used - cpu.used).Seconds())
			if way == postBody || way == postForm {
				peak = max(peak, memory())
			}
		}
	}
	raw := max(median(rates[putPlain]), median(rates[putTuned]))
	for _, way := range ways {
		m := median(rates[way.how])
		fmt.Fprintf(w, "%-48s %6.0f MiB/s  %.2fx of the better raw put", way.name, m, m/raw)
		if way.how == postBody || way.how == postForm {
			fmt.Fprintf(w, "  CPU of the vault %.2f s/GiB", median(costs[way.how])*float64(1<<30)/float64(o.Size))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d MiB each, medians of %d; memory of the vault at most %d MiB\n", o.Size>>20, o.Rounds, peak>>20)
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// The ways of an uploadJob.
const (
	putPlain = "put"
	putTuned = "put-parts"
	postBody = "body"
	postForm = "form"
)

// uploadJob is one upload of a film of the size.
type uploadJob struct {
	How string `json:"how"`
	Served
	S3   Storage `json:"s3"`
	Size int64   `json:"size"`
	Name string  `json:"name"`
}

func (j *uploadJob) run(ctx context.Context) (LoadResult, error) {
	film := noise(j.Size)
	began := time.Now()
	var took time.Duration
	var err error
	switch j.How {
	case postBody:
		_, err = uploadBody(ctx, j.Served, j.Name+".mp4", "video/mp4", film, j.Size)
		took = time.Since(began)
	case postForm:
		err = j.form(ctx, film)
		took = time.Since(began)
	default:
		took, err = j.put(ctx, film)
	}
	return LoadResult{Took: []time.Duration{took}, All: 1}, err
}

// put puts the film with minio-go alone, and removes it.
func (j *uploadJob) put(ctx context.Context, film io.Reader) (time.Duration, error) {
	client, err := minio.New(strings.TrimPrefix(j.S3.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(j.S3.AccessKey, j.S3.SecretKey, ""), Region: j.S3.Region,
	})
	if err != nil {
		return 0, err
	}
	o := minio.PutObjectOptions{ContentType: "video/mp4", DisableContentSha256: true}
	if j.How == putTuned {
		o.PartSize, o.NumThreads, o.ConcurrentStreamParts = 8<<20, 4, true
	}
	key := "bench/" + j.Name
	began := time.Now()
	_, err = client.PutObject(ctx, j.S3.Bucket, key, film, j.Size, o)
	took := time.Since(began)
	return took, errors.Join(err, client.RemoveObject(ctx, j.S3.Bucket, key, minio.RemoveObjectOptions{}))
}

// form sends the film as a browser does.
func (j *uploadJob) form(ctx context.Context, film io.Reader) error {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if err := form.WriteField("title", "A film"); err != nil {
		return err
	}
	if _, err := form.CreateFormFile("file", j.Name+".mp4"); err != nil {
		return err
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	size := int64(head.Len()) + j.Size + int64(len(tail))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.Base+"/v1/media", io.MultiReader(&head, film, strings.NewReader(tail)))
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", form.FormDataContentType())
	_, err = sendUpload(j.Served, req)
	return err
}

// restPeak begins to watch this process's resident memory, and answers what tells its peak since, in bytes: 0 off Linux.
func restPeak() func() int64 {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // resets VmHWM; where it cannot, the peak is that of all before
	return func() int64 {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return 0
		}
		_, line, _ := strings.Cut(string(status), "VmHWM:")
		line, _, _ = strings.Cut(line, "kB")
		kib, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return kib << 10
	}
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
