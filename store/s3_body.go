package store

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
)

// attemptBody is the body of one attempt at a PUT. minio-go has one reader for all attempts and rewinds it for the next, while the
// connection of the last may still be sending: two readers of one place. So each attempt gets a reader of its own, which ends with
// the attempt: then nobody reads the caller's bytes any more.
type attemptBody struct {
	mu   sync.Mutex
	rest *bytes.Reader // nil when the attempt is over
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

func (b *attemptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rest == nil {
		return 0, errors.New("this attempt is over")
	}
	return b.rest.Read(p)
}

func (b *attemptBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = nil
	return nil
}
