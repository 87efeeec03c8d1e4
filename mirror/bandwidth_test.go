package mirror

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// large is a picture of n bytes.
func large(n int) string {
	return jpegText[:20] + strings.Repeat("x", n-len(jpegText)) + jpegText[20:]
}

func answerOf(body io.ReadCloser, size int) *http.Response {
	return &http.Response{StatusCode: 200, ContentLength: int64(size), Body: body, Header: http.Header{}}
}

// All fetches together keep to the bandwidth, whichever host they are from, and use it up. What is held back for it is neither
// stalled, so that its place is lent to nobody, nor too slow.
func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, size, bandwidth, concurrency = 160, 1 << 20, 256 << 10, 32 // 4 s from a piece to the next
		w := newSinkWorker(t, Options{Concurrency: concurrency, Bandwidth: bandwidth, AttemptTimeout: 5 * time.Second, MaxImageSize: size})
		var under gauge
		body := large(size)
		fakeNet(w, func(*http.Request) (*http.Response, error) {
			under.enter()
			return answerOf(closing{strings.NewReader(body), sync.OnceFunc(under.leave)}, size), nil
		})
		begin, mirrored := time.Now(), 0
		all := inTurn(snapshotsOf("a", "http://a/", n/2), snapshotsOf("b", "http://b/", n/2))
		err := w.Batch(t.Context(), t.Context(), sourceOf(all), func(r Result) error {
			if mirrored++; r.Outcome != Mirrored || r.Attempts != 1 {
				t.Errorf("%s after %d attempts: %v", r.Outcome, r.Attempts, r.Err)
			}
			return nil
		})
		took, want := time.Since(begin), n*size/bandwidth*time.Second
		if err != nil || mirrored != n || took > want || took < want-time.Second/2 {
			t.Errorf("%d of %d after %s, want all after %s: %v", mirrored, n, took, want, err)
		}
		if most := under.most.Load(); most != concurrency {
			t.Errorf("%d pictures at once, with %d places", most, concurrency)
		}
	})
}

type closing struct {
	io.Reader
	close func()
}

func (c closing) Close() error { c.close(); return nil }

// Under a bandwidth, too, an origin that is slow by itself is given up after --attempt-timeout: whether bytes come one by one, or
// none comes. It has its picture's time whatever was held back before.
func TestBandwidthAndSlowOrigin(t *testing.T) {
	for name, pause := range map[string]time.Duration{"a byte a second": time.Second, "no byte": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSinkWorker(t, Options{Bandwidth: 1 << 10, AttemptTimeout: 10 * time.Second})
				fakeNet(w, func(*http.Request) (*http.Response, error) {
					return answerOf(&slowBody{first: strings.NewReader(large(5 << 10)), pause: pause, closed: make(chan struct{})}, 1<<20), nil
				})
				begin := time.Now()
				r, err := w.Mirror(t.Context(), snapshotsOf("x", "http://h/", 1)[0])
				if err != nil || r.Reason != Incomplete || !strings.Contains(r.Err.Error(), "--attempt-timeout") {
					t.Errorf("%+v, %v", r, err)
				}
				// The first 5 KiB are held back for 4 s; then the origin has its 10 s.
				if took := time.Since(begin); took < 13*time.Second || took > 15*time.Second {
					t.Errorf("given up after %s", took)
				}
			})
		})
	}
}

// slowBody gives the first bytes at once, and then one after each pause, until it is closed.
type slowBody struct {
	first  *strings.Reader
	pause  time.Duration
	once   sync.Once
	closed chan struct{}
}

func (s *slowBody) Read(b []byte) (int, error) {
	if s.first.Len() > 0 {
		return s.first.Read(b)
	}
	select {
	case <-time.After(s.pause):
		b[0] = 'x'
		return 1, nil
	case <-s.closed:
		return 0, errors.New("closed")
	}
}

func (s *slowBody) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Over a real socket: the reads are further apart than the idle time-out, and all of them take longer than the attempt may. And
// closing a body ends a read that waits for it.
func TestBandwidthOverSocket(t *testing.T) {
	o := Options{Bandwidth: 4 << 10, IdleTimeout: 800 * time.Millisecond, AttemptTimeout: 800 * time.Millisecond}
	whole := large(12 << 10)
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) }))
	r, err := newSinkWorker(t, o).Mirror(t.Context(), snapshotsOf("x", url, 1)[0])
	if err != nil || r.Outcome != Mirrored || r.Attempts != 1 || r.Bytes != int64(len(whole)) {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Elapsed < 2*time.Second {
		t.Errorf("12 KiB took %s, at 4 KiB a second", r.Elapsed)
	}

	o.IdleTimeout = time.Minute
	stalled := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = io.WriteString(w, whole[:100])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	r, err = newSinkWorker(t, o).Mirror(t.Context(), snapshotsOf("x", stalled, 1)[0])
	if err != nil || r.Reason != Incomplete || !strings.Contains(r.Err.Error(), "--attempt-timeout") {
		t.Errorf("%+v, %v", r, err)
	}
}
