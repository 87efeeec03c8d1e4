package mirror

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The report's line is an interface: names, units and order.
func TestResultJSON(t *testing.T) {
	s := Snapshot{FileID: "145", TimeOffset: 1000.5, Definition: 10, TaskID: "t", URL: "http://h/x.jpg?sign=SECRET"}
	for _, test := range []struct {
		result Result
		want   string
	}{
		{
			Result{Snapshot: s, Key: "145/1000.5", Outcome: Mirrored, Bytes: 37, Attempts: 2, Elapsed: 1500 * time.Millisecond},
			`{"file_id":"145","time_offset":1000.5,"definition":10,"task_id":"t","key":"145/1000.5","outcome":"mirrored","bytes":37,"attempts":2,"elapsed":1.5}`,
		},
		{
			Result{Snapshot: s, Outcome: Failed, Reason: BadSnapshot, Err: errors.New("no\nURL"), RetryAfter: time.Hour},
			`{"file_id":"145","time_offset":1000.5,"definition":10,"task_id":"t","key":"","outcome":"failed","reason":"bad_snapshot","bytes":0,` +
				`"attempts":0,"elapsed":0,"error":"no\nURL"}`,
		},
	} {
		got, err := json.Marshal(test.result)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
	}
}
