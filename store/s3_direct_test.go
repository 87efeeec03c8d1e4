package store_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// After the first objects, one is put without minio-go. Whatever becomes of that, the object is stored whole, or the error is
// minio-go's.
func TestS3Direct(t *testing.T) {
	const always = 1 << 30
	status := func(code int) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(code)
		}
	}
	early := func(w http.ResponseWriter, _ *http.Request) { // before the body has been sent, and it is not read either
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, test := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request)
		times int64
		puts  int64
		want  error // a kind, or store.ErrExists
	}{
		{"works", nil, 0, 1, nil},
		{"busy", status(503), 1, 2, nil},
		{"too many", status(429), 1, 2, nil},
		{"broken", status(500), 1, 2, nil},
		{"answers early", early, 1, 2, nil},
		{"no ETag", status(200), 1, 2, nil},
		{"nothing to say", status(204), 1, 2, nil},
		{"connection lost", abort, 1, 2, nil},
		{"redirected once", status(307), 1, 2, nil},
		{"there already", status(412), always, 2, store.ErrExists},
		{"denied", status(403), always, 2, &store.Error{Kind: store.Denied}},
		{"busy for good", status(503), always, 6, &store.Error{Kind: store.Unavailable}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := storetest.StartS3(t)
			var ready atomic.Bool
			var puts, direct atomic.Int64
			proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || !ready.Load() {
					return false
				}
				n := puts.Add(1)
				if !strings.Contains(r.UserAgent(), "minio-go") {
					direct.Add(1)
				}
				if n > test.times {
					return false
				}
				test.fault(w, r)
				return true
			})
			s3 := openS3(t, server, proxy, func(o *store.S3Options) { o.Prefix = "a b" })
			warm(t, server, s3, func(key string) string { return "a b/" + key })
			ready.Store(true)
			o := storetest.Object("1/ü+~*(x).jpg", strings.Repeat("picture", 1<<18))
			o.IfAbsent = true
			err := s3.Put(t.Context(), o)
			if got := puts.Load(); got != test.puts || direct.Load() != 1 {
				t.Errorf("%d PUTs, %d of them direct, want %d and 1", got, direct.Load(), test.puts)
			}
			var want *store.Error
			switch {
			case errors.As(test.want, &want):
				if got, ok := errors.AsType[*store.Error](err); !ok || got.Kind != want.Kind {
					t.Errorf("error %v, want of kind %s", err, want.Kind)
				}
				return
			case !errors.Is(err, test.want):
				t.Errorf("error %v, want %v", err, test.want)
			}
			if test.want != nil {
				return
			}
			body, ok := server.Get(t, "a b/"+o.Key)
			if !ok || !bytes.Equal(body, o.Body) {
				t.Errorf("%d bytes are stored of %d", len(body), len(o.Body))
			}
			info, err := s3.Head(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(o.Metadata, info.Metadata); diff != "" || info.ContentType != o.ContentType {
				t.Errorf("content type %s, metadata (-want +got):\n%s", info.ContentType, diff)
			}
		})
	}
}
