package mirror_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What an origin can do to us, over a real socket, and what becomes of it: the reason, or "" for mirrored, after so many attempts, of which
// there are at most 3. What fails is never stored, and nobody's words get into logs, errors, reports or metadata: each request has a query
// and a header with SECRET in them, and many answers repeat them.
func TestOriginFaults(t *testing.T) {
	html := []byte("<!DOCTYPE html><html><body>Sorry</body></html>")
	whole := "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(jpeg)) + "\r\n\r\n" + string(jpeg)
	md5Of := func(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }
	date := func(in time.Duration) string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
	short := func(o *mirror.Options) { o.IdleTimeout, o.SourceRetries = 200*time.Millisecond, 0 }
	brief := func(o *mirror.Options) { o.AttemptTimeout, o.SourceRetries = 300*time.Millisecond, 0 }
	small := func(o *mirror.Options) { o.MaxImageSize = 20 }
	goodTLS := byTLS("127.0.0.1", time.Hour, true)
	plain := ""
	tests := []struct {
		name     string
		origin   http.HandlerFunc
		options  func(*mirror.Options)
		reason   mirror.Reason
		attempts int
		where    where // nil is plain http
	}{
		// Whole pictures.
		{"JPEG", send(jpeg), nil, "", 1, nil},
		{"PNG", send(png), nil, "", 1, nil},
		{"WebP", send(webp), nil, "", 1, nil},
		{"by TLS", send(jpeg), nil, "", 1, goodTLS},
		{"all promises kept", send(jpeg, "ETag", md5Of(jpeg), "X-Cos-Hash-Crc64ecma", crc(jpeg)), nil, "", 1, nil},
		{"chunked", chunked(jpeg), nil, "", 1, nil},
		{"called HTML", send(jpeg, "Content-Type", "text/html"), nil, "", 1, nil},
		{"ETag of several parts", send(jpeg, "ETag", `"00000000000000000000000000000000-2"`), nil, "", 1, nil},
		{"weak ETag", send(jpeg, "ETag", `W/"00000000000000000000000000000000"`), nil, "", 1, nil},
		{"ETag for a terminal", raw("HTTP/1.1 200 OK\r\nETag: \"\u009b31m\u202e\xff\"\r\n" + whole[17:]), nil, "", 1, nil},
		{"no length, but a CRC64", raw("HTTP/1.0 200 OK\r\nX-Cos-Hash-Crc64ecma: " + crc(jpeg) + "\r\n\r\n" + string(jpeg)), nil, "", 1, nil},
		{"early hints before it", raw("HTTP/1.1 103 Early Hints\r\nLink: </x?sign=SECRET>\r\n\r\n" + whole), nil, "", 1, nil},
		{"redirected, without telling where from", first(1, status(302, "Location", "/other.jpg"), func(w http.ResponseWriter, r *http.Request) {
			if r.Referer() == "" {
				send(jpeg)(w, r)
			}
		}), nil, "", 1, nil},

		// Not whole, or no picture.
		{"cut short", cut(jpeg), nil, mirror.Incomplete, 3, nil},
		{"cut twice, then whole", first(2, cut(jpeg), send(jpeg)), nil, "", 3, nil},
		{"chunks cut", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(jpeg)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, mirror.Incomplete, 3, nil},
		{"chunk of no size", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n?sign=SECRET\r\n"), nil, mirror.Incomplete, 3, nil},
		{"chunk with endless extensions", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=" + strings.Repeat("x", 1<<20)), nil, mirror.Incomplete, 3, nil},
		{"chunks of a byte with large extensions", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;x="+strings.Repeat("x", 2000)+"\r\nx\r\n", 1000)), nil, mirror.Incomplete, 3, nil},
		{"endless trailers", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + strings.Repeat("X-A: b\r\n", 100_000)), nil, mirror.Incomplete, 3, nil},
		{"reset in the body", hangUp("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + string(jpeg)), nil, mirror.Incomplete, 3, nil},
		{"reset at first", first(2, hangUp(""), send(jpeg)), nil, "", 3, nil},
		{"longer than announced", raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + string(jpeg)), nil, mirror.Incomplete, 3, nil},
		{"no length, no checksum", raw("HTTP/1.0 200 OK\r\n\r\n" + string(jpeg)), nil, mirror.Incomplete, 3, nil},
		{"empty body", send(nil), nil, mirror.Incomplete, 3, nil},
		{"wrong CRC64", send(jpeg, "X-Cos-Hash-Crc64ecma", crc(png)), nil, mirror.Incomplete, 3, nil},
		{"CRC64 that is no number", send(jpeg, "X-Cos-Hash-Crc64ecma", "?sign=none"), nil, mirror.Incomplete, 3, nil},
		{"wrong MD5", send(jpeg, "ETag", md5Of(png)), nil, mirror.Incomplete, 3, nil},
		{"JPEG without its end", send(jpeg[:len(jpeg)-2]), nil, mirror.Incomplete, 3, nil},
		{"PNG without its end", send(png[:len(png)-1]), nil, mirror.Incomplete, 3, nil},
		{"PNG with a hole", send(bytes.Replace(png, []byte("small"), make([]byte, 5), 1)), nil, mirror.Incomplete, 3, nil},
		{"WebP without its end", send(webp[:len(webp)-1]), nil, mirror.Incomplete, 3, nil},
		{"206 with a part", send(jpeg[:10], "Content-Range", "bytes 0-9/100"), nil, mirror.Incomplete, 3, nil},
		{"204", status(204), nil, mirror.Incomplete, 3, nil},
		{"206", status(206), nil, mirror.Incomplete, 3, nil},
		{"HTML with 200", send(html, "Content-Type", "image/jpeg"), nil, mirror.NotAnImage, 1, nil},
		{"JSON with 200", send([]byte(`{"error":"?sign=SECRET"}`)), nil, mirror.NotAnImage, 1, nil},
		{"text for a terminal", send([]byte("\x1b]0;title\x07\x1b[31m")), nil, mirror.NotAnImage, 1, nil},
		{"gzip unasked", send(gzipped(jpeg), "Content-Encoding", "gzip"), nil, mirror.NotAnImage, 1, nil},
		{"too large", send(jpeg), small, mirror.TooLarge, 1, nil},
		{"too large, chunked", chunked(jpeg), small, mirror.TooLarge, 1, nil},

		// Pictures that are something else too.
		{"JPEG and HTML", send(with(jpeg, "<html>")), nil, mirror.Incomplete, 3, nil},
		{"JPEG and ZIP", send(with(jpeg, "PK\x05\x06"+strings.Repeat("\x00", 18))), nil, mirror.Incomplete, 3, nil},
		{"PNG and more", send(with(png, "\x00")), nil, mirror.Incomplete, 3, nil},
		{"PNG and PNG", send(with(png, string(png))), nil, mirror.Incomplete, 3, nil},
		{"WebP and JAR", send(with(webp, "PK\x03\x04")), nil, mirror.Incomplete, 3, nil},
		{"GIF and JAR", send([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;PK\x03\x04")), nil, mirror.NotAnImage, 1, nil},
		{"SVG", send([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "Content-Type", "image/svg+xml"), nil, mirror.NotAnImage, 1, nil},
		{"HTML and JPEG", send(append(html, jpeg...)), nil, mirror.NotAnImage, 1, nil},

		// Answers that say no.
		{"404", status(404), nil, mirror.SourceMissing, 1, nil},
		{"410", status(410), nil, mirror.SourceMissing, 1, nil},
		{"401", status(401), nil, mirror.SourceDenied, 1, nil},
		{"403", status(403), nil, mirror.SourceDenied, 1, nil},
		{"403 for a terminal", raw("HTTP/1.1 403 \x1b[31m?sign=SECRET\r\nContent-Length: 0\r\n\r\n"), nil, mirror.SourceDenied, 1, nil},
		{"451", status(451), nil, mirror.SourceDenied, 1, nil},
		{"304 unasked", status(304), nil, mirror.SourceUnreachable, 3, nil},
		{"500 always", status(500), nil, mirror.SourceBusy, 3, nil},
		{"503 always", status(503), nil, mirror.SourceBusy, 3, nil},
		{"503 at first", first(1, status(503), send(jpeg)), nil, "", 2, nil},
		{"999", status(999), nil, mirror.SourceBusy, 3, nil},
		{"408 at first", first(1, status(408), send(jpeg)), nil, "", 2, nil},
		{"425 at first", first(1, status(425), send(jpeg)), nil, "", 2, nil},
		{"429 for a second", first(1, status(429, "Retry-After", "1"), send(jpeg)), nil, "", 2, nil},
		{"429 until a time", first(1, status(429, "Retry-After", date(2*time.Second)), send(jpeg)), nil, "", 2, nil},
		{"429 until a time that is past", first(1, status(429, "Retry-After", date(-time.Hour)), send(jpeg)), nil, "", 2, nil},
		{"429 for no time", first(1, status(429, "Retry-After", "0"), send(jpeg)), nil, "", 2, nil},
		{"429 for a negative time", first(1, status(429, "Retry-After", "-5"), send(jpeg)), nil, "", 2, nil},
		{"429 for an hour", status(429, "Retry-After", "3600"), nil, mirror.SourceBusy, 1, nil},
		{"429 for ten years", status(429, "Retry-After", "315360000"), nil, mirror.SourceBusy, 1, nil},
		{"429 until in ten years", status(429, "Retry-After", date(10*365*24*time.Hour)), nil, mirror.SourceBusy, 1, nil},
		{"429 for longer than a number holds", first(1, status(429, "Retry-After", strings.Repeat("9", 100)), send(jpeg)), nil, "", 2, nil},
		{"429 with garbage", first(1, status(429, "Retry-After", "\x1b[31msoon?sign=SECRET"), send(jpeg)), nil, "", 2, nil},
		{"503 until a time in asctime's form", first(1, status(503, "Retry-After", time.Now().UTC().Format(time.ANSIC)), send(jpeg)), nil, "", 2, nil},

		// Redirects.
		{"302 to nowhere", status(302), nil, mirror.SourceUnreachable, 3, nil},
		{"302 to what is no URL", status(302, "Location", "http://[?sign=SECRET"), nil, mirror.SourceUnreachable, 3, nil},
		{"redirected for ever", status(302, "Location", "/again.jpg?sign=SECRET"), nil, mirror.SourceUnreachable, 3, nil},
		{"redirected to another scheme", status(302, "Location", "ftp://host/x.jpg?sign=SECRET"), nil, mirror.SourceBlocked, 1, nil},
		{"redirected with a user name", status(302, "Location", "http://user:SECRET@host/x.jpg"), nil, mirror.SourceBlocked, 1, nil},
		{"redirected from https to http", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", plain+"/x.jpg?sign=SECRET")
			w.WriteHeader(302)
		}, nil, mirror.SourceBlocked, 1, goodTLS},
		{"redirected to another host", status(302, "Location", "http://other.invalid/?sign=SECRET"), func(o *mirror.Options) { o.Origin.Hosts = []string{"127.0.0.1"} }, mirror.SourceBlocked, 1, nil},

		// No HTTP, or too much of it.
		{"connection closed", raw(""), nil, mirror.SourceUnreachable, 3, nil},
		{"reset", hangUp(""), nil, mirror.SourceUnreachable, 3, nil},
		{"reset in the headers", hangUp("HTTP/1.1 200 OK\r\nContent-"), nil, mirror.SourceUnreachable, 3, nil},
		{"SSH", raw("SSH-2.0-OpenSSH_9.6\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"HTTP/0.9", raw(string(jpeg)), nil, mirror.SourceUnreachable, 3, nil},
		{"HTTP/2 unasked", raw("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), nil, mirror.SourceUnreachable, 3, nil},
		{"our words in place of HTTP", raw("GET /x.jpg?sign=SECRET X-Token: SECRET\x1b[31m\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"a status that is none", raw("HTTP/1.1 SECRET\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"a header that is none", raw("HTTP/1.1 200 OK\r\n\x1b[31mX-Token SECRET\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"a header for a terminal", raw("HTTP/1.1 200 OK\r\nETag: \"\x1b[31m\"\r\n" + whole[17:]), nil, mirror.SourceUnreachable, 3, nil},
		{"two lengths", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"a length that is none", raw("HTTP/1.1 200 OK\r\nContent-Length: -5?sign=SECRET\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"an encoding of the transfer that is none", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked, SECRET\r\n\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"huge header", send(jpeg, "X-Large", strings.Repeat("x", 100<<10)), nil, mirror.SourceUnreachable, 3, nil},
		{"endless header", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), nil, mirror.SourceUnreachable, 3, nil},
		{"many headers", raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\n"), nil, mirror.SourceUnreachable, 3, nil},
		{"1xx without end", raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 100_000)), nil, mirror.SourceUnreachable, 3, nil},
		{"101 unasked", raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), nil, mirror.Incomplete, 3, nil},

		// No time.
		{"no answer", stall(false), short, mirror.SourceUnreachable, 1, nil},
		{"stalled body", stall(true), short, mirror.Incomplete, 1, nil},
		{"slow headers", slowly("HTTP/1.1 200 OK\r\nX: "), brief, mirror.SourceUnreachable, 1, nil},
		{"slow body", slowly("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), brief, mirror.Incomplete, 1, nil},
		{"TLS that never begins", nil, brief, mirror.SourceUnreachable, 1, bareTLS(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })},

		// TLS.
		{"expired certificate", send(jpeg), nil, mirror.SourceUnreachable, 3, byTLS("127.0.0.1", -time.Hour, true)},
		{"another host's certificate", send(jpeg), nil, mirror.SourceUnreachable, 3, byTLS("127.0.0.2", time.Hour, true)},
		{"self-signed certificate", send(jpeg), nil, mirror.SourceUnreachable, 3, byTLS("127.0.0.1", time.Hour, false)},
		{"TLS cut", nil, nil, mirror.SourceUnreachable, 3, bareTLS(func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) })},
		{"no TLS", nil, nil, mirror.SourceUnreachable, 3, bareTLS(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n?sign=SECRET") })},
	}
	plain = storetest.Serve(t, send(jpeg))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var url string
			var tune func(*mirror.Options)
			if test.where != nil {
				url, tune = test.where(t, test.origin)
			} else {
				url = storetest.Serve(t, test.origin)
			}
			var logged bytes.Buffer
			h := newHarness(t, func(o *mirror.Options) {
				o.Log = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				o.Origin.Header = http.Header{"X-Token": {"SECRET"}}
				for _, change := range []func(*mirror.Options){test.options, tune} {
					if change != nil {
						change(o)
					}
				}
			})
			r := mustMirror(t, h, mirror.Snapshot{FileID: "1", TimeOffset: 1000, Definition: 10, TaskID: "t", URL: url + "/x.jpg?sign=SECRET"})
			if r.Reason != test.reason || r.Attempts != test.attempts {
				t.Errorf("%s %q after %d attempts (%v), want %q after %d", r.Outcome, r.Reason, r.Attempts, r.Err, test.reason, test.attempts)
			}
			clean(t, "the log", logged.String())
			line, err := json.Marshal(r)
			if err != nil {
				t.Error(err)
			}
			clean(t, "the report", string(line))
			if test.reason != "" {
				clean(t, "the error", r.Err.Error())
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
			if err != nil || info.Metadata["task-id"] != "t" {
				t.Errorf("recorded %v (%v)", info, err)
			}
			clean(t, "the metadata", fmt.Sprintf("%+v", info))
			if want := http.DetectContentType(body); info.ContentType != want {
				t.Errorf("content type %s, want %s", info.ContentType, want)
			}
		})
	}
}

// clean fails the test where a text holds a secret, something like a query string, or a raw control character.
func clean(t *testing.T, what, text string) {
	t.Helper()
	control := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }
	if strings.Contains(text, "SECRET") || strings.Contains(text, "?sign") || strings.ContainsFunc(text, control) || len(text) > 16<<10 {
		t.Errorf("%s holds what it must not: %q", what, text[:min(len(text), 2000)])
	}
}

// A picture may come after its event: 404 is final for the worker, and not for who tries again.
func TestMissingAtFirst(t *testing.T) {
	h := newHarness(t, nil)
	s := mirror.Snapshot{FileID: "1", URL: storetest.Serve(t, first(1, status(404), send(jpeg)))}
	if r := mustMirror(t, h, s); r.Reason != mirror.SourceMissing || r.Attempts != 1 {
		t.Errorf("first %+v", r)
	}
	if r := mustMirror(t, h, s); r.Outcome != mirror.Mirrored {
		t.Errorf("then %+v", r)
	}
}

// An answer that nobody has asked for, behind the one that was, is not taken for the next picture's.
func TestAnswerAhead(t *testing.T) {
	evil := with(jpeg[:10], "another picture \xff\xd9")
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		for _, body := range [][]byte{jpeg, evil} {
			fmt.Fprintf(buffered, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		_ = buffered.Flush()
		_, _ = io.Copy(io.Discard, conn)
	}))
	h := newHarness(t, nil)
	for _, id := range []string{"1", "2", "3"} {
		if r := mustMirror(t, h, mirror.Snapshot{FileID: id, URL: url}); r.Outcome != mirror.Mirrored {
			t.Errorf("%+v", r)
		}
		if body, err := os.ReadFile(filepath.Join(h.root, id, "0")); err != nil || !bytes.Equal(body, jpeg) {
			t.Errorf("stored %q (%v)", body, err)
		}
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
