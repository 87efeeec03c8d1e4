package demo

import (
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Stream is an origin whose videos are taken again and again, with events without end. Its keys are bounded, so that what the demo
// stores is too.
type Stream struct {
	URL    string
	server *http.Server
	begun  time.Time

	mu     sync.Mutex
	mended time.Time // when what comes late is there
	events int
	asked  map[string]int
}

const (
	streamVideos   = 24
	streamPictures = 8
	streamInterval = 15 * time.Second
	// gravely is in which of the rounds through all videos some pictures fail for good.
	gravely = 5
)

// StartStream serves pictures on a free port of loopback. Those that come late are missing for a while.
func StartStream(lateness time.Duration) (*Stream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the image origin: %w", err)
	}
	s := &Stream{URL: "http://" + listener.Addr().String(), begun: time.Now(), mended: time.Now().Add(lateness), asked: map[string]int{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // nothing but Close ends it
		}
	}()
	return s, nil
}

// Close stops serving.
func (s *Stream) Close() error { return s.server.Close() }

// Mend says that what comes late is there now.
func (s *Stream) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mended = time.Now()
}

// Next gives the next event of VOD: a video's pictures, taken anew.
func (s *Stream) Next() ([]byte, error) {
	s.mu.Lock()
	n := s.events
	s.events++
	s.mu.Unlock()
	round, video := n/streamVideos, n*7%streamVideos // neighbours look different
	type item struct {
		ErrCode, TimeOffset int
		URL                 string `json:"Url"`
	}
	var items []item
	for i := range streamPictures {
		trouble := streamTrouble(video, i)
		if trouble == "" || round%gravely != 0 && !passing[trouble] {
			trouble = "whole"
		}
		items = append(items, item{0, int((time.Duration(i) * streamInterval).Milliseconds()), fmt.Sprintf("%s/%s/%d/%d/snapshotByTimeOffset/snapshotByTimeOffset_10_%d.jpg", s.URL, trouble, round, video, i)})
	}
	return json.Marshal(map[string]any{
		"EventType": "CreateSnapshotByTimeOffsetComplete",
		"SnapshotByTimeOffsetCompleteEvent": map[string]any{
			"TaskId": fmt.Sprintf("CreateSnapshotByTimeOffset-demo-%d-%d", s.begun.Unix(), n), "FileId": strconv.Itoa(5285890780000001001 + video), "Definition": 10,
			"SnapshotInfoSet": items,
		},
	})
}

// passing are the troubles that another try gets over.
var passing = map[string]bool{"busy": true, "cut": true}

// streamTrouble says what goes wrong with a picture, or "".
func streamTrouble(video, picture int) string {
	return map[[2]int]string{
		{7, 3}: "late", {14, 2}: "denied", {4, 5}: "page", {11, 6}: "late", {1, 1}: "busy", {8, 4}: "cut", {18, 0}: "denied",
	}[[2]int{video, picture}]
}

// ServeHTTP draws the picture that is asked for, unless it makes trouble.
func (s *Stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var round, video, picture int
	trouble, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if _, err := fmt.Sscanf(rest, "%d/%d/snapshotByTimeOffset/snapshotByTimeOffset_10_%d.jpg", &round, &video, &picture); err != nil {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.asked[trouble]++
	odd, missing := s.asked[trouble]%2 == 1, time.Now().Before(s.mended)
	s.mu.Unlock()
	switch {
	case trouble == "late" && missing:
		http.NotFound(w, r)
		return
	case trouble == "denied":
		http.Error(w, "not from here", http.StatusForbidden)
		return
	case trouble == "page":
		fmt.Fprint(w, "<!doctype html><title>Sorry</title><p>This picture is being moved.")
		return
	case trouble == "busy" && odd:
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	hue := 0.83 + 0.68*float64(video)/streamVideos + 0.01*float64(round%7)
	body, err := encode(draw(hue, time.Duration(picture)*streamInterval, streamPictures*streamInterval), "jpg")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if trouble == "cut" && odd {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body)
}
