package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// attemptBody is the body of one attempt at a PUT. minio-go has one reader for all attempts and rewinds it for the next, while the
// connection of the last may still be sending: two readers of one place. So each attempt gets a reader of its own, which ends with
// the attempt: then nobody reads the caller's bytes any more.
type attemptBody struct {
	mu   sync.Mutex // held while bytes are read or sent
	rest *bytes.Reader
	over atomic.Bool
	to   atomic.Pointer[bodyConn] // where they are sent, or soon will be
}

type bodyKey struct{}

// withBody says what the PUTs of a context send.
func withBody(ctx context.Context, body []byte) context.Context {
	return context.WithValue(ctx, bodyKey{}, body)
}

// ownBody gives the request a body of its own. The caller calls end when the attempt is over.
func ownBody(req *http.Request) (_ *http.Request, end func()) {
	body, ok := req.Context().Value(bodyKey{}).([]byte)
	if !ok || req.Method != http.MethodPut {
		return req, func() {}
	}
	own := *req
	b := &attemptBody{rest: bytes.NewReader(body)}
	own.Body = b
	return &own, func() { _ = b.Close() }
}

var errAttemptOver = errors.New("this attempt is over")

func (b *attemptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, errAttemptOver
	}
	return b.rest.Read(p)
}

// Close ends the attempt. A peer that takes nothing is not waited for: its connection breaks.
func (b *attemptBody) Close() error {
	b.over.Store(true)
	if !b.mu.TryLock() {
		if to := b.to.Load(); to != nil {
			_ = to.SetWriteDeadline(time.Unix(1, 0))
			defer func() { _ = to.SetWriteDeadline(time.Time{}) }() // all may just have been sent
		}
		b.mu.Lock()
	}
	b.mu.Unlock()
	return nil
}

// sendTo sends all that is left at once.
func (b *attemptBody) sendTo(c *bodyConn) (int64, error) {
	b.to.Store(c) // before over is looked at, so that Close finds it or we find out
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, errAttemptOver
	}
	return b.rest.WriteTo(c.Conn)
}

// bodyConn sends an attempt's body from where it lies. net/http's own way is a copy through 32 KiB that are allocated for each
// request, which is most of what a PUT allocates.
type bodyConn struct{ net.Conn }

// ReadFrom is what net/http calls for a body, limited to its Content-Length.
func (c *bodyConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(*attemptBody); ok {
			n, err := body.sendTo(c)
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// dialFunc is the type of net.Dialer's and tls.Dialer's DialContext.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// bodyDialer makes connections for bodies, in the time that a dialling and a handshake may take.
func bodyDialer(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, s3DialTimeout+s3TLSTimeout)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bodyConn{conn}, nil
	}
}
