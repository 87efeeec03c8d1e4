package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// An attempt that is over lets go of the caller's bytes, though the other side takes none.
func TestAttemptEndsWhileItSends(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	conn := &bodyConn{here}
	body := &attemptBody{rest: bytes.NewReader(make([]byte, 1<<20))}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.ReadFrom(io.LimitReader(body, 1<<20))
		sent <- err
	}()
	if _, err := io.ReadFull(there, make([]byte, 10)); err != nil { // it has begun
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { _ = body.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for the other side")
	}
	if err := <-sent; err == nil {
		t.Error("a body that was not sent has no error")
	}
	if _, err := conn.ReadFrom(io.LimitReader(body, 1<<20)); !errors.Is(err, errAttemptOver) {
		t.Errorf("sending again: %v", err)
	}
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, errAttemptOver) {
		t.Errorf("reading again: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, there) }()
	if _, err := here.Write([]byte("next")); err != nil {
		t.Errorf("the connection keeps the deadline: %v", err)
	}
}

// net/http sends the body in one piece: what its own copy would allocate is most of what a PUT does.
func TestBodyIsSentInOnePiece(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	var pieces []int
	transport := &http.Transport{DialContext: bodyDialer(func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		return &countingConn{conn, &pieces}, err
	})}
	defer transport.CloseIdleConnections()
	body := make([]byte, 1<<20)
	req, err := http.NewRequestWithContext(withBody(t.Context(), body), http.MethodPut, "http://"+listener.Addr().String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req, end := ownBody(req)
	defer end()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(pieces) > 2 { // the first has the head and what fits beside it
		t.Errorf("written in pieces of %d bytes", pieces)
	}
}

type countingConn struct {
	net.Conn
	pieces *[]int
}

func (c *countingConn) Write(b []byte) (int, error) {
	*c.pieces = append(*c.pieces, len(b))
	return c.Conn.Write(b)
}
