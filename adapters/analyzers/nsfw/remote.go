package nsfw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrUnavailable is a model that does not answer, or not as it should.
var ErrUnavailable = errors.New("the model does not answer")

// Remote asks a model over HTTP: POST of the picture as image/jpeg; the answer is JSON, {"model": "...", "scores": {class: likelihood}},
// with "unsafe" beside them unless porn and hentai together are that.
type Remote struct {
	url    string
	client *http.Client
}

// NewRemote makes a Remote that asks at the URL and waits 10 s for an answer.
func NewRemote(url string) *Remote {
	return &Remote{url: url, client: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxAnswer bounds the model's answer, in bytes.
const maxAnswer = 64 << 10

// Score implements the same as Model. Errors: ErrUnavailable.
func (r *Remote) Score(ctx context.Context, picture []byte) (Scored, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(picture))
	if err != nil {
		return Scored{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	req.Header.Set("Content-Type", "image/jpeg")
	req.Header.Set("Accept", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return Scored{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Scored{}, fmt.Errorf("%w: status %d", ErrUnavailable, res.StatusCode)
	}
	var answer struct {
		Model  string             `json:"model"`
		Unsafe *float64           `json:"unsafe"`
		Scores map[string]float64 `json:"scores"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return Scored{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	said := Scored{Classes: map[string]float64{}, Model: answer.Model[:min(len(answer.Model), 200)]}
	for name, score := range answer.Scores {
		if !(score >= 0 && score <= 1) || name == "" || len(name) > 50 || len(answer.Scores) > 50 {
			return Scored{}, fmt.Errorf("%w: %q is no likelihood", ErrUnavailable, name)
		}
		name = strings.ToLower(name)
		said.Classes[name] = score
		if name == "porn" || name == "hentai" {
			said.Unsafe += score
		}
	}
	if answer.Unsafe != nil {
		said.Unsafe = *answer.Unsafe
	}
	said.Unsafe = min(said.Unsafe, 1+1e-3)
	if len(said.Classes) == 0 || said.Unsafe < 0 || answer.Unsafe != nil && *answer.Unsafe > 1 {
		return Scored{}, fmt.Errorf("%w: it says no scores", ErrUnavailable)
	}
	said.Unsafe = min(said.Unsafe, 1)
	return said, nil
}
