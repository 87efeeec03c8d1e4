package vodtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func numbered(n int) []string {
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"EventType":"A","N":%d}`, i))
	}
	return events
}

func TestPull(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Poll: 50 * time.Millisecond})
	events := numbered(18)
	s.Push(events...)
	if got := call(t, s, "DescribeEventsState", "{}").CountOfEventsToPull; got != 18 {
		t.Errorf("%d events to pull, want 18", got)
	}
	first, second := call(t, s, "PullEvents", "{}"), call(t, s, "PullEvents", "{}")
	if len(first.EventSet) != 16 || len(second.EventSet) != 2 {
		t.Fatalf("got %d and %d events, want 16 and 2", len(first.EventSet), len(second.EventSet))
	}
	handles := append(first.handles(), second.handles()...)
	if got := len(slices.Compact(slices.Sorted(slices.Values(handles)))); got != 18 {
		t.Errorf("got %d different handles, want 18", got)
	}
	if diff := cmp.Diff(map[string]any{"EventType": "A", "N": 17.0, "EventHandle": handles[17]}, second.EventSet[1]); diff != "" {
		t.Errorf("the event (-want +got):\n%s", diff)
	}
	if got := try(t, s, "PullEvents", "{}").Error; got != (fault{"ResourceNotFound", "no event"}) {
		t.Errorf("an empty queue: got %+v", got)
	}
	call(t, s, "ConfirmEvents", confirmation(handles[16], handles[3]))
	if diff := cmp.Diff([]string{events[16], events[3]}, s.Confirmed()); diff != "" {
		t.Errorf("confirmed (-want +got):\n%s", diff)
	}
	if got := s.Unconfirmed(); got != 16 {
		t.Errorf("%d unconfirmed, want 16", got)
	}
}

func TestConfirm(t *testing.T) {
	s := Start(t, credential)
	s.Push(numbered(16)...)
	handles := call(t, s, "PullEvents", "{}").handles()
	for _, refusal := range []struct {
		code    string
		handles []string
	}{
		{"InvalidParameterValue", nil},
		{"InvalidParameterValue", append(slices.Clone(handles), handles[0])},
		{"InvalidParameterValue.EventHandles", []string{handles[0], "unknown"}},
	} {
		refused(t, s, "ConfirmEvents", confirmation(refusal.handles...), refusal.code)
	}
	if got := s.Confirmed(); len(got) != 0 {
		t.Errorf("refused calls confirmed %v", got)
	}
	call(t, s, "ConfirmEvents", confirmation(handles[:2]...))
	call(t, s, "ConfirmEvents", confirmation(handles...)) // two of them for the second time
	if got := s.Confirmed(); !slices.Equal(got, numbered(16)) || s.Unconfirmed() != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRedelivery(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Hide: 300 * time.Millisecond})
	s.Push(numbered(2)...)
	begin := time.Now()
	first := call(t, s, "PullEvents", "{}").handles()
	call(t, s, "ConfirmEvents", confirmation(first[0]))
	second := call(t, s, "PullEvents", "{}") // waits
	if hidden := time.Since(begin); hidden < 300*time.Millisecond || hidden > 4*time.Second {
		t.Errorf("the event came back after %s", hidden)
	}
	if len(second.EventSet) != 1 || second.EventSet[0]["N"] != 1.0 || second.handles()[0] == first[1] {
		t.Fatalf("got %v, want the unconfirmed event with a new handle", second.EventSet)
	}
	// A stale handle spoils the call, also one of an event that was confirmed.
	for _, stale := range first {
		refused(t, s, "ConfirmEvents", confirmation(second.handles()[0], stale), "InvalidParameterValue.EventHandles")
	}
	if got := s.Unconfirmed(); got != 1 {
		t.Errorf("%d unconfirmed, want 1", got)
	}
	third := call(t, s, "PullEvents", "{}")
	call(t, s, "ConfirmEvents", confirmation(third.handles()...))
	if diff := cmp.Diff(numbered(2), s.Confirmed()); diff != "" {
		t.Errorf("confirmed (-want +got):\n%s", diff)
	}
}

func TestPullWaitsForPush(t *testing.T) {
	s := New(Options{SecretID: "AKIDtest", SecretKey: "secret", Poll: time.Minute})
	entered := make(chan struct{}, 1)
	s.URL = storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		s.ServeHTTP(w, r)
	}))
	go func() {
		<-entered
		s.Push(numbered(1)...)
	}()
	got, err := send(request(t, s, "PullEvents", "{}").WithContext(deadline(t)))
	if err != nil || len(got.EventSet) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Whoever goes away while it polls takes no event with it.
func TestPullerGoesAway(t *testing.T) {
	s := New(credential)
	entered, left := make(chan struct{}, 2), make(chan struct{}, 2)
	s.URL = storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		s.ServeHTTP(w, r)
		left <- struct{}{}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if got, err := send(request(t, s, "PullEvents", "{}").WithContext(ctx)); err == nil {
		t.Fatalf("got %+v, want a cancelled call", got)
	}
	begin := time.Now()
	<-left
	if waited := time.Since(begin); waited > 4*time.Second {
		t.Errorf("the server waited %s for the client that was gone", waited)
	}
	s.Push(numbered(1)...)
	if got := call(t, s, "PullEvents", "{}"); len(got.EventSet) != 1 {
		t.Errorf("got %v, want the event", got.EventSet)
	}
}

// Nor does one that is gone by the time its turn comes.
func TestPullerIsGone(t *testing.T) {
	s := New(credential)
	s.Push(numbered(1)...)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.events.poll(gone, time.Now().Add(time.Minute)); len(got) != 0 {
		t.Errorf("it got %d events", len(got))
	}
	if got := s.events.poll(t.Context(), time.Now()); len(got) != 1 {
		t.Errorf("the next got %d events, want 1", len(got))
	}
}

// A confirmation counts when its answer is due: here the handles are stale by then.
func TestDelayedConfirmation(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Hide: 300 * time.Millisecond})
	s.Push(numbered(1)...)
	handles := call(t, s, "PullEvents", "{}").handles()
	s.Delay("ConfirmEvents", 400*time.Millisecond)
	refused(t, s, "ConfirmEvents", confirmation(handles...), "InvalidParameterValue.EventHandles")
	if got := s.Unconfirmed(); got != 1 {
		t.Errorf("%d unconfirmed, want 1", got)
	}
}

// Many pull and confirm at once: each event is confirmed once.
func TestConcurrentPullers(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Poll: 20 * time.Millisecond})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { s.Push(numbered(100)...) })
		group.Go(func() {
			for s.Unconfirmed() > 0 || len(s.Confirmed()) < 800 {
				pulled, err := send(request(t, s, "PullEvents", "{}"))
				if err != nil {
					t.Errorf("puller %d: %v", i, err)
					return
				}
				if pulled.Error.Code == "ResourceNotFound" {
					continue
				}
				if got, err := send(request(t, s, "ConfirmEvents", confirmation(pulled.handles()...))); err != nil || got.Error != (fault{}) {
					t.Errorf("puller %d: %+v, %v", i, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := len(s.Confirmed()); got != 800 {
		t.Errorf("%d confirmed, want 800", got)
	}
}
