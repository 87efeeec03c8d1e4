package mirror

import (
	"math"
	"strings"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

func TestParseKeyTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"{file_id}":                      `key template "{file_id}": {time_offset} is missing, so pictures would overwrite each other`,
		"{file_id}/{time}":               `key template "{file_id}/{time}": no placeholder {time}; there are {file_id}, {time_offset}, {definition}, {task_id}, {ext}`,
		"{file_id/{time_offset}":         `key template "{file_id/{time_offset}": no placeholder {file_id/{time_offset}; there are {file_id}, {time_offset}, {definition}, {task_id}, {ext}`,
		"{file_id}/{time_offset":         `key template "{file_id}/{time_offset": a brace has no partner`,
		"}{file_id}/{time_offset}":       `key template "}{file_id}/{time_offset}": a brace has no partner`,
		"/{file_id}/{time_offset}":       `key template "/{file_id}/{time_offset}": the key has a segment ""`,
		"../{file_id}/{time_offset}":     `key template "../{file_id}/{time_offset}": the key has a segment ".."`,
		"a\n{file_id}/{time_offset}":     `key template "a\n{file_id}/{time_offset}": the key has a backslash or a character that can't be printed`,
		"":                               `key template "": {file_id} is missing, so pictures would overwrite each other`,
		strings.Repeat("x", 1100) + "{}": `key template "` + strings.Repeat("x", 1100) + `{}": no placeholder {}; there are {file_id}, {time_offset}, {definition}, {task_id}, {ext}`,
	} {
		if _, err := ParseKeyTemplate(text); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	s := Snapshot{FileID: "145", TimeOffset: 1000.5, Definition: 10, TaskID: "t-1", URL: "http://h/a.b/pic.JPG?x=/y.png#z.gif"}
	for template, want := range map[string]string{
		DefaultKeyTemplate: "145/1000.5",
		"v/{file_id}/{definition}/{time_offset}.{ext}": "v/145/10/1000.5.jpg",
		"{time_offset}-{file_id}-{task_id}":            "1000.5-145-t-1",
	} {
		parsed, err := ParseKeyTemplate(template)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsed.Expand(s); got != want || err != nil {
			t.Errorf("%s: %q (%v), want %q", template, got, err, want)
		}
	}
	for _, offset := range []struct {
		in   TimeOffset
		want string
	}{{0, "0"}, {TimeOffset(math.Copysign(0, -1)), "0"}, {10000, "10000"}, {1e15, "1000000000000000"}, {0.1, "0.1"}} {
		if got := offset.in.String(); got != offset.want {
			t.Errorf("time offset %v: %s, want %s", float64(offset.in), got, offset.want)
		}
	}
}

func FuzzKeyTemplate(f *testing.F) {
	f.Add(DefaultKeyTemplate, "145", 1000.5, "t", "http://h/x.jpg")
	f.Add("{file_id}.{ext}/{time_offset}{task_id}", "..", 1.0, "a/b", "http://h/x.%2f..")
	f.Fuzz(func(t *testing.T, template, file string, offset float64, task, url string) {
		parsed, err := ParseKeyTemplate(template)
		if err != nil {
			return
		}
		key, err := parsed.Expand(Snapshot{FileID: file, TimeOffset: TimeOffset(offset), TaskID: task, URL: url})
		if err != nil {
			return
		}
		if err := store.CheckKey(key); err != nil {
			t.Errorf("%q passed: %v", key, err)
		}
		if got, want := strings.Count(key, "/"), strings.Count(template, "/"); got != want {
			t.Errorf("%q has %d slashes, its template %q has %d", key, got, template, want)
		}
	})
}

func FuzzRecogniseImage(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe0\xff\xd9"))
	f.Add([]byte("RIFF\x04\x00\x00\x00WEBP"))
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x00IEND\xae\x42\x60\x82"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := recogniseImage(b)
		if (kind == "") != (err != nil) {
			t.Errorf("%q and %v", kind, err)
		}
		if err == nil && len(b) > 12 { // a byte less is no whole picture any more
			if _, err := recogniseImage(b[:len(b)-1]); err == nil {
				t.Errorf("%x is whole with and without its last byte", b)
			}
		}
	})
}
