package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Those who ask run in a process of their own, so that what they cost in CPU time and memory is not the vault's.

// LoadJob is what a process of clients is told to do: one of its fields.
type LoadJob struct {
	Requests *requestsJob `json:"requests,omitempty"`
	Upload   *uploadJob   `json:"upload,omitempty"`
}

// LoadResult is what it answers.
type LoadResult struct {
	Took []time.Duration `json:"took,omitempty"` // each request, or all of an upload, after the warm-up
	All  int             `json:"all"`            // requests, those of the warm-up, too
	CPU  time.Duration   `json:"cpu"`            // that the clients used
	Err  string          `json:"error,omitempty"`
}

// Load is the process of clients: it reads a LoadJob and writes a LoadResult, as JSON.
func Load(ctx context.Context, in io.Reader, out io.Writer) error {
	var job LoadJob
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read what is to be asked: %w", err)
	}
	var result LoadResult
	var err error
	began, _ := processOf("self")
	switch {
	case job.Requests != nil:
		result, err = job.Requests.run(ctx)
	case job.Upload != nil:
		result, err = job.Upload.run(ctx)
	default:
		err = errors.New("there is nothing to ask")
	}
	ended, _ := processOf("self")
	result.CPU = ended.used - began.used
	if err != nil {
		result.Err = err.Error()
	}
	return json.NewEncoder(out).Encode(result)
}

// ask runs the clients in a process of this binary, which answers to `bench load`.
func ask(ctx context.Context, job LoadJob) (LoadResult, error) {
	var result LoadResult
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	in, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	clients := exec.CommandContext(ctx, self, "bench", "load") //nolint:gosec // this binary
	clients.Stdin, clients.Stderr = bytes.NewReader(in), os.Stderr
	out, err := clients.Output()
	if err != nil {
		return result, fmt.Errorf("run the clients: %w", err)
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return result, fmt.Errorf("read what the clients saw: %w", err)
	}
	if result.Err != "" {
		return result, errors.New(result.Err)
	}
	return result, nil
}

// requestsJob is many clients, each of which sends one request after the other on a connection of its own. The requests are
// ready as bytes, so that the clients cost little of the machine that they share with the vault.
type requestsJob struct {
	Address  string        `json:"address"` // host:port
	Clients  int           `json:"clients"`
	Time     time.Duration `json:"time"`     // that is measured, after a second of warm-up
	Requests [][]byte      `json:"requests"` // each may contain one marker, in whose place comes a number that is never the same
}

const marker = "################"

func (j *requestsJob) run(ctx context.Context) (LoadResult, error) {
	warm := time.Now().Add(time.Second)
	end := warm.Add(j.Time)
	var mu sync.Mutex // guards result
	var result LoadResult
	g, ctx := errgroup.WithContext(ctx)
	for client := range j.Clients {
		g.Go(func() error {
			took, sent, err := j.client(ctx, client, warm, end)
			mu.Lock()
			defer mu.Unlock()
			result.Took = append(result.Took, took...)
			result.All += sent
			return err
		})
	}
	err := g.Wait()
	if err == nil && len(result.Took) == 0 {
		err = errors.New("nothing was answered")
	}
	return result, err
}

func (j *requestsJob) client(ctx context.Context, client int, warm, end time.Time) (took []time.Duration, sent int, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", j.Address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(end.Add(30 * time.Second)); err != nil {
		return nil, 0, err
	}
	answers := bufio.NewReaderSize(conn, 8<<10)
	var request []byte
	for n := 0; ctx.Err() == nil; n++ {
		template := j.Requests[(n*j.Clients+client)%len(j.Requests)]
		request = append(request[:0], template...)
		if at := bytes.Index(request, []byte(marker)); at >= 0 {
			unique(request[at:at+len(marker)], client<<40|n)
		}
		began := time.Now()
		if began.After(end) {
			return took, sent, nil
		}
		if _, err := conn.Write(request); err != nil {
			return took, sent, err
		}
		if err := readAnswer(answers); err != nil {
			return took, sent, err
		}
		sent++
		if began.After(warm) {
			took = append(took, time.Since(began))
		}
	}
	return took, sent, ctx.Err()
}

// unique writes a number in letters: digits might look like somebody's credit card, which is another thing to measure.
func unique(into []byte, n int) {
	for i := range into {
		into[i] = 'a' + byte(n&0xf)
		n >>= 4
	}
}

// readAnswer reads one answer of a known length. One that is not good is an error.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < len("HTTP/1.1 200") || line[9] != '2' {
		return fmt.Errorf("answered %q", line)
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer of no known length")
	}
	_, err = r.Discard(length)
	return err
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
