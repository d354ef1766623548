package describers_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/describers"
)

// eye is a server that answers as the test says, and counts how often it was asked.
func eye(t *testing.T, answer http.HandlerFunc) (describers.Provider, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return describers.Provider{URL: s.URL + "/v1", Key: "k", Model: "eye-1", Timeout: 5 * time.Second}, &asked
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]any{"content": text}}}})
	}
}

// hangs until the asker has gone, and answers then: too late.
func hangs(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices who goes
	<-r.Context().Done()
	says("too late")(w, r)
}

func TestAPictureIsSentAsTheAPIWantsIt(t *testing.T) {
	t.Parallel()
	var body struct {
		Model    string
		Messages []struct {
			Content []struct {
				Type     string
				ImageURL struct{ URL string } `json:"image_url"`
			}
		}
	}
	first, _ := eye(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		says("A harbour at dawn.")(w, r)
	})
	first.Name = "first"
	got, err := describers.New(nil, first).Describe(t.Context(), "image/jpeg", []byte("bytes"))
	if err != nil || got.Text != "A harbour at dawn." || got.Provider != "first" || got.Model != "eye-1" || len(got.Failed) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if body.Model != "eye-1" || body.Messages[0].Content[1].ImageURL.URL != "data:image/jpeg;base64,Ynl0ZXM=" {
		t.Errorf("sent %+v", body)
	}
}

func TestTheSecondIsAskedWhenTheFirstDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
	}{
		"it fails":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "status_500"},
		"it refuses": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, "status_429"},
		"it sends elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}, "status_302"},
		"it hangs":             {hangs, "timeout"},
		"it says nothing":      {says(" "), "bad_answer"},
		"it does not say JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "bad_answer"},
		"it says half":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"choices":[{"mess`) }, "bad_answer"},
		"it never stops saying": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 2<<20))
		}, "bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, _ := eye(t, c.answer)
			if c.code == "timeout" {
				first.Timeout = 50 * time.Millisecond
			}
			first.Name = "first"
			second, _ := eye(t, says("A harbour."))
			got, err := describers.New(nil, first, second).Describe(t.Context(), "image/jpeg", []byte("bytes"))
			if err != nil || got.Text != "A harbour." || len(got.Failed) != 1 || got.Failed[0] != "first: "+c.code {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestOneThatKeepsFailingIsNotAskedForAWhile(t *testing.T) {
	t.Parallel()
	first, asked := eye(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	second, _ := eye(t, says("A harbour."))
	d := describers.New(nil, first, second)
	for range 10 {
		if got, err := d.Describe(t.Context(), "image/jpeg", nil); err != nil || got.Text == "" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestWhenNobodyAnswersItIsSaidWhy(t *testing.T) {
	t.Parallel()
	first, _ := eye(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	gone := httptest.NewServer(nil)
	gone.Close()
	got, err := describers.New(nil, first, describers.Provider{Name: "gone", URL: gone.URL}).Describe(t.Context(), "image/jpeg", nil)
	if err != nil || got.Text != "" || len(got.Failed) != 2 || got.Failed[1] != "gone: unreachable" {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := describers.New(nil, first).Describe(ctx, "image/jpeg", nil); err == nil {
		t.Error("a question that was given up was answered")
	}
}
