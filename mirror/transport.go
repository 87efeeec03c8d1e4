package mirror

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	dialTimeout    = 10 * time.Second
	tlsTimeout     = 10 * time.Second
	maxHeaderBytes = 64 << 10
)

// newSourceClient is the one HTTP client for all origins of a worker.
func newSourceClient(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	var proxy func(*http.Request) (*url.URL, error) // not the environment's: the policy would judge its address instead of the source's
	switch {
	case o.Proxy != nil:
		proxy = func(req *http.Request) (*url.URL, error) {
			if o.AllowPrivateSources {
				return o.Proxy, nil
			}
			return o.Proxy, publicURL(req.URL)
		}
	case !o.AllowPrivateSources:
		dialer.Control = publicOnly
	}
	transport := &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &idleConn{Conn: conn, idle: o.IdleTimeout}, nil
		},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  o.IdleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// One connection a worker stays open: dialling anew costs more than the picture.
		MaxIdleConns:        2 * o.Concurrency,
		MaxIdleConnsPerHost: o.Concurrency,
		IdleConnTimeout:     o.IdleTimeout,
		// Transparent decompression would make Content-Length prove nothing.
		DisableCompression: true,
	}
	if o.tune != nil {
		o.tune(dialer, transport)
	}
	client := &http.Client{Transport: justRoundTrip{transport}, CheckRedirect: o.Origin.checkRedirect, Timeout: o.AttemptTimeout}
	if o.Bandwidth > 0 {
		client.Timeout = 0 // limitedBody has it; up to the body, the transport's own suffice
	}
	return client
}

// justRoundTrip hides the transport's CloseIdleConnections: go-retryablehttp calls it whenever it gives up, and so one bad
// host would empty everybody's pool.
type justRoundTrip struct{ http.RoundTripper }

// idleConn breaks a connection on which no byte moves for the idle time.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(b []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write moves the read deadline too: on a reused connection, the transport's Read for the answer began long before the request.
func (c *idleConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
