package mirror_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// Where nothing is found for long, the store is not asked before each put; what is there all the same is met by the put itself,
// and is treated as if it had been looked for.
func TestAbsence(t *testing.T) {
	server := storetest.StartS3(t)
	var looks atomic.Int64
	proxy := server.Proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			looks.Add(1)
		}
		return false
	})
	s3, err := store.NewS3(store.S3Options{
		Bucket: server.Bucket, Endpoint: proxy, Region: "us-east-1", Concurrency: 4,
		Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := mirror.New(s3, mirror.Options{AllowPrivateSources: true})
	if err != nil {
		t.Fatal(err)
	}
	origin := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jpeg) }))
	do := func(file int, definition int64, task string) mirror.Result {
		r, err := worker.Mirror(t.Context(), mirror.Snapshot{FileID: fmt.Sprint(file), Definition: definition, TaskID: task, URL: origin + "/x.jpg"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i := range 100 {
		if r := do(i, 10, "t"); r.Outcome != mirror.Mirrored {
			t.Fatal(r.Err)
		}
	}
	if n := looks.Load(); n != 64 {
		t.Errorf("%d looks for 100 pictures, want 64", n)
	}
	for _, test := range []struct {
		name    string
		do      func() mirror.Result
		outcome mirror.Outcome
		reason  mirror.Reason
	}{
		{"the same", func() mirror.Result { return do(50, 10, "t") }, mirror.Skipped, ""},
		{"another definition", func() mirror.Result { return do(51, 20, "t") }, mirror.Failed, mirror.KeyConflict},
		{"a re-take", func() mirror.Result { return do(52, 10, "u") }, mirror.Mirrored, ""},
	} {
		for i := range 70 { // so that absence is presumed again
			do(1000*len(test.name)+i, 10, "t")
		}
		before := looks.Load()
		if r := test.do(); r.Outcome != test.outcome || r.Reason != test.reason || r.Attempts != 1 {
			t.Errorf("%s: %s %s after %d fetches (%v)", test.name, r.Outcome, r.Reason, r.Attempts, r.Err)
		}
		if n := looks.Load() - before; n != 1 {
			t.Errorf("%s: %d looks, want one, after the put", test.name, n)
		}
		do(2000*len(test.name), 10, "t")
		if n := looks.Load() - before; n != 2 {
			t.Errorf("%s: absence is still presumed", test.name)
		}
	}
	info, err := s3.Head(t.Context(), "52/0")
	if err != nil || info.Metadata["task-id"] != "u" {
		t.Errorf("the re-take: %+v (%v)", info, err)
	}
	if info, err = s3.Head(t.Context(), "51/0"); err != nil || info.Metadata["definition"] != "10" {
		t.Errorf("the other definition's key: %+v (%v)", info, err)
	}
}
