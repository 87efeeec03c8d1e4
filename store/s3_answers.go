package store

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// answers reads a bucket's answers before minio-go does, and makes those harmless that it would take for something else:
//   - A 2xx to a PUT without an ETag stored nothing, whatever the status says: S3 may send an <Error> body with 200. It is
//     passed on as a 503, so that it is retried and reported like every other error.
//   - An ETag that looks like an MD5 but is not the one that we sent means other bytes.
//   - The body of an error is read here, at most so much of it and for so long, and a body that breaks off is as good as none:
//     then the status counts. The body of a PUT's success says nothing and is not waited for.
type answers struct {
	next    http.RoundTripper
	timeout time.Duration
	lax     bool                   // any ETag will do
	date    atomic.Pointer[string] // of its last answer
	ahead   atomic.Int64           // how far the service's clock was ahead of ours then, in nanoseconds
}

const maxErrorBody = 64 << 10

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	begin := time.Now()
	req, end := ownBody(req)
	resp, err := a.next.RoundTrip(req)
	end()
	if err != nil {
		return nil, err
	}
	a.clock(resp.Header.Get("Date"), begin)
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	if success && req.Method != http.MethodPut {
		return resp, nil
	}
	etag := strings.Trim(resp.Header.Get("ETag"), `"`)
	if success && resp.StatusCode == http.StatusOK && etag != "" {
		_ = resp.Body.Close()
		resp.Body = http.NoBody
		if err := confirm(req, resp, etag); err != nil && !a.lax {
			return nil, err
		}
		return resp, nil
	}
	if success {
		resp.Status = fmt.Sprintf("503 PUT not confirmed: %d without an ETag", resp.StatusCode)
		resp.StatusCode = http.StatusServiceUnavailable
	}
	a.readError(resp)
	return resp, nil
}

// confirm compares what the answer says of an object that was stored with what was sent: the CRC32C, or the ETag where it is the
// object's MD5.
func confirm(req *http.Request, resp *http.Response, etag string) error {
	if sent, got := req.Header.Get(headerCRC32C), resp.Header.Get(headerCRC32C); sent != "" && got != "" && got != sent {
		return fmt.Errorf("the bucket confirms an object with CRC32C %s where %s was sent", printable(got, 20), sent)
	}
	got, err := hex.DecodeString(etag)
	want, _ := base64.StdEncoding.DecodeString(req.Header.Get("Content-Md5"))
	if err != nil || len(want) == 0 || len(got) != len(want) || string(got) == string(want) || keyEncrypted(resp.Header) || keyEncrypted(req.Header) {
		return nil
	}
	return fmt.Errorf("the bucket confirms an object with MD5 %x where %x was sent", got, want)
}

// keyEncrypted says whether the object is encrypted so that its ETag is not its MD5, though it looks like one.
// Source: Amazon S3 API reference, "Object": ETag.
func keyEncrypted(h http.Header) bool {
	return strings.HasPrefix(h.Get("X-Amz-Server-Side-Encryption"), "aws:kms") ||
		h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
}

func (a *answers) readError(resp *http.Response) {
	body := resp.Body
	late := time.AfterFunc(a.timeout, func() { _ = body.Close() })
	text, err := io.ReadAll(io.LimitReader(body, maxErrorBody))
	late.Stop()
	_ = body.Close()
	if err != nil {
		text = nil
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
}

// clock notes what the service's clock says; its resolution is a second.
func (a *answers) clock(date string, asked time.Time) {
	if last := a.date.Load(); last != nil && *last == date {
		return
	}
	seen := date
	a.date.Store(&seen)
	if there, err := http.ParseTime(date); err == nil {
		a.ahead.Store(int64(skew(there, asked, time.Now())))
	}
}

// skew is how far another clock, read in whole seconds some time between two moments of ours, is surely ahead of ours; negative
// when it is behind.
func skew(there, from, to time.Time) time.Duration {
	switch {
	case there.After(to):
		return there.Sub(to)
	case there.Add(time.Second).Before(from):
		return there.Add(time.Second).Sub(from)
	}
	return 0
}
