package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browser is one tab of a headless Chromium, told what to do through the DevTools protocol on a pipe.
type browser struct {
	t       *testing.T
	session string

	mu      sync.Mutex // guards what follows
	to      *os.File
	last    int
	answers map[int]chan json.RawMessage
}

// chromium is where a browser is installed; empty: nowhere.
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startBrowser runs it until the test ends.
func startBrowser(t *testing.T, path string) *browser {
	t.Helper()
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "mediavault-browser-") //nolint:usetesting // its processes end after the first of them, and write until then
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
		"--no-first-run", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank",
	}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // it has none for root
	}
	cmd := exec.Command(path, args...) //nolint:gosec // found on PATH
	cmd.ExtraFiles = []*os.File{theirs, answers}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirs.Close(), answers.Close()
	b := &browser{t: t, to: to, answers: map[int]chan json.RawMessage{}}
	done := make(chan struct{})
	go func() { // ends when the browser has
		defer close(done)
		b.listen(from)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-done
		_, _, _ = to.Close(), from.Close(), os.RemoveAll(profile)
	})
	var target struct {
		ID string `json:"targetId"`
	}
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.ask("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.ask("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b.session = attached.Session
	return b
}

// listen hands answers to who asked. Messages end with a zero byte.
func (b *browser) listen(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil || m.ID == 0 {
			continue // what happens, and nobody asked about
		}
		b.mu.Lock()
		waiting := b.answers[m.ID]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		if waiting != nil {
			waiting <- m.Result
		}
	}
}

// ask has the browser do something, and reads its answer.
func (b *browser) ask(method string, params map[string]any, into any) {
	b.t.Helper()
	answer := make(chan json.RawMessage, 1)
	b.mu.Lock()
	b.last++
	b.answers[b.last] = answer
	message, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": b.session})
	if b.session == "" {
		message, err = json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	}
	if err == nil {
		_, err = b.to.Write(append(message, 0))
	}
	b.mu.Unlock()
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	ctx, cancel := context.WithTimeoutCause(b.t.Context(), time.Minute, errors.New("no answer in a minute"))
	defer cancel()
	select {
	case text := <-answer:
		if err := json.Unmarshal(text, into); err != nil {
			b.t.Fatalf("%s: %v in %s", method, err, text)
		}
	case <-ctx.Done():
		b.t.Fatalf("%s: %v", method, context.Cause(ctx))
	}
}

// goTo leads the tab to an address.
func (b *browser) goTo(address string) {
	b.t.Helper()
	var went struct {
		Error string `json:"errorText"`
	}
	if b.ask("Page.navigate", map[string]any{"url": address}, &went); went.Error != "" {
		b.t.Fatalf("%s: %s", address, went.Error)
	}
}

// eval answers what an expression comes to, as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var got struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	b.ask("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &got)
	if got.Exception != nil {
		return "exception: " + got.Exception.Text
	}
	return fmt.Sprint(got.Result.Value)
}
