package vod_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func newAPI(t testing.TB, endpoint string, subApp uint64) *vod.API {
	t.Helper()
	api, err := vod.NewAPI(vod.APIOptions{Endpoint: endpoint, SubAppID: subApp, Credentials: vod.StaticCredentials("id", "secretkey", "token"), Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// Against a stand-in that is strict: pull, confirm, state, search and describe.
func TestAPI(t *testing.T) {
	const subApp = 1<<63 + 12345 // beyond what a float holds
	server := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "secretkey", Token: "token", SubAppID: subApp, Poll: 10 * time.Millisecond})
	api := newAPI(t, server.URL, subApp)
	if events, err := api.PullEvents(t.Context()); len(events) != 0 || err != nil {
		t.Errorf("an empty queue gives %d events, %v", len(events), err)
	}
	const event = `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"5285890780000000001","SnapshotInfoSet":[{"TimeOffset":1000.5,"Url":"http://h/1"}]}}`
	server.Push(event, `{"EventType":"X","N":9007199254740993}`)
	if n, err := api.EventsState(t.Context()); n != 2 || err != nil {
		t.Errorf("%d events wait (%v), want 2", n, err)
	}
	events, err := api.PullEvents(t.Context())
	if err != nil || len(events) != 2 || !strings.Contains(string(events[1].Text), "9007199254740993") {
		t.Fatalf("%+v, %v", events, err)
	}
	if e, err := vod.Decode(events[0].Text); err != nil || len(e.Snapshots) != 1 || e.Snapshots[0].TimeOffset != 1000.5 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := api.ConfirmEvents(t.Context(), []string{events[0].Handle}); err != nil || server.Unconfirmed() != 1 {
		t.Errorf("%v, %d unconfirmed", err, server.Unconfirmed())
	}

	at := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	server.SetMedia(vodtest.Media{FileID: "1", CreateTime: at}, vodtest.Media{FileID: "2", CreateTime: at.Add(time.Second)}, vodtest.Media{FileID: "3", CreateTime: at.Add(2 * time.Second)})
	page, total, err := api.SearchMedia(t.Context(), vod.Search{After: at, Before: at.Add(time.Second), Descending: true, Limit: 1})
	if err != nil || total != 2 || len(page) != 1 || page[0].FileID != "2" || !page[0].CreateTime.Equal(at.Add(time.Second)) {
		t.Errorf("%+v of %d, %v", page, total, err)
	}
	found, missing, err := api.DescribeMedia(t.Context(), []string{"1", "9"})
	if err != nil || len(found) != 1 || found[0].FileID != "1" || !cmp.Equal(missing, []string{"9"}) {
		t.Errorf("%+v, missing %q, %v", found, missing, err)
	}
	for _, texts := range []string{"PullEvents", "ConfirmEvents", "SearchMedia", "DescribeMediaInfos", "DescribeEventsState"} {
		if server.Calls(texts) == 0 {
			t.Errorf("%s was not called", texts)
		}
	}
}

// Answers that are not VOD's cost an error, and no more than their bound.
func TestAPIStrangeAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter)
		kind   vod.APIErrorKind
		want   string
	}{
		{"a page", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>\x1b[31m") }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's"},
		{"a number", func(w http.ResponseWriter) { fmt.Fprint(w, "5") }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's"},
		{"no Response", func(w http.ResponseWriter) { fmt.Fprint(w, "{}") }, vod.Misunderstood, `calling PullEvents: the answer is not VOD's: "no Response in it"`},
		{"events that are none", func(w http.ResponseWriter) { fmt.Fprint(w, `{"Response":{"EventSet":{}}}`) }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's: "},
		{"no handle", func(w http.ResponseWriter) { fmt.Fprint(w, `{"Response":{"EventSet":[{"EventType":"X"}]}}`) }, vod.Misunderstood, "calling PullEvents: an event without an EventHandle"},
		{"404", func(w http.ResponseWriter) { http.Error(w, "<html>", http.StatusNotFound) }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's: 404 Not Found"},
		{"502", func(w http.ResponseWriter) { http.Error(w, "<html>", http.StatusBadGateway) }, vod.Unavailable, "calling PullEvents: the answer is not VOD's: 502 Bad Gateway"},
		{"packed", func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "deflate"); fmt.Fprint(w, "x") }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's: 200 OK"},
		{"events for ever", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: x\n\n")
		}, vod.Misunderstood, "calling PullEvents: the answer is not VOD's"},
		{"too large", func(w http.ResponseWriter) { _, _ = io.CopyN(w, zeros{}, 65<<20) }, vod.Misunderstood, "calling PullEvents: the answer is not VOD's"},
		{"cut", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
			panic(http.ErrAbortHandler)
		}, vod.Unavailable, "calling PullEvents: "},
		{"an error with a message for the terminal", func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"Response":{"Error":{"Code":"InternalError\u001b","Message":"x\u001b[31m\n"},"RequestId":"r\n"}}`)
		}, vod.Unavailable, `calling PullEvents: InternalError\x1b: x\x1b[31m\n (request r\n)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			_, err := newAPI(t, url, 1).PullEvents(t.Context())
			var e *vod.APIError
			if !errors.As(err, &e) || e.Kind != test.kind || !strings.HasPrefix(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\x1b\n<") {
				t.Errorf("%q, want %s and %q", fmt.Sprint(err), test.kind, test.want)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A call that is given up ends at once, with the context's error.
func TestAPIContext(t *testing.T) {
	asked := make(chan struct{})
	url := storetest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() }))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := newAPI(t, url, 1).PullEvents(ctx); err != context.Canceled {
		t.Errorf("%v, want the context's error", err)
	}
}

func TestAPIEndpoint(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"": true, "vod.intl.tencentcloudapi.com": true, "https://vod.tencentcloudapi.com/": true, "http://127.0.0.1:8": true,
		"ftp://h": false, "https://h/path": false, "https://user@h": false, "https://": false, "a b": false,
	} {
		if _, err := vod.NewAPI(vod.APIOptions{Endpoint: endpoint, Credentials: vod.StaticCredentials("a", "b", "")}); (err == nil) != ok {
			t.Errorf("%q: %v, want allowed %t", endpoint, err, ok)
		}
	}
}
