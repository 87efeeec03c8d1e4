package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func mustMirror(t *testing.T, h harness, s mirror.Snapshot) mirror.Result {
	t.Helper()
	r, err := h.Mirror(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is there already decides what happens; every row begins with the picture of task t1, definition 10.
func TestAlreadyThere(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*mirror.Snapshot)
		harm    func(root string) error
		outcome mirror.Outcome
		gets    int64
	}{
		{"the same", func(*mirror.Snapshot) {}, nil, mirror.Skipped, 0},
		{"the same at another URL", func(s *mirror.Snapshot) { s.URL += "?other" }, nil, mirror.Skipped, 0},
		{"no task known", func(s *mirror.Snapshot) { s.TaskID = "" }, nil, mirror.Skipped, 0},
		{"taken again", func(s *mirror.Snapshot) { s.TaskID = "t2" }, nil, mirror.Mirrored, 1},
		{"another definition", func(s *mirror.Snapshot) { s.Definition = 20 }, nil, mirror.Failed, 0},
		{"another definition and task", func(s *mirror.Snapshot) { s.Definition, s.TaskID = 20, "t2" }, nil, mirror.Failed, 0},
		{"somebody else's file", func(*mirror.Snapshot) {}, func(root string) error {
			return os.RemoveAll(filepath.Join(root, ".snapshot-mirror", "meta"))
		}, mirror.Mirrored, 1},
		{"cut short since", func(*mirror.Snapshot) {}, func(root string) error {
			return os.Truncate(filepath.Join(root, "1", "1000.5"), 10)
		}, mirror.Mirrored, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var gets atomic.Int64
			url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gets.Add(1); send(jpeg)(w, r) }))
			h := newHarness(t, nil)
			s := mirror.Snapshot{FileID: "1", TimeOffset: 1000.5, Definition: 10, TaskID: "t1", URL: url + "/1.jpg"}
			if r := mustMirror(t, h, s); r.Outcome != mirror.Mirrored || r.Key != "1/1000.5" {
				t.Fatalf("%+v", r)
			}
			before, err := os.Stat(filepath.Join(h.root, "1", "1000.5"))
			if err != nil {
				t.Fatal(err)
			}
			if test.harm != nil {
				if err := test.harm(h.root); err != nil {
					t.Fatal(err)
				}
			}
			gets.Store(0)
			test.change(&s)
			r := mustMirror(t, h, s)
			if r.Outcome != test.outcome || gets.Load() != test.gets {
				t.Errorf("%s (%v) with %d GETs, want %s with %d", r.Outcome, r.Err, gets.Load(), test.outcome, test.gets)
			}
			after, err := os.Stat(filepath.Join(h.root, "1", "1000.5"))
			if err != nil || os.SameFile(before, after) == (test.outcome == mirror.Mirrored) {
				t.Errorf("replaced: %t (%v)", !os.SameFile(before, after), err)
			}
			if test.outcome == mirror.Failed && (r.Reason != mirror.KeyConflict || !strings.Contains(r.Err.Error(), "{definition}")) {
				t.Errorf("%s: %v, want key_conflict and the way out", r.Reason, r.Err)
			}
			if test.outcome == mirror.Mirrored {
				info, err := h.store.Head(t.Context(), "1/1000.5")
				if err != nil || info.Metadata["task-id"] != s.TaskID {
					t.Errorf("recorded %v (%v), want task %s", info.Metadata, err, s.TaskID)
				}
			}
		})
	}
}

// An object of another size than the one that is recorded with it is not taken for the picture.
func TestOtherSizeInTheBucket(t *testing.T) {
	server := storetest.StartS3(t)
	s3, err := store.NewS3(store.S3Options{
		Bucket: server.Bucket, Endpoint: server.Endpoint, Region: "us-east-1", Addressing: "path", Concurrency: 1,
		Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := mirror.New(s3, mirror.Options{AllowPrivateSources: true})
	if err != nil {
		t.Fatal(err)
	}
	s := mirror.Snapshot{FileID: "1", TimeOffset: 1000, Definition: 10, TaskID: "t1", URL: storetest.Serve(t, send(jpeg)) + "/1.jpg"}
	for i, want := range []mirror.Outcome{mirror.Mirrored, mirror.Mirrored, mirror.Skipped} {
		r, err := worker.Mirror(t.Context(), s)
		if err != nil || r.Outcome != want {
			t.Fatalf("%s (%v, %v), want %s", r.Outcome, r.Err, err, want)
		}
		body, ok := server.Get(t, "1/1000")
		if !ok || string(body) != string(jpeg) {
			t.Errorf("%d bytes are stored of %d", len(body), len(jpeg))
		}
		if i > 0 {
			continue
		}
		info, err := s3.Head(t.Context(), "1/1000")
		if err != nil {
			t.Fatal(err)
		}
		if err := s3.Put(t.Context(), store.Object{Key: "1/1000", Body: body[:10], ContentType: info.ContentType, Metadata: info.Metadata}); err != nil {
			t.Fatal(err)
		}
	}
}

// Two definitions of one key that come together must not overwrite each other.
func TestConflictAtOnce(t *testing.T) {
	url := storetest.Serve(t, send(jpeg))
	h := newHarness(t, nil)
	var wait sync.WaitGroup
	var mirrored, conflicts atomic.Int64
	const keys = 50
	for i := range keys {
		for _, definition := range []int64{10, 20} {
			wait.Go(func() {
				r, err := h.Mirror(t.Context(), mirror.Snapshot{FileID: fmt.Sprint(i), Definition: definition, TaskID: "t", URL: url})
				switch {
				case err != nil:
					t.Error(err)
				case r.Outcome == mirror.Mirrored:
					mirrored.Add(1)
				case r.Reason == mirror.KeyConflict:
					conflicts.Add(1)
				}
			})
		}
	}
	wait.Wait()
	if mirrored.Load() != keys || conflicts.Load() != keys {
		t.Errorf("%d mirrored and %d conflicts, want %d of each", mirrored.Load(), conflicts.Load(), keys)
	}
}

// Two processes that see an empty key at the same moment: the bucket decides, and none overwrites the other's picture.
func TestConflictBetweenProcesses(t *testing.T) {
	tests := []struct {
		name  string
		other func(*mirror.Snapshot)
		loser func(mirror.Result) bool
	}{
		{"another definition", func(s *mirror.Snapshot) { s.Definition = 20 }, func(r mirror.Result) bool { return r.Reason == mirror.KeyConflict }},
		{"the same", func(*mirror.Snapshot) {}, func(r mirror.Result) bool { return r.Outcome == mirror.Skipped }},
		{"another task", func(s *mirror.Snapshot) { s.TaskID = "again" }, func(r mirror.Result) bool { return r.Outcome == mirror.Mirrored }},
	}
	server := storetest.StartS3(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var both sync.WaitGroup // both have looked before either stores
			both.Add(2)
			url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				both.Done()
				both.Wait()
				send(jpeg)(w, r)
			}))
			first := mirror.Snapshot{FileID: fmt.Sprint(i), Definition: 10, TaskID: "t", URL: url}
			second := first
			test.other(&second)
			results := make(chan mirror.Result, 2)
			for _, s := range []mirror.Snapshot{first, second} {
				s3, err := store.NewS3(store.S3Options{
					Bucket: server.Bucket, Endpoint: server.Endpoint, Region: "us-east-1",
					Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
				})
				if err != nil {
					t.Fatal(err)
				}
				worker, err := mirror.New(s3, mirror.Options{AllowPrivateSources: true})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					r, err := worker.Mirror(context.WithoutCancel(t.Context()), s)
					if err != nil {
						t.Error(err)
					}
					results <- r
				}()
			}
			a, b := <-results, <-results
			if a.Outcome != mirror.Mirrored {
				a, b = b, a
			}
			if a.Outcome != mirror.Mirrored || !test.loser(b) {
				t.Errorf("%s (%v) and %s (%v)", a.Outcome, a.Err, b.Outcome, b.Err)
			}
		})
	}
}

func TestBadSnapshots(t *testing.T) {
	h := newHarness(t, nil)
	good := mirror.Snapshot{FileID: "1", URL: "http://127.0.0.1:1/x.jpg"}
	for name, spoil := range map[string]func(*mirror.Snapshot){
		"no file id":             func(s *mirror.Snapshot) { s.FileID = "" },
		"no URL":                 func(s *mirror.Snapshot) { s.URL = "" },
		"negative offset":        func(s *mirror.Snapshot) { s.TimeOffset = -1 },
		"offset beyond":          func(s *mirror.Snapshot) { s.TimeOffset = 1e300 },
		"scheme":                 func(s *mirror.Snapshot) { s.URL = "ftp://h/x" },
		"no host":                func(s *mirror.Snapshot) { s.URL = "http:///x" },
		"user":                   func(s *mirror.Snapshot) { s.URL = "http://user:hush@h/x" },
		"unparseable":            func(s *mirror.Snapshot) { s.URL = "http://h/%zz?sign=hush" },
		"long URL":               func(s *mirror.Snapshot) { s.URL += strings.Repeat("x", 8<<10) },
		"slash in the file id":   func(s *mirror.Snapshot) { s.FileID = "a/b" },
		"file id leads out":      func(s *mirror.Snapshot) { s.FileID = ".." },
		"control character":      func(s *mirror.Snapshot) { s.FileID = "a\x1b[31m" },
		"right-to-left mark":     func(s *mirror.Snapshot) { s.FileID = "a\u202eb" },
		"line end in the task":   func(s *mirror.Snapshot) { s.TaskID = "t\r\nx-amz-acl: public-read" },
		"file id is too long":    func(s *mirror.Snapshot) { s.FileID = strings.Repeat("1", 300) },
		"not UTF-8":              func(s *mirror.Snapshot) { s.FileID = "a\xff" },
		"the store's own folder": func(s *mirror.Snapshot) { s.FileID = ".snapshot-mirror" },
		"backslash in the name":  func(s *mirror.Snapshot) { s.FileID = `a\..\b` },
	} {
		s := good
		spoil(&s)
		r := mustMirror(t, h, s)
		if r.Reason != mirror.BadSnapshot || r.Attempts != 0 || strings.Contains(r.Err.Error(), "hush") || strings.Contains(r.Err.Error(), "\x1b") {
			t.Errorf("%s: %s after %d attempts: %v", name, r.Reason, r.Attempts, r.Err)
		}
	}
}

func TestDryRun(t *testing.T) {
	h := newHarness(t, func(o *mirror.Options) { o.DryRun = true })
	r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: "http://127.0.0.1:1/x.jpg"})
	if r.Outcome != mirror.WouldMirror || r.Attempts != 0 {
		t.Errorf("%+v", r)
	}
}

// Interrupted work is an error, and no result that says failed.
func TestInterrupted(t *testing.T) {
	asked := make(chan struct{})
	url := storetest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() }))
	h := newHarness(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if r, err := h.Mirror(ctx, mirror.Snapshot{FileID: "1", URL: url}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v; want context.Canceled", r, err)
	}
}

func TestBatch(t *testing.T) {
	url := storetest.Serve(t, send(jpeg))
	snapshots := func(n int) <-chan mirror.Snapshot {
		source := make(chan mirror.Snapshot, n)
		for i := range n {
			source <- mirror.Snapshot{FileID: "1", TimeOffset: mirror.TimeOffset(i), URL: url}
		}
		close(source)
		return source
	}
	h := newHarness(t, func(o *mirror.Options) { o.Concurrency = 4 })

	outcomes := map[mirror.Outcome]int{}
	err := h.Batch(t.Context(), t.Context(), snapshots(100), func(r mirror.Result) error { outcomes[r.Outcome]++; return nil })
	if diff := cmp.Diff(map[mirror.Outcome]int{mirror.Mirrored: 100}, outcomes); diff != "" || err != nil {
		t.Errorf("outcomes (-want +got), %v:\n%s", err, diff)
	}

	stop, cancel := context.WithCancel(t.Context())
	n := 0
	err = h.Batch(t.Context(), stop, snapshots(100), func(mirror.Result) error { n++; cancel(); return nil })
	if err != nil || n == 0 || n > 4 {
		t.Errorf("stopped after %d results (%v), want those that were begun, at most 4", n, err)
	}

	full := errors.New("disk full")
	n = 0
	err = h.Batch(t.Context(), t.Context(), snapshots(100), func(mirror.Result) error { n++; return full })
	if !errors.Is(err, full) || n > 4 {
		t.Errorf("ended with %v after %d results, want the sink's error", err, n)
	}
}

// A host that fails must not cost the others their open connections.
func TestConnectionsAreKept(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]bool{}
	healthy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers[r.RemoteAddr] = true
		mu.Unlock()
		send(jpeg)(w, r)
	}))
	broken := storetest.Serve(t, raw(""))
	h := newHarness(t, func(o *mirror.Options) { o.SourceRetries = 0 })
	for i := range 5 {
		id := fmt.Sprint(i)
		if r := mustMirror(t, h, mirror.Snapshot{FileID: id, URL: healthy}); r.Outcome != mirror.Mirrored {
			t.Errorf("%+v", r)
		}
		if r := mustMirror(t, h, mirror.Snapshot{FileID: "broken" + id, URL: broken}); r.Outcome != mirror.Failed {
			t.Errorf("%+v", r)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(peers) != 1 {
		t.Errorf("%d connections to the healthy host, want 1", len(peers))
	}
}
