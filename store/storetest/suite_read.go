package storetest

import (
	"context"
	"crypto/md5"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Reader is a store that can also be looked through.
type Reader interface {
	Store
	Open(ctx context.Context, key string) (*store.Reading, error)
	List(ctx context.Context, prefix, after string, n int) ([]store.Entry, error)
}

// RunReading runs the suite of what reads. open gives a new and empty store each time.
func RunReading(t *testing.T, open func(t *testing.T) Reader) {
	t.Run("open", func(t *testing.T) {
		s := open(t)
		o := Object("1/10000", "picture")
		read := func() (string, *store.Reading) {
			t.Helper()
			put(t, Subject{Store: s}, o)
			r, err := s.Open(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(body), r
		}
		body, first := read()
		want := store.Info{Size: 7, ContentType: "image/jpeg", Metadata: o.Metadata}
		if diff := cmp.Diff(want, first.Info); diff != "" || body != "picture" {
			t.Errorf("%q (-want +got):\n%s", body, diff)
		}
		o.Body, o.MD5 = []byte("pictura"), md5.Sum([]byte("pictura"))
		if body, second := read(); body != "pictura" || second.ETag == first.ETag || strings.Contains(second.ETag, `"`) {
			t.Errorf("%q with ETag %q, after one with %q", body, second.ETag, first.ETag)
		}
	})
	t.Run("open what is not there", func(t *testing.T) {
		s := open(t)
		put(t, Subject{Store: s}, Object("1/10000", "picture"))
		for _, key := range []string{"1/1", "2/1", "1"} {
			if _, err := s.Open(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: %v, want ErrNotFound", key, err)
			}
		}
		for _, key := range []string{"", "/etc/passwd", "../1", "1/../1", "1//10000", "a\x00b", "a\nb"} {
			if e, ok := errors.AsType[*store.Error](second(s.Open(t.Context(), key))); !ok || e.Kind != store.Rejected {
				t.Errorf("%q is not rejected", key)
			}
		}
	})
	t.Run("list", func(t *testing.T) {
		s := open(t)
		keys := []string{"1/0", "1/1000.5", "1/10/20", "1/10.5", "10/1", "2 b/%2F", "2/1", "视频/1"}
		slices.Sort(keys)
		for _, key := range keys {
			put(t, Subject{Store: s}, Object(key, key))
		}
		list := func(prefix, after string, n int) (got []string) {
			t.Helper()
			entries, err := s.List(t.Context(), prefix, after, n)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, e.Key)
				if e.Size != int64(len(e.Key)) || time.Since(e.Modified).Abs() > time.Hour {
					t.Errorf("%+v, want the size %d and a time of today", e, len(e.Key))
				}
			}
			return got
		}
		for _, prefix := range []string{"", "1", "1/", "1/1", "1/10/", "10/1", "2", "视", "3", "1/10/20/x"} {
			want := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, prefix) })
			if diff := cmp.Diff(want, list(prefix, "", 100), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("prefix %q (-want +got):\n%s", prefix, diff)
			}
			var paged []string
			for after := ""; ; after = paged[len(paged)-1] {
				page := list(prefix, after, 2)
				paged = append(paged, page...)
				if len(page) < 2 {
					break
				}
			}
			if diff := cmp.Diff(want, paged, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("prefix %q, by twos (-want +got):\n%s", prefix, diff)
			}
		}
		for _, prefix := range []string{"../", "/", "a//b", "1/../", "a\nb"} {
			if e, ok := errors.AsType[*store.Error](second(s.List(t.Context(), prefix, "", 1))); !ok || e.Kind != store.Rejected {
				t.Errorf("%q is not rejected", prefix)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.List(ctx, "1/", "", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
