package writeapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
)

func TestAVanishedStorageIsSaidToBeUnavailable(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	png := picture("before")
	v.upload("alice", "there")
	events := len(v.events())

	// In mid-request: the first half is on its way when storage goes.
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.url+"/v1/media", reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+v.token("alice"))
	r.Header.Set("Content-Disposition", "attachment; filename=a.png")
	half := append(bytes.Clone(png), make([]byte, 20<<20)...)
	go func() {
		_, _ = writer.Write(half)
		_ = v.storage.Kill()
		_, _ = writer.Write(half)
		_ = writer.Close()
	}()
	v.want(v.send(r), 503, "unavailable")

	got := v.do("alice", "POST", "/v1/media", png, "Content-Disposition", "attachment; filename=a.png")
	if v.want(got, 503, "unavailable").header.Get("Retry-After") == "" {
		t.Error("nobody says when to ask again")
	}
	v.want(v.do("alice", "POST", "/v1/uploads", `{"filename":"a.png","size":10,"sha256":"`+sumOf("a")+`"}`), 201, "") // signing asks nobody
	for _, rec := range v.events()[events:] {
		if rec.Type != "media.upload_requested" {
			t.Errorf("%s was written", rec.Type)
		}
	}
	if err := v.storage.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	v.upload("alice", "after")
}
