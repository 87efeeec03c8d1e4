package mirror_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

func TestFilter(t *testing.T) {
	all := []mirror.Snapshot{
		{FileID: "528-a", Definition: 10, TimeOffset: 0},
		{FileID: "528-b", Definition: 20, TimeOffset: 1000.5},
		{FileID: "99", Definition: 10, TimeOffset: 60000},
		{FileID: "99/x", Definition: 30, TimeOffset: 60000.5},
	}
	tests := []struct {
		include, exclude []string
		want             []int // of all
	}{
		{nil, nil, []int{0, 1, 2, 3}},
		{[]string{"file-id=528*"}, nil, []int{0, 1}},
		{[]string{"file-id=528-[b-z],99"}, nil, []int{1, 2}},
		{[]string{"file-id=*"}, nil, []int{0, 1, 2}}, // as path.Match has it
		{[]string{"definition=10"}, nil, []int{0, 2}},
		{[]string{"definition=20,30"}, nil, []int{1, 3}},
		{[]string{"definition=11-29"}, nil, []int{1}},
		{[]string{"definition=20-"}, nil, []int{1, 3}},
		{[]string{"time-offset=0-60000"}, nil, []int{0, 1, 2}},
		{[]string{"time-offset=0.5-1000.5"}, nil, []int{1}},
		{[]string{"time-offset=0,60000.5"}, nil, []int{0, 3}},
		{[]string{" file-id = 528* , definition = 10 , 11 "}, nil, []int{0}},
		{[]string{"file-id=528*,definition=10", "definition=30"}, nil, []int{0, 3}},
		{nil, []string{"definition=10"}, []int{1, 3}},
		{[]string{"file-id=528*"}, []string{"definition=10"}, []int{1}},
		{[]string{"definition=1"}, nil, nil},
	}
	for _, test := range tests {
		f, err := mirror.ParseFilter(test.include, test.exclude)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, i := range test.want {
			want = append(want, all[i].FileID)
		}
		wanted, leftOut := f.Split(append([]mirror.Snapshot(nil), all...))
		var got []string
		for _, s := range wanted {
			got = append(got, s.FileID)
		}
		if diff := cmp.Diff(want, got); diff != "" || leftOut != len(all)-len(want) {
			t.Errorf("include %q, exclude %q: %d left out (-want +got):\n%s", test.include, test.exclude, leftOut, diff)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                 `--include "": write file-id=GLOB, definition=N or time-offset=FROM-TO, with commas between`,
		"528*":             `--include "528*": write file-id=GLOB, definition=N or time-offset=FROM-TO, with commas between`,
		"task=1":           `--include "task=1": there is no "task": write file-id, definition or time-offset`,
		"file-id=":         `--include "file-id=": "" is not a pattern for file ids: write it like 5285890*`,
		"file-id=a[":       `--include "file-id=a[": "a[" is not a pattern for file ids: write it like 5285890*`,
		"definition=ten":   `--include "definition=ten": "ten" is neither a number nor a range: write 10, 10-20 or 10-`,
		"definition=1.5":   `--include "definition=1.5": "1.5" is neither a number nor a range: write 10, 10-20 or 10-`,
		"definition=-5":    `--include "definition=-5": "-5" is neither a number nor a range: write 10, 10-20 or 10-`,
		"definition=20-10": `--include "definition=20-10": "20-10" is neither a number nor a range: write 10, 10-20 or 10-`,
		"definition=10,":   `--include "definition=10,": "" is neither a number nor a range: write 10, 10-20 or 10-`,
		"definition=10,file-id=a,b,definition=20": `--include "definition=10,file-id=a,b,definition=20": definition is there twice: write its values after each other, definition=A,B`,
		"time-offset=1e3":                         `--include "time-offset=1e3": "1e3" is neither a number nor a range: write 10, 10-20 or 10-`,
		"time-offset=0x10-0x20":                   `--include "time-offset=0x10-0x20": "0x10-0x20" is neither a number nor a range: write 10, 10-20 or 10-`,
	} {
		_, err := mirror.ParseFilter([]string{text}, nil)
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := mirror.ParseFilter(nil, []string{"x"}); err == nil || err.Error()[:9] != "--exclude" {
		t.Errorf("got %v, want an error that names --exclude", err)
	}
}

// Whatever a rule says, it is taken, and then answers for any snapshot, or refused with one short line.
func FuzzParseFilter(f *testing.F) {
	f.Add("file-id=528*,definition=10,20,time-offset=0-60000", "528", int64(10), 1000.5)
	f.Add("time-offset=60000-", "", int64(0), 0.0)
	f.Add("definition=-1\x1b", "[", int64(-1), -1.0)
	f.Fuzz(func(t *testing.T, text, file string, definition int64, offset float64) {
		filter, err := mirror.ParseFilter([]string{text}, nil)
		if err != nil {
			if got := err.Error(); len(got) > 1000 || strings.ContainsAny(got, "\n\x1b") {
				t.Errorf("not fit for a line: %q", got)
			}
			return
		}
		s := mirror.Snapshot{FileID: file, Definition: definition, TimeOffset: mirror.TimeOffset(offset)}
		excluding, err := mirror.ParseFilter(nil, []string{text})
		if err != nil || filter.Takes(s) == excluding.Takes(s) {
			t.Errorf("%q takes %+v both as --include and as --exclude (%v)", text, s, err)
		}
	})
}
