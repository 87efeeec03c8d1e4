package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Pictures are what has been mirrored. The methods are safe for concurrent use; their errors are as those of [mirror.Store].
type Pictures interface {
	Head(ctx context.Context, key string) (store.Info, error)
	Open(ctx context.Context, key string) (*store.Reading, error)
	// List gives up to n objects whose keys begin with prefix and come after a key, in the order of keys.
	List(ctx context.Context, prefix, after string, n int) ([]store.Entry, error)
}

// Bounds of pictures that are shown.
const (
	picturesAtOnce = 16
	pictureWait    = 5 * time.Second
	pictureTimeout = 30 * time.Second
	pictureMaxAge  = "private, max-age=300"
)

// picture gives a picture out of the store, and nothing that is not one of ours.
func (p *pages) picture(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	if store.CheckKey(key) != nil {
		http.NotFound(w, r)
		return
	}
	setDeadline(w, time.Now().Add(pictureWait+pictureTimeout))
	if !acquire(r.Context(), p.reading, pictureWait) {
		unavailable(w, "too many pictures at once")
		return
	}
	defer p.reading.Release(1)
	ctx, cancel := context.WithTimeout(r.Context(), pictureTimeout)
	defer cancel()
	object, err := p.o.Pictures.Open(ctx, key)
	if e, ok := errors.AsType[*store.Error](err); errors.Is(err, store.ErrNotFound) || ok && e.Kind == store.Rejected {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		unavailable(w, "the destination does not give it now")
		return
	}
	defer object.Close()
	if _, ours := mirror.Recorded(object.Info); !ours || !shownTypes[object.ContentType] || object.Size > p.o.MaxImageSize {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", pictureMaxAge)
	// An image needs none of what a page may do, even when it is opened by itself.
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if tag := `"` + object.ETag + `"`; object.ETag != "" && show(object.ETag) == object.ETag {
		h.Set("ETag", tag)
		if strings.Contains(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", object.ContentType)
	h.Set("Content-Length", strconv.FormatInt(object.Size, 10))
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.CopyN(w, object, object.Size); err != nil {
		panic(http.ErrAbortHandler) // half a picture must not look like a whole one
	}
}

// shownTypes are what snapshots can be.
var shownTypes = map[string]bool{"image/jpeg": true, "image/png": true, "image/webp": true}

func acquire(ctx context.Context, s *semaphore.Weighted, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.Acquire(ctx, 1) == nil
}

func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, why, http.StatusServiceUnavailable)
}
