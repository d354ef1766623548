package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"time"
)

// Client talks to a vault over HTTP as one person. It is what any program would write; it knows nothing of the inside.
type Client struct {
	Base  string // http://host:port
	Token string
	HTTP  *http.Client
	// After is the last position that this client wrote; its reads wait for it.
	After int64
}

// Written is the answer to a write.
type Written struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Position int64  `json:"position"`

	CaseID string `json:"case_id"`
	Number int    `json:"number"`
	Token  string `json:"token"`
}

// Problem is an answer that says no (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`

	again time.Duration // Retry-After, zero when it was not said
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// Do sends a request with a JSON body (none when body is nil) and reads a JSON answer into out (nothing when out is nil).
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var r io.Reader
	header := http.Header{}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode body of %s %s: %w", method, path, err)
		}
		r = bytes.NewReader(raw)
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.send(ctx, method, path, header, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return nil
}

// Write is Do for a request that appends; the client's later reads wait for it.
func (c *Client) Write(ctx context.Context, method, path string, body any) (Written, error) {
	var w Written
	err := c.Do(ctx, method, path, body, &w)
	return w, err
}

// Upload sends a file as a form, the way a browser or `curl -F` does.
func (c *Client) Upload(ctx context.Context, path, name, contentType string, file []byte, fields map[string]string) (Written, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for k, v := range fields {
		if err := form.WriteField(k, v); err != nil {
			return Written{}, err
		}
	}
	part, err := form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", name)},
		"Content-Type":        {contentType},
	})
	if err != nil {
		return Written{}, err
	}
	if _, err := part.Write(file); err != nil {
		return Written{}, err
	}
	if err := form.Close(); err != nil {
		return Written{}, err
	}
	resp, err := c.send(ctx, http.MethodPost, path, http.Header{"Content-Type": {form.FormDataContentType()}}, &body)
	if err != nil {
		return Written{}, err
	}
	defer resp.Body.Close()
	var w Written
	if err := json.NewDecoder(resp.Body).Decode(&w); err != nil {
		return Written{}, fmt.Errorf("upload %s: read answer: %w", name, err)
	}
	return w, nil
}

// Get reads the bytes at a path.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	resp, err := c.send(ctx, http.MethodGet, path, http.Header{}, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// Until asks again until done says so or ctx ends; what the vault does by itself takes a moment. An answer that says "not now"
// (503) is asked again, too.
func (c *Client) Until(ctx context.Context, path string, out any, done func() bool) error {
	for {
		err := c.Do(ctx, http.MethodGet, path, nil, out)
		if err != nil && !Refused(err, http.StatusServiceUnavailable) {
			return err
		}
		if err == nil && done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s did not come to what was waited for: %w", path, ctx.Err()), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// patience is how long a read goes on asking a vault that has not come to what this client wrote: one whose machine is busy, or
// that has just been started again.
const patience = 30 * time.Second

// send asks once, and a read of what is not visible yet ("not_yet") again, as the answer's Retry-After bids.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	if method != http.MethodGet {
		return c.once(ctx, method, path, header, body)
	}
	for began := time.Now(); ; {
		resp, err := c.once(ctx, method, path, header, nil)
		var p *Problem
		if !errors.As(err, &p) || p.Code != "not_yet" || time.Since(began) > patience {
			return resp, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(p.again):
		}
	}
}

func (c *Client) once(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	target, err := url.Parse(c.Base + path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.After > 0 && method == http.MethodGet {
		req.Header.Set("Vault-After", strconv.FormatInt(c.After, 10))
	}
	httpClient := c.HTTP
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	if at, err := strconv.ParseInt(resp.Header.Get("Vault-Position"), 10, 64); err == nil && method != http.MethodGet {
		c.After = max(c.After, at)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		p := &Problem{Status: resp.StatusCode}
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if json.Unmarshal(raw, p) != nil {
			p.Detail = string(raw)
		}
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			p.again = time.Duration(seconds) * time.Second
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, p)
	}
	return resp, nil
}

// Refused reports whether err is an answer with the status.
func Refused(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}
