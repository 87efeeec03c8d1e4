package vod_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// result is an Event with errors as text.
type result struct {
	Snapshots []mirror.Snapshot
	Failed    []vod.Failure
	Malformed []string
}

func TestDecodeItems(t *testing.T) {
	one := func(offset mirror.TimeOffset, url string) result {
		return result{Snapshots: []mirror.Snapshot{{FileID: "1", TimeOffset: offset, Definition: 10, TaskID: "t", URL: url}}}
	}
	tests := []struct {
		item string
		want result
	}{
		{`{"ErrCode":0,"TimeOffset":10000,"Url":"http://h/1"}`, one(10000, "http://h/1")},
		{`{"ErrCode":0,"TimeOffset":10000.0,"Url":"http://h/1","New":{"X":[]}}`, one(10000, "http://h/1")},
		{`{"ErrCode":0,"TimeOffset":1000.5,"Url":"http://h/1"}`, one(1000.5, "http://h/1")},
		{`{"ErrCode":0,"TimeOffset":1e4,"Url":"http://h/1"}`, one(10000, "http://h/1")},
		{`{"ErrCode":0,"TimeOffset":"10000","Url":"http://h/1"}`, one(10000, "http://h/1")},
		{`{"TimeOffset":0,"Url":"http://h/1"}`, one(0, "http://h/1")},
		// Named, so that the worker can report them as bad_snapshot.
		{`{"ErrCode":0,"TimeOffset":-5,"Url":"http://h/1"}`, one(-5, "http://h/1")},
		{`{"ErrCode":0,"TimeOffset":7,"Url":""}`, one(7, "")},
		{`{"ErrCode":0,"TimeOffset":7}`, one(7, "")},
		{`{"ErrCode":0,"TimeOffset":7,"Url":null}`, one(7, "")},
		{`{"ErrCode":-44098,"TimeOffset":99000,"Url":""}`, result{Failed: []vod.Failure{{FileID: "1", TimeOffset: "99000", Code: -44098}}}},
		{`{"ErrCode":30010}`, result{Failed: []vod.Failure{{FileID: "1", Code: 30010}}}},
		{`{"ErrCode":0,"TimeOffset":"soon","Url":"http://h/1"}`, result{Malformed: []string{`item 0: time offset "soon" is not a number of milliseconds`}}},
		{`{"ErrCode":0,"TimeOffset":1e400,"Url":"http://h/1"}`, result{Malformed: []string{`item 0: time offset "1e400" is not a number of milliseconds`}}},
		{`{"ErrCode":0,"Url":"http://h/1"}`, result{Malformed: []string{`item 0: time offset "" is not a number of milliseconds`}}},
		{`{"ErrCode":0.5,"TimeOffset":1,"Url":"http://h/1"}`, result{Malformed: []string{`item 0: ErrCode "0.5" is not a whole number`}}},
	}
	const sibling = `{"ErrCode":0,"TimeOffset":123,"Url":"http://h/sibling"}`
	for _, test := range tests {
		event, err := vod.Decode(fmt.Appendf(nil, `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":
			{"TaskId":"t","FileId":"1","Definition":10,"SnapshotInfoSet":[%s,%s]}}`, test.item, sibling))
		if err != nil {
			t.Errorf("%s: %v", test.item, err)
			continue
		}
		want := test.want
		want.Snapshots = append(want.Snapshots, mirror.Snapshot{FileID: "1", TimeOffset: 123, Definition: 10, TaskID: "t", URL: "http://h/sibling"})
		got := result{Snapshots: event.Snapshots, Failed: event.Failed}
		for _, err := range event.Malformed {
			got.Malformed = append(got.Malformed, err.Error())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.item, diff)
		}
	}
}

func TestDecodeEvents(t *testing.T) {
	const complete = `"EventType":"CreateSnapshotByTimeOffsetComplete"`
	tests := []struct {
		name, in  string
		carries   bool
		snapshots int
		err       string
	}{
		{"another type", `{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":"7"}}`, false, 0, ""},
		{"a type that is new", `{"EventType":"Whatever","X":5}`, false, 0, ""},
		{"numbers as ids", `{` + complete + `,"SnapshotByTimeOffsetCompleteEvent":{"FileId":5285890780000000002,"Definition":"10","SnapshotInfoSet":[{"Url":"u","TimeOffset":1}]}}`, true, 1, ""},
		{"no items", `{` + complete + `,"SnapshotByTimeOffsetCompleteEvent":{"FileId":"1","SnapshotInfoSet":null}}`, true, 0, ""},
		{"no type", `{"FileId":"1"}`, false, 0, "no EventType: this is not an event of VOD's"},
		{"no body", `{` + complete + `,"SnapshotByTimeOffsetCompleteEvent":null}`, false, 0, "an event CreateSnapshotByTimeOffsetComplete without SnapshotByTimeOffsetCompleteEvent"},
		{"legacy v2", `{"version":"4.0","eventType":"CreateSnapshotByTimeOffsetComplete","data":{"fileId":"1"}}`, true, 0, ""},
		{"legacy v2 without data", `{"version":4,"eventType":"CreateSnapshotByTimeOffsetComplete","data":null}`, false, 0, "an event CreateSnapshotByTimeOffsetComplete without SnapshotByTimeOffsetCompleteEvent"},
		{"legacy v2 with odd data", `{"eventType":"CreateSnapshotByTimeOffsetComplete","data":[]}`, false, 0, "it is a JSON array"},
		{"legacy v2, another type with odd data", `{"eventType":"TranscodeComplete","data":"x"}`, false, 0, ""},
		{"legacy v2 as text", `{"msgHandle":"m","eventContent":"{\"eventType\":\"CreateSnapshotByTimeOffsetComplete\",\"data\":{\"fileId\":\"1\",\"picInfo\":[{\"timeOffset\":1,\"url\":\"u\"}]}}"}`, true, 1, ""},
		{"legacy v2 in itself", `{"eventContent":{"eventContent":{"eventType":"x"}}}`, false, 0, "no EventType: this is not an event of VOD's"},
		{"legacy v2 without content", `{"msgHandle":"m","eventContent":null}`, false, 0, "no EventType: this is not an event of VOD's"},
		{"legacy list one deeper", `{"code":0,"data":{"eventList":[{"eventContent":{"eventType":"x"}},{"eventContent":{"eventType":"CreateSnapshotByTimeOffsetComplete","data":{"fileId":"1","picInfo":[{"status":0,"timeOffset":1,"url":"u"}]}}}]}}`, true, 1, ""},
		{"data of no list", `{"data":{"a":1}}`, false, 0, "no EventType: this is not an event of VOD's"},

		{"procedure without body", `{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":null}`, false, 0, "an event ProcedureStateChanged without ProcedureStateChangeEvent"},
		{"procedure without results", `{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"FileId":"1","MediaProcessResultSet":null}}`, false, 0, ""},
		{"procedure of other sub-tasks", `{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"FileId":"1","MediaProcessResultSet":[{"Type":"Transcode","TranscodeTask":{"Output":5}}]}}`, false, 0, ""},
		{"another type with an odd procedure", `{"EventType":"New","ProcedureStateChangeEvent":[5],"BasicInfo":5,"data":5}`, false, 0, ""},

		{"media without snapshots", `{"FileId":"1","BasicInfo":{"Name":"x"}}`, false, 0, ""},
		{"media without a file", `{"SnapshotByTimeOffsetInfo":{}}`, false, 0, "neither an EventType nor a FileId: this is neither an event nor a media of VOD's"},
		{"body of another type", `{` + complete + `,"SnapshotByTimeOffsetCompleteEvent":"x"}`, false, 0, "the field SnapshotByTimeOffsetCompleteEvent is a JSON string"},
		{"half a definition", `{` + complete + `,"SnapshotByTimeOffsetCompleteEvent":{"Definition":10.5}}`, false, 0, `Definition "10.5" is not a whole number`},
		{"bad literal", `{"EventType":nul}`, false, 0, "invalid character '}' in literal null (expecting 'l')"},
	}
	for _, test := range tests {
		event, err := vod.Decode([]byte(test.in))
		if text := fmt.Sprint(err); (test.err != "" || err != nil) && text != test.err {
			t.Errorf("%s: error %q, want %q", test.name, text, test.err)
		}
		if event.Carries != test.carries || len(event.Snapshots) != test.snapshots {
			t.Errorf("%s: carries %t, %d snapshots; want %t, %d", test.name, event.Carries, len(event.Snapshots), test.carries, test.snapshots)
		}
	}
	event, err := vod.Decode([]byte(tests[2].in))
	if err != nil || event.Snapshots[0].FileID != "5285890780000000002" || event.Snapshots[0].Definition != 10 {
		t.Errorf("ids as numbers: %+v, %v", event, err)
	}
}

func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":1,"Definition":"1e1","SnapshotInfoSet":[{"TimeOffset":"-0","Url":5},{"ErrCode":-1}]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		event, err := vod.Decode(in)
		if err != nil {
			return
		}
		for _, s := range event.Snapshots { // what is written to --failed comes back the same
			text, err := vod.Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			again, err := vod.Decode(text)
			if err != nil || len(again.Snapshots) != 1 {
				t.Fatalf("%s: %v", text, err)
			}
			s.TimeOffset += 0 // -0 comes back as 0
			if diff := cmp.Diff(s, again.Snapshots[0]); diff != "" {
				t.Errorf("encoded and decoded (-want +got):\n%s", diff)
			}
		}
	})
}

// BenchmarkDecode reads NDJSON of events with 20 snapshots each: as backfill does, beside what encoding/json needs for the same text
// when it is told exactly what to expect.
func BenchmarkDecode(b *testing.B) {
	var items []string
	for i := range 20 {
		items = append(items, fmt.Sprintf(`{"ErrCode":0,"TimeOffset":%d,"Url":"http://125676836723.vod2.myqcloud.com/dir/dir/snapshotByTimeOffset/snapshotByTimeOffset_10_%d.jpg"}`, i*1000, i))
	}
	event := fmt.Sprintf(`{"EventType":"CreateSnapshotByTimeOffsetComplete","FileUploadEvent":null,"SnapshotByTimeOffsetCompleteEvent":{"TaskId":"t","FileId":"14508071098244929440","Definition":10,"SnapshotInfoSet":[%s]}}`+"\n", strings.Join(items, ","))
	input := strings.Repeat(event, 100)
	b.Run("scanner and Decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(input)))
		for b.Loop() {
			scanner := vod.NewScanner(strings.NewReader(input))
			for n := 0; ; n++ {
				text, _, err := scanner.Next()
				if err == io.EOF && n == 100 {
					break
				}
				if err != nil {
					b.Fatal(n, err)
				}
				if event, err := vod.Decode(text); err != nil || len(event.Snapshots) != 20 {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("encoding json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(input)))
		for b.Loop() {
			decoder := json.NewDecoder(strings.NewReader(input))
			for n := 0; ; n++ {
				var event struct {
					EventType                         string
					SnapshotByTimeOffsetCompleteEvent struct {
						TaskId, FileId  string
						Definition      int64
						SnapshotInfoSet []struct {
							ErrCode    int64
							TimeOffset float64
							Url        string
						}
					}
				}
				err := decoder.Decode(&event)
				if err == io.EOF && n == 100 {
					break
				}
				if err != nil || len(event.SnapshotByTimeOffsetCompleteEvent.SnapshotInfoSet) != 20 {
					b.Fatal(n, err)
				}
			}
		}
	})
}
