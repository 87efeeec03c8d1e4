package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// verifiable is a store of the tests, with the folder where its objects are files.
type verifiable struct {
	objects
	folder string
}

type objects interface {
	mirror.Store
	mirror.Pictures
}

// reput puts the object at key again, as change wants it.
func (v verifiable) reput(t *testing.T, key string, change func(*store.Object)) {
	t.Helper()
	reading, err := v.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	body, err := io.ReadAll(reading)
	if err != nil {
		t.Fatal(err)
	}
	o := store.Object{Key: key, Body: body, ContentType: reading.ContentType, Metadata: reading.Metadata}
	change(&o)
	if err := v.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// onFile does something to the file below the store's back.
func (v verifiable) onFile(t *testing.T, key string, do func(*os.File) error) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(v.folder, key), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func unrecord(o *store.Object) { delete(o.Metadata, "size"); delete(o.Metadata, "crc32c") }

// verifyTests are pictures, what has happened to each since it was mirrored, and what is found: by a HEAD, by reading, by comparing
// with the origin, and by the event when all is repaired.
var verifyTests = []struct {
	name               string
	harm               func(t *testing.T, v verifiable, key string)
	event              func(*mirror.Snapshot) // what the event says otherwise
	head, read, source mirror.Finding
	repaired           mirror.Outcome
	after              mirror.Finding
}{
	{name: "whole", head: mirror.Whole, read: mirror.Whole, source: mirror.Whole, repaired: mirror.Right, after: mirror.Whole},
	{name: "no task known", event: func(s *mirror.Snapshot) { s.TaskID = "" }, head: mirror.Whole, read: mirror.Whole, source: mirror.Whole, repaired: mirror.Right, after: mirror.Whole},
	{name: "removed", harm: func(t *testing.T, v verifiable, key string) {
		if err := os.Remove(filepath.Join(v.folder, key)); err != nil {
			t.Fatal(err)
		}
	}, head: mirror.Missing, read: mirror.Missing, source: mirror.Missing, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "cut", harm: func(t *testing.T, v verifiable, key string) {
		v.onFile(t, key, func(f *os.File) error { return f.Truncate(100) })
	}, head: mirror.Truncated, read: mirror.Truncated, source: mirror.Truncated, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "longer", harm: func(t *testing.T, v verifiable, key string) {
		v.onFile(t, key, func(f *os.File) error { return f.Truncate(5000) })
	}, head: mirror.Changed, read: mirror.Changed, source: mirror.Changed, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "other bytes, same size", harm: func(t *testing.T, v verifiable, key string) {
		v.onFile(t, key, func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 500); return err })
	}, head: mirror.Whole, read: mirror.Changed, source: mirror.Changed, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "copied over by another", harm: func(t *testing.T, v verifiable, key string) {
		v.reput(t, "whole/1000", func(o *store.Object) { o.Key = key })
	}, head: mirror.Swapped, read: mirror.Swapped, source: mirror.Swapped, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "somebody's", harm: func(t *testing.T, v verifiable, key string) {
		v.reput(t, key, func(o *store.Object) { o.Metadata["definition"] = "theirs" }) // versitygw keeps what a put does not name
	}, head: mirror.Foreign, read: mirror.Foreign, source: mirror.Foreign, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "of an older version", harm: func(t *testing.T, v verifiable, key string) { v.reput(t, key, unrecord) },
		head: mirror.Unrecorded, read: mirror.Unrecorded, source: mirror.Unrecorded, repaired: mirror.Right, after: mirror.Unrecorded},
	{name: "of an older version, cut", harm: func(t *testing.T, v verifiable, key string) {
		v.reput(t, key, func(o *store.Object) { unrecord(o); o.Body = o.Body[:200] })
	}, head: mirror.Unrecorded, read: mirror.Truncated, source: mirror.SourceDiffers, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "of an older version, a page", harm: func(t *testing.T, v verifiable, key string) {
		v.reput(t, key, func(o *store.Object) { unrecord(o); o.Body = []byte("<html>") })
	}, head: mirror.Unrecorded, read: mirror.Changed, source: mirror.SourceDiffers, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "size of another's making", harm: func(t *testing.T, v verifiable, key string) {
		v.reput(t, key, func(o *store.Object) { o.Metadata["size"] = "many" })
	}, head: mirror.Changed, read: mirror.Changed, source: mirror.Changed, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "retaken at the origin", head: mirror.Whole, read: mirror.Whole, source: mirror.SourceDiffers, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "another task", event: func(s *mirror.Snapshot) { s.TaskID = "t2" },
		head: mirror.OtherTask, read: mirror.OtherTask, source: mirror.OtherTask, repaired: mirror.Wrong, after: mirror.OtherTask},
	{name: "another task, other bytes", event: func(s *mirror.Snapshot) { s.TaskID = "t2" }, harm: func(t *testing.T, v verifiable, key string) {
		v.onFile(t, key, func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 500); return err })
	}, head: mirror.OtherTask, read: mirror.Changed, source: mirror.Changed, repaired: mirror.Mirrored, after: mirror.Whole},
	{name: "another definition", event: func(s *mirror.Snapshot) { s.Definition = 20 },
		head: mirror.OtherDefinition, read: mirror.OtherDefinition, source: mirror.OtherDefinition, repaired: mirror.Wrong, after: mirror.OtherDefinition},
}

func TestVerify(t *testing.T) {
	dir := newHarness(t, nil)
	server := storetest.StartS3(t)
	bucket, err := store.NewS3(store.S3Options{
		Bucket: server.Bucket, Endpoint: server.Endpoint, Region: "us-east-1", Concurrency: 8,
		Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("directory", func(t *testing.T) { testVerify(t, verifiable{dir.store, dir.root}) })
	t.Run("bucket", func(t *testing.T) { testVerify(t, verifiable{bucket, filepath.Join(server.Folder, server.Bucket)}) })
}

func testVerify(t *testing.T, v verifiable) {
	var retaken atomic.Bool
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		filling := strings.Repeat(r.URL.Path, 500)
		if strings.Contains(r.URL.Path, "retaken") && retaken.Load() {
			filling = strings.ToUpper(filling)
		}
		send([]byte("\xff\xd8\xff\xe0"+filling[:2000]+"\xff\xd9"))(w, r)
	}))
	// As little memory as there can be: whoever held some and wanted more would wait for ever.
	worker, err := mirror.New(v, mirror.Options{Concurrency: 8, AllowPrivateSources: true, MaxImageSize: 4 << 10, BytesInFlight: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(name string) mirror.Snapshot {
		return mirror.Snapshot{FileID: name, TimeOffset: 1000, Definition: 10, TaskID: "t", URL: url + "/" + strings.ReplaceAll(name, " ", "-") + ".jpg"}
	}
	for _, test := range verifyTests {
		if r, err := worker.Mirror(t.Context(), snapshot(test.name)); err != nil || r.Outcome != mirror.Mirrored {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	retaken.Store(true)
	for _, test := range verifyTests {
		if test.harm != nil {
			test.harm(t, v, test.name+"/1000")
		}
	}
	verify := func(o mirror.VerifyOptions) map[string]mirror.Result {
		t.Helper()
		events := make(chan mirror.Snapshot, len(verifyTests))
		for _, test := range verifyTests {
			s := snapshot(test.name)
			if test.event != nil {
				test.event(&s)
			}
			events <- s
		}
		close(events)
		results := map[string]mirror.Result{}
		err := mirror.NewVerifier(worker, v, o).Batch(t.Context(), t.Context(), events, func(r mirror.Result) error {
			results[r.Snapshot.FileID] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	head, read, source := verify(mirror.VerifyOptions{}), verify(mirror.VerifyOptions{Read: true}), verify(mirror.VerifyOptions{Read: true, Source: true})
	repaired := verify(mirror.VerifyOptions{Read: true, Source: true, Repair: true})
	after := verify(mirror.VerifyOptions{Read: true, Source: true})
	for _, test := range verifyTests {
		for _, step := range []struct {
			name string
			got  mirror.Result
			want mirror.Finding
		}{
			{"by a HEAD", head[test.name], test.head}, {"read", read[test.name], test.read}, {"against the source", source[test.name], test.source},
			{"repaired", repaired[test.name], test.source}, {"afterwards", after[test.name], test.after},
		} {
			if step.got.Found != step.want {
				t.Errorf("%s, %s: found %q (%v), want %q", test.name, step.name, step.got.Found, step.got.Err, step.want)
			}
			right := step.want.Info().Right()
			if step.name == "repaired" {
				if step.got.Outcome != test.repaired {
					t.Errorf("%s, repaired: %q (%v), want %q", test.name, step.got.Outcome, step.got.Err, test.repaired)
				}
			} else if want := map[bool]mirror.Outcome{true: mirror.Right, false: mirror.Wrong}[right]; step.got.Outcome != want || (step.got.Err == nil) != right {
				t.Errorf("%s, %s: %q (%v), want %q", test.name, step.name, step.got.Outcome, step.got.Err, want)
			}
		}
	}
}

// What keeps a verification from looking is a failure with a reason, and says nothing of the object.
func TestVerifyFails(t *testing.T) {
	var gone atomic.Bool
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			http.NotFound(w, r)
			return
		}
		send(jpeg)(w, r)
	}))
	h := newHarness(t, nil)
	s := mirror.Snapshot{FileID: "1", Definition: 10, URL: url + "/1.jpg"}
	mustMirror(t, h, s)
	gone.Store(true)
	small, err := mirror.New(h.store, mirror.Options{MaxImageSize: 10, BytesInFlight: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		worker  *mirror.Worker
		options mirror.VerifyOptions
		event   mirror.Snapshot
		found   mirror.Finding
		reason  mirror.Reason
	}{
		"origin":                {h.Worker, mirror.VerifyOptions{Source: true}, s, "", mirror.SourceMissing},
		"too large":             {small, mirror.VerifyOptions{Read: true}, s, "", mirror.TooLarge},
		"no URL":                {h.Worker, mirror.VerifyOptions{}, mirror.Snapshot{FileID: "1"}, "", mirror.BadSnapshot},
		"repair, but no origin": {h.Worker, mirror.VerifyOptions{Repair: true}, mirror.Snapshot{FileID: "2", URL: url}, mirror.Missing, mirror.SourceMissing},
	} {
		r, err := mirror.NewVerifier(test.worker, h.store, test.options).Verify(t.Context(), test.event)
		if err != nil || r.Outcome != mirror.Failed || r.Found != test.found || r.Reason != test.reason {
			t.Errorf("%s: %+v, %v; want found %q, reason %q", name, r, err, test.found, test.reason)
		}
	}
}

// Without an event, an object's own record says what it should be.
func TestVerifyKey(t *testing.T) {
	url := storetest.Serve(t, send(jpeg))
	key, err := mirror.ParseKeyTemplate("{definition}/{file_id}/{time_offset}.{ext}")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(o *mirror.Options) { o.Key = key })
	v := verifiable{h.store, h.root}
	for i := range 4 {
		mustMirror(t, h, mirror.Snapshot{FileID: fmt.Sprint(i), TimeOffset: 0.5, Definition: 10, TaskID: "t", URL: url + "/1.jpg?sign=secret"})
	}
	v.reput(t, "10/1/0.5.jpg", func(o *store.Object) { o.Key = "20/1/0.5.jpg" })
	v.reput(t, "10/2/0.5.jpg", func(o *store.Object) { delete(o.Metadata, "source-url") })
	v.onFile(t, "10/3/0.5.jpg", func(f *os.File) error { return f.Truncate(int64(len(jpeg)) - 1) })
	v.reput(t, "10/0/0.5.jpg", func(o *store.Object) { o.Key, o.Metadata = "readme.txt", nil })
	verifier := mirror.NewVerifier(h.Worker, h.store, mirror.VerifyOptions{Source: true, Repair: true})
	got := map[string]string{}
	for _, key := range []string{"10/0/0.5.jpg", "20/1/0.5.jpg", "10/2/0.5.jpg", "10/3/0.5.jpg", "readme.txt", "10/9/0.5.jpg"} {
		r, err := verifier.VerifyKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		got[key] = fmt.Sprint(r.Snapshot.FileID, " ", r.Outcome, " ", r.Found, r.Reason)
	}
	want := map[string]string{
		"10/0/0.5.jpg": "0 right whole", "20/1/0.5.jpg": "1 wrong swapped", "10/2/0.5.jpg": "2 failed bad_snapshot", "10/3/0.5.jpg": " wrong truncated",
		"readme.txt": " wrong foreign", "10/9/0.5.jpg": " wrong missing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if body, err := os.ReadFile(filepath.Join(h.root, "readme.txt")); err != nil || !bytes.Equal(body, jpeg) {
		t.Errorf("the object of somebody else was touched (%v)", err)
	}
}
