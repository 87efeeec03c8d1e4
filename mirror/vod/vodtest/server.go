// Package vodtest is a strict stand-in for Tencent Cloud VOD's API, for tests: the five actions that a mirror needs, with signatures,
// permissions, limits and the queue of the reliable callback. Where the documentation leaves something open, the stand-in takes the
// side that is harder for a client.
//
//	PullEvents, ConfirmEvents, DescribeEventsState  the reliable callback: [Server.Push], [Server.Confirmed]
//	SearchMedia, DescribeMediaInfos                 what exists: [Server.SetMedia]
//
// Sources: Tencent Cloud VOD documentation, product 266, pages 33433, 33434 and 31813; "Signature v3" and "Error Codes" of Tencent
// Cloud API 3.0; Tencent's Go SDK, vod/v20180717; users' data for the answer to an empty queue and for CAM's message.
package vodtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

const (
	service = "vod"
	version = "2018-07-17"

	// maxBody is the largest request that is read, in bytes. Tencent's own limit is 10 MB.
	maxBody = 1 << 20

	// chinese is every error's message for a client that does not ask for English, as Tencent answers it.
	chinese = "请求失败"
)

// Options are how the stand-in behaves. The zero value of a duration or number means the default.
type Options struct {
	SecretID, SecretKey string        // the only credential that is accepted
	Token               string        // where set, must come with it; where not, none may
	SubAppID            uint64        // must be sent with every call; 0: none may be sent
	Hide                time.Duration // how long a pulled event stays with its puller, and its handle can be confirmed; 30 s
	Poll                time.Duration // the longest that PullEvents waits for an event; 5 s
	Rate                int           // calls a second for each action before RequestLimitExceeded; 0 is no limit
	Skew                time.Duration // how far X-TC-Timestamp may be off; 5 min
}

// Server is the stand-in: an http.Handler that is safe for concurrent use, as are its methods.
type Server struct {
	// URL is http://host:port where [Start] serves it.
	URL string

	options  Options
	events   queue
	media    shelf
	requests atomic.Int64

	mu        sync.Mutex
	actions   map[string]*action
	throttled int
}

// action is what the server does about one action of the API. The server's mutex guards all but do.
type action struct {
	do        func(context.Context, map[string]json.RawMessage) (answer, *fault)
	calls     int
	window    window
	forbidden bool
	failures  []failure
	delay     time.Duration
}

// answer is the content of Response, but for the RequestId.
type answer map[string]any

type failure struct {
	fault fault
	times int
}

// New gives a stand-in that serves nothing yet.
func New(o Options) *Server {
	if o.Hide == 0 {
		o.Hide = 30 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	if o.Skew == 0 {
		o.Skew = 5 * time.Minute
	}
	s := &Server{options: o, events: newQueue(o.Hide)}
	s.actions = map[string]*action{
		"PullEvents":          {do: s.pullEvents},
		"ConfirmEvents":       {do: s.confirmEvents},
		"DescribeEventsState": {do: s.describeEventsState},
		"SearchMedia":         {do: s.searchMedia},
		"DescribeMediaInfos":  {do: s.describeMediaInfos},
	}
	return s
}

// Start serves a stand-in on a free port of loopback until the test ends.
func Start(t testing.TB, o Options) *Server {
	s := New(o)
	s.URL = storetest.Serve(t, s)
	return s
}

// ServeHTTP answers a call of the API. The status is 200 for errors too, as it is with Tencent.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012x", s.requests.Add(1))
	response, f := s.serve(w, r)
	if f != nil {
		message := f.Message
		if r.Header.Get("X-TC-Language") != "en-US" {
			message = chinese
		}
		response = answer{"Error": fault{f.Code, message}}
	}
	response["RequestId"] = id
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]answer{"Response": response}) // a client that has left is no concern of ours
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) (answer, *fault) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, faultf("RequestSizeLimitExceeded", "The request size exceeds the upper limit.")
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method != http.MethodPost || mediaType != "application/json" {
		return nil, faultf("UnsupportedProtocol", "HTTP(S) request protocol error; only POST requests of application/json are supported.")
	}
	if f := s.authenticate(r, body); f != nil {
		return nil, f
	}
	if r.Header.Get("X-TC-Version") != version {
		return nil, faultf("NoSuchVersion", "The version is not available.")
	}
	name := r.Header.Get("X-TC-Action")
	a, ok := s.actions[name]
	if !ok {
		return nil, faultf("InvalidAction", "The request action=`%s` is invalid or not support in the version.", name)
	}
	delay, f := s.admit(name, a)
	work := func() (answer, *fault) {
		if f != nil {
			return nil, f
		}
		params, f := s.parameters(body)
		if f != nil {
			return nil, f
		}
		return a.do(r.Context(), params)
	}
	if name == "ConfirmEvents" {
		time.Sleep(delay) // whether the client is still there or not: it can't take a confirmation back
		return work()
	}
	// The events of a pull age on their way, and are gone for a while when the client leaves before they arrive.
	response, f := work()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
	}
	return response, f
}

// admit counts a call, and says how late its answer comes and whether it fails whatever it asks for.
func (s *Server) admit(name string, a *action) (time.Duration, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.calls++
	if !a.window.admit(time.Now(), s.options.Rate) {
		s.throttled++
		return a.delay, faultf("RequestLimitExceeded", "Your current request times exceeds the frequency limit `%d` for a second.", s.options.Rate)
	}
	if a.forbidden {
		return a.delay, faultf("UnauthorizedOperation",
			"you are not authorized to perform operation (%s:%s)\nresource (qcs::%s:::*) has no permission\n", service, name, service)
	}
	if len(a.failures) == 0 {
		return a.delay, nil
	}
	first := &a.failures[0]
	f := first.fault
	if first.times--; first.times <= 0 {
		a.failures = a.failures[1:]
	}
	return a.delay, &f
}

// window holds when the calls of the last second were admitted, the oldest first.
type window []time.Time

func (w *window) admit(now time.Time, rate int) bool {
	if rate <= 0 {
		return true
	}
	for len(*w) > 0 && now.Sub((*w)[0]) >= time.Second {
		*w = (*w)[1:]
	}
	if len(*w) >= rate {
		return false
	}
	*w = append(*w, now)
	return true
}

// change changes what the server does about an action. A name that it does not know is a mistake of the test: it panics.
func (s *Server) change(name string, do func(*action)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.actions[name]
	if !ok {
		panic(fmt.Sprintf("vodtest: there is no action %q", name))
	}
	do(a)
}

// Forbid takes the permission (CAM) for actions away: UnauthorizedOperation.
func (s *Server) Forbid(actions ...string) {
	for _, name := range actions {
		s.change(name, func(a *action) { a.forbidden = true })
	}
}

// Fail makes so many of the next calls of an action fail with this error, after those of earlier calls of Fail.
func (s *Server) Fail(name, code, message string, times int) {
	if times <= 0 {
		return
	}
	s.change(name, func(a *action) { a.failures = append(a.failures, failure{fault{code, message}, times}) })
}

// Delay makes the answers of an action come this late. A delayed PullEvents takes its events at once; a delayed ConfirmEvents confirms when
// its answer is due, also where the client has left by then.
func (s *Server) Delay(name string, d time.Duration) {
	s.change(name, func(a *action) { a.delay = d })
}

// Calls counts the calls of an action that were authenticated, also those that failed later.
func (s *Server) Calls(name string) (n int) {
	s.change(name, func(a *action) { n = a.calls })
	return n
}

// Throttled counts the calls of all actions that got RequestLimitExceeded from the rate.
func (s *Server) Throttled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.throttled
}
