package mirror_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What a batch makes of a bucket that is away for a while, or refuses something, or everything. Each has 400 snapshots of 40
// videos, in their order, and four workers: a success that comes late may begin a count of failures anew.
func TestBatchAndStore(t *testing.T) {
	const videos, each, workers = 40, 10, 4
	of := func(r *http.Request, video string) bool { return strings.Contains(r.URL.Path, "/"+video+"/") }
	put := func(r *http.Request) bool { return r.Method == http.MethodPut }
	forbidden, noBucket, slow := says(403, "AccessDenied"), says(404, "NoSuchBucket"), says(503, "SlowDown")
	tests := []struct {
		name string
		// fault is what the n-th request meets, counted from 1; nil lets it through.
		fault         func(n int64, r *http.Request) bucketFault
		patience      time.Duration
		stopped       mirror.Reason // "" is not at all
		least, most   int           // failed
		leastM, mostM int           // mirrored
		hint          string
	}{
		{name: "away for a while", patience: time.Minute, leastM: 400, mostM: 400, fault: func(n int64, r *http.Request) bucketFault {
			if n > 100 && n <= 124 {
				return reset(0)
			}
			return nil
		}},
		{name: "away from the start, for a while", patience: time.Minute, leastM: 400, mostM: 400, fault: func(n int64, r *http.Request) bucketFault {
			if n <= 24 {
				return slow
			}
			return nil
		}},
		{name: "away for good", patience: 2 * time.Second, stopped: mirror.StoreUnavailable, least: 1, most: workers, leastM: 40, mostM: 60, hint: "--s3-endpoint",
			fault: func(n int64, r *http.Request) bucketFault {
				if n > 100 {
					return reset(0)
				}
				return nil
			}},
		{name: "one object is never taken", patience: 3 * time.Second, least: 1, most: 1, leastM: 399, mostM: 399, fault: func(n int64, r *http.Request) bucketFault {
			if put(r) && strings.HasSuffix(r.URL.Path, "/video-07/3") {
				return slow
			}
			return nil
		}},
		{name: "one video is denied", least: each, most: each, leastM: 390, mostM: 390, fault: func(n int64, r *http.Request) bucketFault {
			if put(r) && of(r, "video-07") {
				return forbidden
			}
			return nil
		}},
		{name: "every second picture is denied", least: 200, most: 200, leastM: 200, mostM: 200, fault: func(n int64, r *http.Request) bucketFault {
			if put(r) && strings.ContainsAny(r.URL.Path[len(r.URL.Path)-1:], "13579") {
				return forbidden
			}
			return nil
		}},
		{name: "all is denied", stopped: mirror.StoreDenied, least: 10, most: 10 + workers, hint: "s3:PutObject", fault: func(n int64, r *http.Request) bucketFault {
			if put(r) {
				return forbidden
			}
			return nil
		}},
		{name: "all is denied from the sixth video on", stopped: mirror.StoreDenied, least: 80, most: 100 + 4*workers, leastM: 60, mostM: 60, hint: "s3:PutObject",
			fault: func(n int64, r *http.Request) bucketFault {
				if put(r) && !strings.Contains(r.URL.Path, "/video-0") || of(r, "video-06") || of(r, "video-07") || of(r, "video-08") || of(r, "video-09") {
					return forbidden
				}
				return nil
			}},
		{name: "the bucket vanishes", stopped: mirror.StoreDenied, least: 3, most: 3 + 3*workers, leastM: 40, mostM: 60, hint: "create the bucket", fault: func(n int64, r *http.Request) bucketFault {
			if n > 100 {
				return noBucket
			}
			return nil
		}},
	}
	origin := storetest.Serve(t, send(jpeg))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := storetest.StartS3(t)
			var n atomic.Int64
			endpoint := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
				fault := test.fault(n.Add(1), r)
				if fault != nil {
					fault(w, r, nil)
				}
				return fault != nil
			})
			bucket, err := store.NewS3(store.S3Options{
				Bucket: server.Bucket, Endpoint: endpoint, Region: "us-east-1", Addressing: "path", Concurrency: workers,
				Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
			})
			if err != nil {
				t.Fatal(err)
			}
			w, err := mirror.New(bucket, mirror.Options{AllowPrivateSources: true, Concurrency: workers, StorePatience: test.patience})
			if err != nil {
				t.Fatal(err)
			}
			source := make(chan mirror.Snapshot, videos*each)
			for i := range videos * each {
				source <- mirror.Snapshot{FileID: fmt.Sprintf("video-%02d", i/each), TimeOffset: mirror.TimeOffset(i % each), Definition: 10, TaskID: "t", URL: origin + "/1.jpg"}
			}
			close(source)
			count, results := map[mirror.Outcome]int{}, map[string]int{}
			err = w.Batch(t.Context(), t.Context(), source, func(r mirror.Result) error {
				count[r.Outcome]++
				results[r.Key]++
				return nil
			})
			stopped, ended := errors.AsType[*mirror.Stopped](err)
			switch {
			case test.stopped == "" && err != nil:
				t.Errorf("ended early: %v", err)
			case test.stopped != "" && (!ended || stopped.Reason != test.stopped):
				t.Errorf("%v, want an early end because of %s", err, test.stopped)
			}
			if e, ok := errors.AsType[*store.Error](err); ended && (!ok || !strings.Contains(e.Hint, test.hint)) {
				t.Errorf("%v, want a hint about %s", err, test.hint)
			}
			if got := count[mirror.Failed]; got < test.least || got > test.most {
				t.Errorf("%d failed, want %d to %d", got, test.least, test.most)
			}
			got := count[mirror.Mirrored] + count[mirror.Skipped]
			if got < test.leastM || got > test.mostM {
				t.Errorf("%d mirrored, want %d to %d", got, test.leastM, test.mostM)
			}
			if stored := len(server.Names(t)); stored != got {
				t.Errorf("%d objects, but %d are said to be there", stored, got)
			}
			for key, n := range results {
				if n != 1 {
					t.Errorf("%d results for %s", n, key)
				}
			}
			// What was taken, but not begun before the end, is neither here nor there.
			if lost := videos*each - len(results) - len(source); lost != 0 && (!ended || lost < 0 || lost > workers) {
				t.Errorf("%d have neither a result nor were left", lost)
			}
		})
	}
}
