package mirror

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

func TestVideoKeys(t *testing.T) {
	const none = TimeOffset(-1)
	for _, test := range []struct {
		template, fileID, prefix, err string
		keys                          map[string]TimeOffset
	}{
		{DefaultKeyTemplate, "1", "1/", "", map[string]TimeOffset{"1/1000.5": 1000.5, "1/0": 0, "1/a": none, "12/0": none, "1/10/0": none, "1/1.": none}},
		{"a/{file_id}/{definition}/{time_offset}.{ext}", "x.y", "a/x.y/", "", map[string]TimeOffset{"a/x.y/10/7.jpg": 7, "a/x-y/10/7.jpg": none}},
		{"{file_id}{time_offset}", "1", "1", "", map[string]TimeOffset{"12": 2, "2": none}},
		{"{file_id}-{task_id}-{file_id}/{time_offset}", "f", "f-", "", map[string]TimeOffset{"f-t-f/3": 3, "f-t-g/3": none}},
		{"{definition}/{file_id}/{time_offset}", "1", "", "{definition} stands before {file_id}", nil},
		{DefaultKeyTemplate, "", "", "no video", nil},
		{DefaultKeyTemplate, "1/2", "", "no video", nil},
		{DefaultKeyTemplate, "..", "", "segment", nil},
		{DefaultKeyTemplate, "a\u202eb", "", "printed", nil},
	} {
		template, err := ParseKeyTemplate(test.template)
		if err != nil {
			t.Fatal(err)
		}
		v, err := template.VideoKeys(test.fileID)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || v.Prefix != test.prefix {
			t.Errorf("%s of %q: prefix %q, error %v, want %q, %q", test.template, test.fileID, v.Prefix, err, test.prefix, test.err)
			continue
		}
		for key, want := range test.keys {
			got, ok := v.TimeOffset(key)
			if ok != (want != none) || ok && got != want {
				t.Errorf("%s of %q: %q gives %v, %v, want %v", test.template, test.fileID, key, got, ok, want)
			}
		}
	}
}

// What is recorded can be read again, and nothing is made of what is not ours.
func TestRecorded(t *testing.T) {
	want := Snapshot{FileID: "a b/ü%", TimeOffset: 1000.5, Definition: -1, TaskID: "t\n<b>", URL: "http://h/1.jpg"}
	with := want
	with.URL += "?sign=secret#x"
	got, ok := Recorded(store.Info{Metadata: metadata(with, picture{etag: "etag"})})
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("%v (-want +got):\n%s", ok, diff)
	}
	for name, value := range map[string]string{metaFileID: "", metaTaskID: "%zz", metaTimeOffset: "x", metaDefinition: ""} {
		m := metadata(with, picture{})
		m[name] = value
		if got, ok := Recorded(store.Info{Metadata: m}); ok {
			t.Errorf("%s %q gives %+v", name, value, got)
		}
	}
}
