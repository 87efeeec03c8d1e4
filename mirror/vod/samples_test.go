package vod_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// decoded is what a file of testdata gives.
type decoded struct {
	Snapshots []mirror.Snapshot
	Failed    []vod.Failure
	Foreign   int // of types that announce no snapshots
}

// Each sample gives exactly these snapshots. callback-v3.json and pull-v3.json are Tencent's own.
func TestSamples(t *testing.T) {
	const documented, task1 = "14508071098244929440", "CreateSnapshotByTimeOffset-1edb7eb88a599d05abe451cfc541cfbd"
	const file = "528589078000000000" // and a digit
	const task2 = "CreateSnapshotByTimeOffset-00000000000000000000000000000002"
	const task3 = "1250000000-procedurev2-00000000000000000000000000000003t0"
	const task4 = "CreateSnapshotByTimeOffset-00000000000000000000000000000004"
	ofTencent := decoded{Snapshots: []mirror.Snapshot{
		{FileID: documented, TimeOffset: 10000, Definition: 10, TaskID: task1, URL: "http://125676836723.vod2.myqcloud.com/xxx/xxx/1.png"},
		{FileID: documented, TimeOffset: 20000, Definition: 10, TaskID: task1, URL: "http://125676836723.vod2.myqcloud.com/xxx/xxx/2.png"},
	}}
	v2 := []mirror.Snapshot{{FileID: file + "4", TimeOffset: 10000, Definition: 10, TaskID: task4, URL: "http://{origin}/" + file + "4/10000.png"}}
	v2Failed := []vod.Failure{{FileID: file + "4", TimeOffset: "20000", Code: -46204}}
	want := map[string]decoded{
		"callback-v3.json": ofTencent,
		"pull-v3.json":     ofTencent,
		"callback-v3-partial.json": {
			Snapshots: []mirror.Snapshot{
				{FileID: file + "2", TimeOffset: 0, Definition: 20, TaskID: task2, URL: "http://{origin}/" + file + "2/0.jpg"},
				{FileID: file + "2", TimeOffset: 5000, Definition: 20, TaskID: task2, URL: "http://{origin}/" + file + "2/1.jpg"},
			},
			Failed: []vod.Failure{{FileID: file + "2", TimeOffset: "99000", Code: -44098}},
		},
		"callback-v3-foreign.json": {Foreign: 1},
		"callback-v3-procedure.json": {
			Snapshots: []mirror.Snapshot{ // the output's definition is 0, the input's is meant
				{FileID: file + "3", TimeOffset: 1000, Definition: 10, TaskID: task3, URL: "http://{origin}/" + file + "3/snapshotByTimeOffset_10_0.jpg"},
				{FileID: file + "3", TimeOffset: 2500.5, Definition: 10, TaskID: task3, URL: "http://{origin}/" + file + "3/snapshotByTimeOffset_10_1.jpg"},
			},
			Failed: []vod.Failure{{FileID: file + "3", Code: 30010}},
		},
		"callback-v2.json": {Snapshots: v2, Failed: v2Failed},
		"pull-v2.json":     {Snapshots: v2, Failed: v2Failed, Foreign: 1},
		"media-infos.json": {
			Snapshots: []mirror.Snapshot{
				{FileID: file + "5", TimeOffset: 0, Definition: 10, URL: "http://{origin}/" + file + "5/snapshotByTimeOffset_10_0.jpg"},
				{FileID: file + "5", TimeOffset: 3000, Definition: 20, URL: "http://{origin}/" + file + "5/snapshotByTimeOffset_20_0.jpg"},
			},
			Foreign: 1,
		},
	}
	names, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(names) != len(want) {
		t.Errorf("%d samples (%v), want %d", len(names), err, len(want))
	}
	for _, name := range names {
		if diff := cmp.Diff(want[filepath.Base(name)], decodeFile(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func decodeFile(t *testing.T, name string) (d decoded) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	scanner := vod.NewScanner(bytes.NewReader(text))
	for {
		text, _, err := scanner.Next()
		if err == io.EOF {
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		event, err := vod.Decode(text)
		if err != nil || len(event.Malformed) > 0 {
			t.Fatal(name, err, event.Malformed)
		}
		d.Snapshots, d.Failed = append(d.Snapshots, event.Snapshots...), append(d.Failed, event.Failed...)
		if !event.Carries {
			d.Foreign++
		}
	}
}

// A procedure is told of several times, each time with more of it done; what can't be read costs its siblings nothing.
func TestProcedures(t *testing.T) {
	const before, after = `{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"TaskId":"p","FileId":1,"Status":"PROCESSING","MediaProcessResultSet":[`, `]}}`
	const good = `{"Type":"SnapshotByTimeOffset","SnapshotByTimeOffsetTask":{"Status":"SUCCESS","ErrCode":0,"Input":{"Definition":10},"Output":{"Definition":11,"PicInfoSet":[{"TimeOffset":1.5,"Url":"u"}]}}}`
	goodSnapshot := mirror.Snapshot{FileID: "1", TimeOffset: 1.5, Definition: 11, TaskID: "p", URL: "u"}
	tests := []struct {
		name, result string
		want         result
	}{
		{"still processing", `{"SnapshotByTimeOffsetTask":{"Status":"PROCESSING","Input":{"Definition":10},"Output":{"PicInfoSet":[{"TimeOffset":2,"Url":"early"}]}}}`, result{}},
		{"nothing made", `{"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","Input":null,"Output":null}}`, result{}},
		{"no pictures", `{"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","Output":{"Definition":10,"PicInfoSet":null}}}`, result{}},
		{"failed", `{"SnapshotByTimeOffsetTask":{"Status":"FAIL","ErrCode":0,"Input":{"TimeOffsetSet":[1000,2500.5]}}}`,
			result{Failed: []vod.Failure{{FileID: "1", TimeOffset: "1000"}, {FileID: "1", TimeOffset: "2500.5"}}}},
		{"failed by its code", `{"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","ErrCode":-1,"Output":{"PicInfoSet":[{"TimeOffset":2,"Url":"u"}]}}}`,
			result{Failed: []vod.Failure{{FileID: "1", Code: -1}}}},
		{"no URL", `{"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","Output":{"Definition":"20","PicInfoSet":[{"TimeOffset":2}]}}}`,
			result{Snapshots: []mirror.Snapshot{{FileID: "1", TimeOffset: 2, Definition: 20, TaskID: "p"}}}},
		{"no offset", `{"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","Output":{"PicInfoSet":[{"Url":"u"}]}}}`,
			result{Malformed: []string{`picture 0: time offset "" is not a number of milliseconds`}}},
		{"a task of another type", `{"SnapshotByTimeOffsetTask":[1]}`, result{Malformed: []string{"result 0: it is a JSON array"}}},
		{"a code of another type", `{"SnapshotByTimeOffsetTask":{"ErrCode":"bad"}}`, result{Malformed: []string{`result 0: ErrCode "bad" is not a whole number`}}},
		{"half a definition", `{"SnapshotByTimeOffsetTask":{"Output":{"Definition":0.5}}}`, result{Malformed: []string{`result 0: Definition "0.5" is not a whole number`}}},
		{"half a definition asked for", `{"SnapshotByTimeOffsetTask":{"Input":{"Definition":0.5},"Output":{"Definition":10}}}`,
			result{Malformed: []string{`result 0: Definition "0.5" is not a whole number`}}},
	}
	for _, test := range tests {
		event, err := vod.Decode([]byte(before + test.result + "," + good + after))
		if err != nil || !event.Carries {
			t.Errorf("%s: %v, carries %t", test.name, err, event.Carries)
			continue
		}
		got := result{Snapshots: event.Snapshots, Failed: event.Failed}
		for _, err := range event.Malformed {
			got.Malformed = append(got.Malformed, err.Error())
		}
		test.want.Snapshots = append(test.want.Snapshots, goodSnapshot)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// The same task in both callback formats is the same snapshots: the queue and the bucket take them for one.
func TestFormatsAgree(t *testing.T) {
	v3, err := vod.Decode([]byte(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"TaskId":"t","FileId":"f","Definition":10,"SnapshotInfoSet":[{"ErrCode":0,"TimeOffset":10000,"Url":"http://h/1"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := vod.Decode([]byte(`{"version":4,"eventType":"CreateSnapshotByTimeOffsetComplete","data":{"vodTaskId":"t","fileId":"f","definition":10,"picInfo":[{"status":0,"timeOffset":10000,"url":"http://h/1"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v3, v2); diff != "" {
		t.Errorf("v2 differs (-v3 +v2):\n%s", diff)
	}
}
