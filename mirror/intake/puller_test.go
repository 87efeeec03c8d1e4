package intake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var vodOptions = vodtest.Options{SecretID: "id", SecretKey: "secretkey", SubAppID: 1500000000, Poll: 100 * time.Millisecond, Hide: time.Second}

// newAPI is a client of a stand-in.
func newAPI(t testing.TB, server *vodtest.Server, rate float64) *vod.API {
	t.Helper()
	api, err := vod.NewAPI(vod.APIOptions{
		Endpoint: server.URL, SubAppID: vodOptions.SubAppID, Credentials: vod.StaticCredentials(vodOptions.SecretID, vodOptions.SecretKey, ""), Rate: rate,
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// pulling is a puller at work on a stand-in.
type pulling struct {
	*intake.Puller
	watch
	server *vodtest.Server
	queue  *recorder

	mu       sync.Mutex
	ends     map[intake.PullEnd]int
	failures map[vod.APIErrorKind]int
}

func newPulling(t *testing.T, o vodtest.Options, queue *recorder, unhandled intake.Unhandled) *pulling {
	p := &pulling{server: vodtest.Start(t, o), queue: queue, ends: map[intake.PullEnd]int{}, failures: map[vod.APIErrorKind]int{}}
	p.Puller = &intake.Puller{
		API: newAPI(t, p.server, 0), Queue: queue, Unhandled: unhandled, Count: p.count,
		Log: slog.New(slog.NewJSONHandler(&p.watch, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Ended: func(e intake.PullEnd, n int) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ends[e] += n
		},
		Failed: func(k vod.APIErrorKind) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failures[k]++
		},
	}
	return p
}

// until pulls until something is so.
func (p *pulling) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Run(ctx, 2) }()
	for begin := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Errorf("not in time: %s; %d unconfirmed", what, p.server.Unconfirmed())
			break
		}
	}
	stop()
	<-ended
}

func (p *pulling) ended(e intake.PullEnd) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends[e]
}

func own(file string) string { return strings.TrimSpace(event(file)) }

func procedure(file, more string) string {
	return fmt.Sprintf(`{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"TaskId":"p","FileId":%q,"MediaProcessResultSet":[%s{"Type":"SnapshotByTimeOffset",`+
		`"SnapshotByTimeOffsetTask":{"Status":"SUCCESS","ErrCode":0,"Input":{"Definition":10},"Output":{"Definition":0,"PicInfoSet":[{"TimeOffset":1,"Url":"http://h/x"}]}}}]}}`, file, more)
}

const (
	transcode = `{"Type":"Transcode","TranscodeTask":{"Status":"SUCCESS"}},`
	foreign   = `{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":"7"}}`
	odd       = `{"SomethingElse":1}`
	half      = `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"half","SnapshotInfoSet":[{"TimeOffset":1,"Url":"http://h/x"},{"TimeOffset":"soon"}]}}`
	onlyError = `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"9","SnapshotInfoSet":[{"ErrCode":-1,"TimeOffset":2}]}}`
)

// What is ours is confirmed when it is queued; what becomes of the rest is the operator's word.
func TestPullUnhandled(t *testing.T) {
	all := []string{own("1"), procedure("2", ""), procedure("3", transcode), foreign, odd, half, onlyError}
	handled := []string{own("1"), procedure("2", ""), procedure("3", transcode), onlyError}
	var mu sync.Mutex
	var forwarded []string
	receiver := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if forwarded = append(forwarded, string(text)); len(forwarded) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	for _, test := range []struct {
		name      string
		unhandled intake.Unhandled
		confirmed []string
		left      int
		told      string
	}{
		{"leave", intake.Unhandled{}, handled, 3, "events without snapshots are left in VOD's queue"},
		{"confirm", intake.Unhandled{Confirm: true}, all, 0, "events without snapshots are confirmed: nobody else gets them"},
		{"forward", intake.Unhandled{Forward: receiver}, all, 0, "the receiver of --pull-unhandled does not take an event"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPulling(t, vodOptions, &recorder{}, test.unhandled)
			p.server.Push(all...)
			p.until(t, "all is settled", func() bool {
				return p.server.Unconfirmed() == test.left && (test.left == 0 || p.ended(intake.PullLeft) > 2*test.left) // it has come back
			})
			got, want := p.server.Confirmed(), slices.Clone(test.confirmed)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("confirmed (-want +got):\n%s", diff)
			}
			added := p.queue.all()
			slices.Sort(added)
			if diff := cmp.Diff([]string{"1@1", "2@1", "3@1", "half@1"}, slices.Compact(added)); diff != "" {
				t.Errorf("queued (-want +got):\n%s", diff)
			}
			told := strings.Join(p.lines(t, slog.LevelWarn), "\n")
			if n := strings.Count(told, test.told); n == 0 || (test.name != "forward" && n > 1) {
				t.Errorf("%d times %q:\n%s", n, test.told, told)
			}
		})
	}
	for i, text := range forwarded {
		forwarded[i] = regexp.MustCompile(`"EventHandle":"\w+",`).ReplaceAllString(text, "")
	}
	want := []string{procedure("3", transcode), foreign, odd, half}
	slices.Sort(forwarded)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(forwarded)); diff != "" {
		t.Errorf("forwarded: the mixed one and those that are not ours (-want +got):\n%s", diff)
	}
}

// An event that the queue does not take is not confirmed; it comes back, and is taken then.
func TestPullQueueFails(t *testing.T) {
	p := newPulling(t, vodOptions, &recorder{fail: func(n int) error {
		if n < 2 {
			return errors.New("disk full")
		}
		return nil
	}}, intake.Unhandled{})
	p.server.Push(own("1"), own("2"), own("3"))
	p.until(t, "all confirmed", func() bool {
		if p.server.Unconfirmed() < 3 && len(p.queue.all()) == 0 {
			t.Error("an event is confirmed that is in no queue")
		}
		return p.server.Unconfirmed() == 0
	})
	if p.ended(intake.PullUnconfirmed) == 0 || p.counted()[intake.EventRefused] == 0 {
		t.Errorf("%v, %v: nothing is counted as unconfirmed", p.ends, p.counted())
	}
}

// A confirmation that comes too late is refused: the event comes again.
func TestPullConfirmsLate(t *testing.T) {
	p := newPulling(t, vodOptions, &recorder{}, intake.Unhandled{})
	p.server.Delay("ConfirmEvents", vodOptions.Hide+200*time.Millisecond)
	p.server.Push(own("1"))
	p.until(t, "confirmed", func() bool {
		if p.ended(intake.PullUnconfirmed) > 0 {
			p.server.Delay("ConfirmEvents", 0)
		}
		return p.server.Unconfirmed() == 0
	})
	if len(p.queue.all()) < 2 || p.ended(intake.PullConfirmed) != 1 {
		t.Errorf("queued %q, ends %v; want two deliveries and one confirmation", p.queue.all(), p.ends)
	}
}

// Whatever the API answers, pulling goes on: slowly, with a line that says what to do, and one when it is over.
func TestPullTroubles(t *testing.T) {
	for _, test := range []struct {
		code, hint string
		kind       vod.APIErrorKind
	}{
		{"RequestLimitExceeded", "", vod.Throttled},
		{"InternalError", "", vod.Unavailable},
		{"AuthFailure.SignatureExpire", "set this machine's clock", vod.Denied},
		{"AuthFailure.TokenFailure", "the temporary credentials have expired or are wrong: see that they are renewed", vod.Denied},
		{"UnauthorizedOperation", "the credentials need the CAM permission vod:PullEvents", vod.Denied},
		{"ResourceNotFound", "", vod.Refused}, // with another message than an empty queue's
	} {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			p := newPulling(t, vodOptions, &recorder{}, intake.Unhandled{})
			p.server.Fail("PullEvents", test.code, "a \"message\"\n\x1b[31m", 2)
			p.server.Push(own("1"))
			p.until(t, "confirmed", func() bool { return p.server.Unconfirmed() == 0 })
			if n := p.failures[test.kind]; n != 2 {
				t.Errorf("failures %v, want 2 of %s", p.failures, test.kind)
			}
			told := p.lines(t, slog.LevelWarn)
			if len(told) != 1 || !strings.Contains(told[0], test.code) || !strings.Contains(told[0], test.hint) || strings.ContainsAny(told[0], "\n\x1b") {
				t.Errorf("told %q, want one line with %q and %q", told, test.code, test.hint)
			}
			if over := p.lines(t, slog.LevelInfo); !slices.ContainsFunc(over, func(s string) bool { return strings.HasPrefix(s, "pulling VOD's events works again") }) {
				t.Errorf("nobody tells that it works again: %q", over)
			}
		})
	}
}

// An empty queue is no trouble, and a signal does not wait for the long poll to end.
func TestPullStops(t *testing.T) {
	o := vodOptions
	o.Poll = 0 // 5 s
	p := newPulling(t, o, &recorder{}, intake.Unhandled{})
	var begin time.Time
	p.until(t, "polled", func() bool { begin = time.Now(); return p.server.Calls("PullEvents") >= 2 })
	if took := time.Since(begin); took > 2*time.Second || len(p.failures) > 0 {
		t.Errorf("it took %v to stop; failures %v", took, p.failures)
	}
}

// What was pulled when the signal came is settled all the same.
func TestPullSettlesAtTheEnd(t *testing.T) {
	q := &recorder{entered: make(chan struct{}, 8), release: make(chan struct{})}
	p := newPulling(t, vodOptions, q, intake.Unhandled{})
	p.server.Push(own("1"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Run(ctx, 1) }()
	<-q.entered
	stop()
	close(q.release)
	<-ended
	if p.server.Unconfirmed() != 0 {
		t.Error("the event that was in hand is not confirmed")
	}
}
