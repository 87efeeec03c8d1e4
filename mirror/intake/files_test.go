package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

func event(file string) string {
	return fmt.Sprintf(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"TaskId":"t","FileId":%q,"Definition":10,"SnapshotInfoSet":[{"ErrCode":0,"TimeOffset":1,"Url":"http://h/x"},{"ErrCode":-1,"TimeOffset":2}]}}`+"\n", file)
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func zstded(text string) string {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// tree writes files below a new folder; a value that begins with "->" is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(target, name)
		} else {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// reading is a Files whose reports are kept.
type reading struct {
	intake.Files
	malformed []string // "base name:line"
	announced int
}

func newReading(stdin io.Reader, names ...string) *reading {
	r := &reading{}
	r.Files = intake.Files{
		Names: names, Stdin: stdin,
		Malformed: func(file string, line int, _ error) {
			r.malformed = append(r.malformed, fmt.Sprintf("%s:%d", filepath.Base(file), line))
		},
		Announced: func(vod.Failure) { r.announced++ },
	}
	return r
}

// all reads everything and gives the file ids in order.
func (r *reading) all(t *testing.T) []string {
	t.Helper()
	out := make(chan mirror.Snapshot, 1000)
	if err := r.Read(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	close(out)
	var ids []string
	for s := range out {
		ids = append(ids, s.FileID)
	}
	return ids
}

func TestFiles(t *testing.T) {
	long := event("long") + strings.Repeat("\n", 100_000) + event("end")
	tests := []struct {
		name      string
		files     map[string]string
		ids       []string
		malformed []string
	}{
		{"nothing", nil, nil, nil},
		{"empty file", map[string]string{"a": ""}, nil, nil},
		{"in order, and deep", map[string]string{"b.json": event("2"), "a/deep/er": event("1"), "c": event("3") + event("4")}, []string{"1", "2", "3", "4"}, nil},
		{"compressed, whatever the name", map[string]string{"a.json": gzipped(event("1")), "b.gz": zstded(event("2")), "c.zst": event("3")}, []string{"1", "2", "3"}, nil},
		{"several members", map[string]string{"a.gz": gzipped(event("1")) + gzipped(event("2")), "b.zst": zstded(event("3")) + zstded(event("4"))}, []string{"1", "2", "3", "4"}, nil},
		{"dot-files and dot-folders", map[string]string{".a": event("1"), ".git/b": event("2"), "c": event("3")}, []string{"3"}, nil},
		{"links to files, as Kubernetes mounts", map[string]string{"..data/a": event("1"), "a": "->..data/a", "d": "->..data"}, []string{"1"}, nil},
		{"malformed lines", map[string]string{"a": event("1") + "oops\n" + event("2"), "b": `{"no":"type"}`}, []string{"1", "2"}, []string{"a:2", "b:1"}},
		{"cut archives", map[string]string{"a": gzipped(long)[:150], "b": zstded(long)[:40], "c": event("3")}, []string{"3"}, []string{"a", "b"}},
		{"no archive after all", map[string]string{"a": "\x1f\x8b\x00", "b": "\x28\xb5\x2f\xfd", "c": event("3")}, []string{"3"}, []string{"a", "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newReading(nil, tree(t, test.files))
			ids := r.all(t)
			if test.name == "cut archives" { // what came before the cut may be found
				ids = slices.DeleteFunc(ids, func(id string) bool { return id == "long" || id == "end" })
			}
			if diff := cmp.Diff(test.ids, ids); diff != "" {
				t.Errorf("file ids (-want +got):\n%s", diff)
			}
			var malformed []string
			for _, m := range r.malformed {
				if name, _, _ := strings.Cut(m, ":"); slices.Contains(test.malformed, name) {
					m = name // the line does not matter
				}
				malformed = append(malformed, m)
			}
			if diff := cmp.Diff(test.malformed, malformed); diff != "" {
				t.Errorf("malformed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStats(t *testing.T) {
	text := event("1") + `{"EventType":"NewFileUpload"}` + "\noops\n" + event("2")
	r := newReading(strings.NewReader(text), tree(t, map[string]string{"a": text}), intake.Stdin)
	if got := len(r.all(t)); got != 4 {
		t.Errorf("%d snapshots, want 4", got)
	}
	s := &r.Stats
	got := []int64{s.Files.Load(), s.Bytes.Load(), s.Events.Load(), s.Foreign.Load(), s.Snapshots.Load(), s.Announced.Load(), s.Malformed.Load()}
	want := []int64{2, 2 * int64(len(text)), 6, 2, 4, 4, 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files, bytes, events, foreign, snapshots, announced, malformed (-want +got):\n%s", diff)
	}
	if r.announced != 4 || len(r.malformed) != 2 {
		t.Errorf("told of %d announced and %q malformed", r.announced, r.malformed)
	}
}

// The total is an estimate until everything has been read, and nothing is said where the size of the input is not known.
func TestTotal(t *testing.T) {
	event := `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"1","SnapshotInfoSet":[{"TimeOffset":1,"Url":"u"}]}}` + "\n"
	root := tree(t, map[string]string{"a": strings.Repeat(event, 100), "b": strings.Repeat(event, 100)})
	for _, test := range []struct {
		stdin io.Reader
		names []string
		all   int64 // in the end
		known bool  // on the way
	}{
		{nil, []string{root + "/a", root + "/b"}, 200, true},
		{strings.NewReader(event), []string{root + "/a", intake.Stdin}, 101, false},
	} {
		r := newReading(test.stdin, test.names...)
		if err := r.Measure(); err != nil {
			t.Fatal(err)
		}
		if n, exact := r.Total(); n != -1 || exact {
			t.Errorf("total %d, exact %t before anything was read", n, exact)
		}
		out := make(chan mirror.Snapshot)
		read := make(chan error, 1)
		go func() { defer close(out); read <- r.Read(t.Context(), out) }()
		for i := 1; ; i++ {
			if _, ok := <-out; !ok {
				break
			}
			if n, exact := r.Total(); i > 1 && i < int(test.all) && (exact || (n > 0) != test.known || n > 220) {
				t.Errorf("total %d, exact %t after %d of them", n, exact, i)
			}
		}
		if n, exact := r.Total(); n != test.all || !exact || <-read != nil {
			t.Errorf("total %d, exact %t in the end; want exactly %d", n, exact, test.all)
		}
	}
	if err := newReading(nil, filepath.Join(root, "none")).Measure(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("measuring what is not there: %v", err)
	}
}

// A snapshot is handed on while the pipe is still open, and reading ends with the context.
func TestPipe(t *testing.T) {
	stdin, writer := io.Pipe()
	out := make(chan mirror.Snapshot)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- newReading(stdin, intake.Stdin).Read(ctx, out) }()
	if _, err := io.WriteString(writer, event("1")); err != nil {
		t.Fatal(err)
	}
	if s := <-out; s.FileID != "1" {
		t.Errorf("got %+v", s)
	}
	cancel()
	go func() { _, _ = io.WriteString(writer, event("2")) }()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want context.Canceled", err)
	}
}
