package main

import (
	"crypto/md5"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var (
	pullEvents = flag.Int("pull-events", 300, "events in the tests that kill a pulling serve; 10000 is the full size")
	pullKills  = flag.Int("pull-kills", 3, "kills of a pulling serve; 20 is the full size")
)

// vodSettings are the environment for a stand-in of VOD's API.
func vodSettings(server *vodtest.Server) []string {
	return []string{
		"TENCENTCLOUD_SECRET_ID=vodid", "TENCENTCLOUD_SECRET_KEY=vodsecretkey",
		"SNAPSHOT_MIRROR_VOD_ENDPOINT=" + server.URL, "SNAPSHOT_MIRROR_VOD_SUB_APP_ID=1500000000",
	}
}

var vodOptions = vodtest.Options{SecretID: "vodid", SecretKey: "vodsecretkey", SubAppID: 1500000000}

// mixture is events as an application has them: ours in three forms, and foreign ones.
type mixture struct {
	events  []string
	paths   map[string]string // of the picture that belongs to a key
	foreign int
	others  map[string]bool // what has to be forwarded: foreign events, and those with other sub-tasks too
}

func mix(o *origin, n int) *mixture {
	m := &mixture{paths: map[string]string{}, others: map[string]bool{}}
	for i := range n {
		file := fmt.Sprintf("pull-%d", i)
		paths := manyPaths(file, 2)
		event := o.event("task", file, 10, paths...)
		switch i % 5 {
		case 0:
			event = fmt.Sprintf(`{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":%q}}`, file)
			m.foreign++
			m.others[file] = true
			paths = nil
		case 1:
			event = fmt.Sprintf(`{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"TaskId":"task","FileId":%q,"MediaProcessResultSet":[
				{"Type":"Transcode","TranscodeTask":{"Status":"SUCCESS","ErrCode":0}},
				{"Type":"SnapshotByTimeOffset","SnapshotByTimeOffsetTask":{"Status":"SUCCESS","ErrCode":0,"Input":{"Definition":10},
				"Output":{"Definition":0,"PicInfoSet":[{"TimeOffset":0.0,"Url":"%s%s"},{"TimeOffset":1000.0,"Url":"%s%s"}]}}}]}}`,
				file, o.URL, paths[0], o.URL, paths[1])
			m.others[file] = true
		case 2:
			event = fmt.Sprintf(`{"version":"4.0","eventType":"CreateSnapshotByTimeOffsetComplete","data":{"vodTaskId":"task","fileId":%q,"definition":10,
				"picInfo":[{"status":0,"timeOffset":0,"url":"%s%s"},{"status":0,"timeOffset":1000,"url":"%s%s"}]}}`, file, o.URL, paths[0], o.URL, paths[1])
		}
		for j, path := range paths {
			m.paths[fmt.Sprintf("%s/%d", file, j*1000)] = path
		}
		m.events = append(m.events, event)
	}
	return m
}

// verify looks at every object.
func (m *mixture) verify(t *testing.T, o *origin, server *storetest.Server) {
	t.Helper()
	there := 0
	for object := range server.Client(t).ListObjectsIter(t.Context(), server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		path, ok := m.paths[object.Key]
		if object.Err != nil || !ok || strings.Trim(object.ETag, `"`) != fmt.Sprintf("%x", md5.Sum(o.picture(path))) {
			t.Errorf("%+v: not what was announced", object)
		}
		there++
	}
	if there != len(m.paths) {
		t.Errorf("%d objects, want %d", there, len(m.paths))
	}
}

// The reliable callback, with kill -9 at random moments and confirmations that come late: whatever --pull-unhandled says, every
// snapshot is mirrored, and an event is confirmed only when its word allows it. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestPullUnderKills -v -pull-events 10000 -pull-kills 20 -timeout 60m
func TestPullUnderKills(t *testing.T) {
	for _, mode := range []string{"leave", "confirm", "forward"} {
		t.Run(mode, func(t *testing.T) {
			origin, bucket := newOrigin(t), storetest.StartS3(t)
			o := vodOptions
			o.Hide, o.Poll = 3*time.Second, 500*time.Millisecond
			api := vodtest.Start(t, o)
			m := mix(origin, *pullEvents)
			receiver := newReceiver(t)
			word := mode
			if mode == "forward" {
				word += "=" + receiver.URL
			}
			s := startServe(t, append(bucket.Env(bucket.Endpoint), vodSettings(api)...),
				"--to", "s3://"+bucket.Bucket, "--pull", "--listen", "off", "--pull-unhandled", word)
			for i := range *pullKills {
				for _, event := range m.events[i*len(m.events) / *pullKills : (i+1)*len(m.events) / *pullKills] {
					api.Push(event)
				}
				api.Delay("ConfirmEvents", []time.Duration{0, 500 * time.Millisecond, 4 * time.Second}[i%3])
				time.Sleep(time.Duration(500+rand.IntN(1500)) * time.Millisecond) // the moment is the point
				s.kill()
				s.start()
			}
			api.Delay("ConfirmEvents", 100*time.Millisecond)
			left := 0
			if mode == "leave" {
				left = m.foreign
			}
			waitFor(t, "every event that is to be confirmed is", 20*time.Minute, func() bool { return api.Unconfirmed() == left })
			waitFor(t, "idle", 20*time.Minute, s.idle)
			t.Logf("%d events, %d pulls, %d confirmations", len(m.events), api.Calls("PullEvents"), api.Calls("ConfirmEvents"))
			m.verify(t, origin, bucket)
			if got := s.metric(metricDead); got != 0 {
				t.Errorf("%v dead letters", got)
			}
			if mode == "leave" {
				for _, event := range api.Confirmed() {
					if strings.Contains(event, "NewFileUpload") {
						t.Fatalf("a foreign event was confirmed: %s", event)
					}
				}
			}
			if mode == "forward" {
				receiver.verify(t, m.others)
			}
		})
	}
}

// receiver takes what is forwarded to it, but not at once.
type receiver struct {
	URL  string
	mu   sync.Mutex
	got  map[string]bool // file ids
	asks int
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{got: map[string]bool{}}
	r.URL = storetest.Serve(t, r)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	text, _ := io.ReadAll(req.Body)
	_, file, _ := strings.Cut(string(text), `"FileId":"`)
	file, _, _ = strings.Cut(file, `"`)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asks++; r.asks%4 == 0 {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	r.got[file] = true
}

func (r *receiver) verify(t *testing.T, want map[string]bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for file := range want {
		if !r.got[file] {
			t.Errorf("the event of %s was not forwarded", file)
		}
	}
	if len(r.got) != len(want) {
		t.Errorf("events of %d files were forwarded, want %d", len(r.got), len(want))
	}
}

// While VOD refuses everything, serve stays up and ready, says what to do, and goes on when it is mended.
func TestPullDenied(t *testing.T) {
	origin := newOrigin(t)
	api := vodtest.Start(t, vodOptions)
	api.Forbid("PullEvents")
	s := startServe(t, vodSettings(api), "--to", t.TempDir(), "--pull")
	waitFor(t, "the log says what is missing", 10*time.Second, func() bool { return s.log.contains("the credentials need the CAM permission vod:PullEvents") })
	if !s.ready() || s.post(origin.event("task", "1", 10, "/1/0.jpg")) != http.StatusOK {
		t.Error("the callback does not work while pulling is refused")
	}
	if up, n := s.metric("snapshot_mirror_pull_up"), s.metric(`snapshot_mirror_pull_failures_total{kind="denied"}`); up != 0 || n < 1 {
		t.Errorf("pull_up %v, failures %v", up, n)
	}
	if code, _ := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
