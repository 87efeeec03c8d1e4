package mirror

import (
	"context"
	"io"
	"time"

	"golang.org/x/time/rate"
)

// The pieces in which a limited body is read: eight a second at least, so that fetches take turns, and not so small that each costs.
const (
	minPiece = 1 << 10
	maxPiece = 64 << 10
)

// newBandwidth is one limit for all fetches of a process; nil for none.
func newBandwidth(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/8, minPiece), maxPiece)))
}

// limitedBody is a body of which no more is read than the bandwidth allows. While that holds it back, the clocks that are about the
// origin stand still: that of a stall, and that of --attempt-timeout, which is why this one is not the client's. The idle time-out
// runs within reads only.
type limitedBody struct {
	io.ReadCloser
	ctx   context.Context
	limit *rate.Limiter
	stall *time.Timer
	left  time.Duration // of the attempt
}

// limited puts a body under the limit, if there is one.
func (f *fetch) limited(body io.ReadCloser) io.ReadCloser {
	if f.bandwidth == nil {
		return body
	}
	return &limitedBody{body, f.ctx, f.bandwidth, f.stall, f.options.AttemptTimeout}
}

func (l *limitedBody) Read(b []byte) (int, error) {
	begin := time.Now()
	late := time.AfterFunc(l.left, func() { _ = l.Close() }) // which ends a Read that goes on
	n, err := l.ReadCloser.Read(b[:min(len(b), l.limit.Burst())])
	inTime := late.Stop()
	if l.left -= time.Since(begin); !inTime {
		return n, context.DeadlineExceeded
	}
	l.stall.Stop()
	held := time.NewTimer(l.limit.ReserveN(time.Now(), n).Delay())
	defer held.Stop()
	select {
	case <-held.C:
	case <-l.ctx.Done():
		return n, l.ctx.Err()
	}
	l.stall.Reset(stallAfter)
	return n, err
}
