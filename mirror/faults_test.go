package mirror_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// Pictures as small as they can be and still be recognised.
var (
	jpeg = []byte("\xff\xd8\xff\xe0 a small picture that is whole \xff\xd9")
	png  = []byte("\x89PNG\r\n\x1a\n a small picture \x00\x00\x00\x00IEND\xae\x42\x60\x82")
	webp = []byte("RIFF\x14\x00\x00\x00WEBPVP8 a small pic.")
)

// harness is a worker on a directory.
type harness struct {
	*mirror.Worker
	store *store.Dir
	root  string
}

func newHarness(t *testing.T, change func(*mirror.Options)) harness {
	t.Helper()
	root := t.TempDir()
	dir, err := store.OpenDir(root, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	o := mirror.Options{SourceRetries: 2, AllowPrivateSources: true, IdleTimeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	worker, err := mirror.New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return harness{worker, dir, root}
}

// stored lists the pictures that a user sees.
func (h harness) stored(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(h.root, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(name, "/.snapshot-mirror/") {
			relative, _ := filepath.Rel(h.root, name)
			names = append(names, relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func send(body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(body)
	}
}

// cut announces the whole body and breaks off in the middle.
func cut(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

// raw writes an answer by hand and closes the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(answer))
		_ = conn.Close()
	}
}

// first lets n requests go to one handler and all others to the next.
func first(n int64, a, b http.HandlerFunc) http.HandlerFunc {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= n {
			a(w, r)
			return
		}
		b(w, r)
	}
}

// stall sends a part, if any, and then nothing until the client goes away.
func stall(headers bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if headers {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(jpeg)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

func crc(b []byte) string {
	return strconv.FormatUint(crc64.Checksum(b, crc64.MakeTable(crc64.ECMA)), 10)
}

// What an origin can do to us, over a real socket, and what becomes of it. Reason "" is mirrored.
func TestOriginFaults(t *testing.T) {
	html := []byte("<!DOCTYPE html><html><body>Sorry</body></html>")
	md5Of := func(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }
	short := func(o *mirror.Options) { o.IdleTimeout, o.SourceRetries = 200*time.Millisecond, 0 }
	small := func(o *mirror.Options) { o.MaxImageSize = 20 }
	tests := []struct {
		name     string
		origin   http.HandlerFunc
		options  func(*mirror.Options)
		reason   mirror.Reason
		attempts int
	}{
		{"JPEG", send(jpeg), nil, "", 1},
		{"PNG", send(png), nil, "", 1},
		{"WebP", send(webp), nil, "", 1},
		{"all promises kept", send(jpeg, "ETag", md5Of(jpeg), "X-Cos-Hash-Crc64ecma", crc(jpeg)), nil, "", 1},
		{"chunked", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); _, _ = w.Write(jpeg) }, nil, "", 1},
		{"ETag of several parts", send(jpeg, "ETag", `"00000000000000000000000000000000-2"`), nil, "", 1},
		{"weak ETag", send(jpeg, "ETag", `W/"00000000000000000000000000000000"`), nil, "", 1},
		{"redirected, without telling where from", first(1, status(302, "Location", "/other.jpg"), func(w http.ResponseWriter, r *http.Request) {
			if r.Referer() == "" {
				send(jpeg)(w, r)
			}
		}), nil, "", 1},

		{"cut short", cut(jpeg), nil, mirror.Incomplete, 3},
		{"cut twice, then whole", first(2, cut(jpeg), send(jpeg)), nil, "", 3},
		{"chunks cut", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(jpeg)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, mirror.Incomplete, 3},
		{"HTML with 200", send(html, "Content-Type", "image/jpeg"), nil, mirror.NotAnImage, 1},
		{"JSON with 200", send([]byte(`{"error":1}`)), nil, mirror.NotAnImage, 1},
		{"gzip unasked", send([]byte("\x1f\x8b\x08\x00 and so on"), "Content-Encoding", "gzip"), nil, mirror.NotAnImage, 1},
		{"empty body", send(nil), nil, mirror.Incomplete, 3},
		{"wrong CRC64", send(jpeg, "X-Cos-Hash-Crc64ecma", crc(png)), nil, mirror.Incomplete, 3},
		{"CRC64 that is no number", send(jpeg, "X-Cos-Hash-Crc64ecma", "none"), nil, mirror.Incomplete, 3},
		{"wrong MD5", send(jpeg, "ETag", md5Of(png)), nil, mirror.Incomplete, 3},
		{"JPEG without its end", send(jpeg[:len(jpeg)-2]), nil, mirror.Incomplete, 3},
		{"PNG without its end", send(png[:len(png)-1]), nil, mirror.Incomplete, 3},
		{"WebP without its end", send(webp[:len(webp)-1]), nil, mirror.Incomplete, 3},
		{"JPEG with something behind it", send(append(jpeg[:len(jpeg):len(jpeg)], "<html>"...)), nil, mirror.Incomplete, 3},
		{"no length, no checksum", raw("HTTP/1.0 200 OK\r\n\r\n" + string(jpeg)), nil, mirror.Incomplete, 3},
		{"no length, but a CRC64", raw("HTTP/1.0 200 OK\r\nX-Cos-Hash-Crc64ecma: " + crc(jpeg) + "\r\n\r\n" + string(jpeg)), nil, "", 1},
		{"longer than announced", raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + string(jpeg)), nil, mirror.Incomplete, 3},

		{"404", status(404), nil, mirror.SourceMissing, 1},
		{"410", status(410), nil, mirror.SourceMissing, 1},
		{"401", status(401), nil, mirror.SourceDenied, 1},
		{"403", status(403), nil, mirror.SourceDenied, 1},
		{"451", status(451), nil, mirror.SourceDenied, 1},
		{"204", status(204), nil, mirror.Incomplete, 3},
		{"206", status(206), nil, mirror.Incomplete, 3},
		{"302 to nowhere", status(302), nil, mirror.SourceUnreachable, 3},
		{"503 always", status(503), nil, mirror.SourceBusy, 3},
		{"503 at first", first(1, status(503), send(jpeg)), nil, "", 2},
		{"408 at first", first(1, status(408), send(jpeg)), nil, "", 2},
		{"429 for a second", first(1, status(429, "Retry-After", "1"), send(jpeg)), nil, "", 2},
		{"429 for an hour", status(429, "Retry-After", "3600"), nil, mirror.SourceBusy, 1},
		{"429 with garbage", first(1, status(429, "Retry-After", "soon"), send(jpeg)), nil, "", 2},
		{"redirected for ever", status(302, "Location", "/again.jpg?sign=SECRET"), nil, mirror.SourceUnreachable, 3},
		{"redirected to another scheme", status(302, "Location", "ftp://host/x.jpg?sign=SECRET"), nil, mirror.SourceBlocked, 1},
		{"no HTTP", raw("SSH-2.0-OpenSSH_9.6\r\n"), nil, mirror.SourceUnreachable, 3},
		{"huge headers", send(jpeg, "X-Large", strings.Repeat("x", 100<<10)), nil, mirror.SourceUnreachable, 3},
		{"connection closed", raw(""), nil, mirror.SourceUnreachable, 3},
		{"no answer", stall(false), short, mirror.SourceUnreachable, 1},
		{"stalled body", stall(true), short, mirror.Incomplete, 1},
		{"too large", send(jpeg), small, mirror.TooLarge, 1},
		{"too large, chunked", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); _, _ = w.Write(jpeg) }, small, mirror.TooLarge, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, test.options)
			s := mirror.Snapshot{FileID: "1", TimeOffset: 1000, Definition: 10, TaskID: "t", URL: storetest.Serve(t, test.origin) + "/x.jpg?sign=SECRET"}
			r, err := h.Mirror(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if r.Reason != test.reason || r.Attempts != test.attempts {
				t.Errorf("%s %q after %d attempts (%v), want %q after %d", r.Outcome, r.Reason, r.Attempts, r.Err, test.reason, test.attempts)
			}
			line, err := json.Marshal(r)
			if err != nil || strings.Contains(string(line), "SECRET") {
				t.Errorf("the report's line is %s (%v), which must hold no query", line, err)
			}
			if test.reason != "" {
				if got := h.stored(t); r.Outcome != mirror.Failed || len(got) != 0 {
					t.Errorf("%s, and %q is stored", r.Outcome, got)
				}
				return
			}
			body, err := os.ReadFile(filepath.Join(h.root, "1", "1000"))
			if err != nil || r.Outcome != mirror.Mirrored || r.Bytes != int64(len(body)) {
				t.Errorf("%s with %d bytes; stored %d bytes, %v", r.Outcome, r.Bytes, len(body), err)
			}
			info, err := h.store.Head(t.Context(), "1/1000")
			if err != nil || strings.Contains(fmt.Sprint(info), "SECRET") || info.Metadata["task-id"] != "t" {
				t.Errorf("recorded %v (%v)", info, err)
			}
			if want := http.DetectContentType(body); info.ContentType != want {
				t.Errorf("content type %s, want %s", info.ContentType, want)
			}
		})
	}
}

func TestOriginAway(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	h := newHarness(t, nil)
	for _, url := range []string{gone.URL + "/x.jpg", "http://nowhere.invalid/x.jpg?sign=SECRET"} {
		r, err := h.Mirror(t.Context(), mirror.Snapshot{FileID: "1", URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if r.Reason != mirror.SourceUnreachable || r.Attempts != 3 || strings.Contains(r.Err.Error(), "SECRET") {
			t.Errorf("%s after %d attempts: %v", r.Reason, r.Attempts, r.Err)
		}
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	h := newHarness(t, nil)
	url := storetest.Serve(t, status(429, "Retry-After", "3600"))
	r, err := h.Mirror(t.Context(), mirror.Snapshot{FileID: "1", URL: url})
	if err != nil || r.RetryAfter != time.Hour {
		t.Errorf("retry after %s (%v), want an hour", r.RetryAfter, err)
	}
}
