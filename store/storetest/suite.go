// Package storetest is the contract of a store as tests, and a real S3 server to run them against.
package storetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Store is what is tested.
type Store interface {
	Head(ctx context.Context, key string) (store.Info, error)
	Put(ctx context.Context, o store.Object) error
}

// Subject is an empty store, and two ways to look at it from outside.
type Subject struct {
	Store
	// Read gives an object's bytes.
	Read func(t *testing.T, key string) []byte
	// List gives every key that a listing shows.
	List func(t *testing.T) []string
}

// Object makes an object for a test.
func Object(key, body string) store.Object {
	return store.Object{
		Key: key, Body: []byte(body), MD5: md5.Sum([]byte(body)), ContentType: "image/jpeg",
		Metadata: map[string]string{"task-id": "task-1", "definition": "10", "source-url": "http://host/a%20b.jpg"},
	}
}

// Run runs the suite. open gives a new and empty store each time.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Run("put and head", func(t *testing.T) {
		s := open(t)
		o := Object("1/10000", "picture")
		put(t, s, o)
		got, err := s.Head(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		want := store.Info{Size: 7, ContentType: "image/jpeg", Metadata: o.Metadata}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("head (-want +got):\n%s", diff)
		}
		wantBody(t, s, o)
	})
	t.Run("missing", func(t *testing.T) {
		s := open(t)
		if _, err := s.Head(t.Context(), "1/10000"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("head of a missing object: %v, want ErrNotFound", err)
		}
		put(t, s, Object("1/10000", "picture"))
		for _, key := range []string{"1/1000", "1/100000", "1"} {
			if _, err := s.Head(t.Context(), key); err == nil && key != "1" {
				t.Errorf("head of %q: no error, want one", key)
			}
		}
	})
	t.Run("only if absent", func(t *testing.T) {
		s := open(t)
		o := Object("1/1", "picture")
		o.IfAbsent = true
		put(t, s, o)
		other := Object("1/1", "another")
		other.IfAbsent = true
		if err := s.Put(t.Context(), other); !errors.Is(err, store.ErrExists) {
			t.Errorf("%v, want ErrExists", err)
		}
		wantBody(t, s, o)
		other.IfAbsent = false
		put(t, s, other)
		wantBody(t, s, other)
	})
	t.Run("replace", func(t *testing.T) {
		s := open(t)
		put(t, s, Object("1/1", "the first picture"))
		o := Object("1/1", "another")
		o.ContentType, o.Metadata = "image/png", map[string]string{"task-id": "task-2"}
		put(t, s, o)
		got, err := s.Head(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(store.Info{Size: 7, ContentType: "image/png", Metadata: o.Metadata}, got); diff != "" {
			t.Errorf("head (-want +got):\n%s", diff)
		}
		wantBody(t, s, o)
	})
	t.Run("keys", func(t *testing.T) {
		s := open(t)
		keys := []string{"1/0", "1/1000.5", "1/10/20/30", "a b/c+d", "50%/%2F", "视频/1", "1:2/3?4#5", "-/--x", "x.json/y"}
		for _, key := range keys {
			put(t, s, Object(key, "picture of "+key))
		}
		for _, key := range keys {
			wantBody(t, s, Object(key, "picture of "+key))
		}
		slices.Sort(keys)
		if diff := cmp.Diff(keys, s.List(t)); diff != "" {
			t.Errorf("listing (-want +got):\n%s", diff)
		}
	})
	t.Run("keys that are refused", func(t *testing.T) {
		s := open(t)
		for _, key := range []string{"", "/", "/etc/x", "a//b", "a/", ".", "..", "../x", "a/../../x", "a/./b", "a\x00b", "a\nb", strings.Repeat("k", 1025)} {
			err := s.Put(t.Context(), Object(key, "picture"))
			if e, ok := errors.AsType[*store.Error](err); !ok || e.Kind != store.Rejected {
				t.Errorf("put %.20q: %v, want a rejection", key, err)
			}
			_, err = s.Head(t.Context(), key)
			if e, ok := errors.AsType[*store.Error](err); !ok || e.Kind != store.Rejected {
				t.Errorf("head %.20q: %v, want a rejection", key, err)
			}
		}
		if got := s.List(t); len(got) != 0 {
			t.Errorf("stored all the same: %q", got)
		}
	})
	t.Run("ended context", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Put(ctx, Object("1/1", "picture")); !errors.Is(err, context.Canceled) {
			t.Errorf("put: %v, want context.Canceled", err)
		}
		if _, err := s.Head(ctx, "1/1"); !errors.Is(err, context.Canceled) {
			t.Errorf("head: %v, want context.Canceled", err)
		}
		if got := s.List(t); len(got) != 0 {
			t.Errorf("stored all the same: %q", got)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		s := open(t)
		var wait sync.WaitGroup
		const writers, own = 8, 20
		for w := range writers {
			wait.Go(func() {
				for i := range own {
					for _, key := range []string{fmt.Sprintf("shared/%d", i), fmt.Sprintf("own-%d/%d", w, i)} {
						if err := s.Put(t.Context(), Object(key, strings.Repeat(fmt.Sprint(w), 5000+w))); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wait.Wait()
		if got, want := len(s.List(t)), (writers+1)*own; got != want {
			t.Errorf("%d objects, want %d", got, want)
		}
		for i := range own {
			key := fmt.Sprintf("shared/%d", i)
			body := s.Read(t, key)
			if len(body) == 0 {
				t.Fatalf("%s is empty", key)
			}
			if w := body[0] - '0'; !bytes.Equal(body, bytes.Repeat(body[:1], 5000+int(w))) {
				t.Errorf("%s is a mixture", key)
			}
		}
	})
}

func put(t *testing.T, s Subject, o store.Object) {
	t.Helper()
	if err := s.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func wantBody(t *testing.T, s Subject, o store.Object) {
	t.Helper()
	if got := s.Read(t, o.Key); !bytes.Equal(got, o.Body) {
		t.Errorf("%s holds %q, want %q", o.Key, got, o.Body)
	}
}
