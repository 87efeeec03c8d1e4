// Package demo is an image origin on loopback that behaves like VOD's, with a few troubles on purpose, and the events that
// announce its pictures.
package demo

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	perVideo = 12
	interval = 10 * time.Second
)

// videos are what the pictures are cut out of.
var videos = []struct {
	fileID     string
	definition int
	hue        float64
	ext        string
}{
	{"5285890780000000001", 10, 0.62, "jpg"},
	{"5285890780000000002", 10, 0.05, "jpg"},
	{"5285890780000000003", 20, 0.35, "png"},
}

// Trouble is something that goes wrong with one picture.
type Trouble struct {
	FileID     string
	TimeOffset int // ms
	Story      string
	// Passes says whether trying again helps.
	Passes bool
	serve  func(w http.ResponseWriter, picture []byte)
}

// Troubles are all that go wrong.
var Troubles = []Trouble{
	{"5285890780000000001", 30000, "is missing at the origin", false, func(w http.ResponseWriter, _ []byte) {
		http.Error(w, "<html>no such picture</html>", http.StatusNotFound)
	}},
	{"5285890780000000002", 20000, "answered 503 at first", true, func(w http.ResponseWriter, _ []byte) {
		http.Error(w, "<html>try again</html>", http.StatusServiceUnavailable)
	}},
	{"5285890780000000003", 10000, "was cut short at first", true, func(w http.ResponseWriter, picture []byte) {
		_, _ = w.Write(picture[:len(picture)/2])
		panic(http.ErrAbortHandler) // closes the connection in the middle
	}},
}

// Origin serves the pictures over HTTP.
type Origin struct {
	URL      string
	Pictures int
	server   *http.Server
	pictures map[string][]byte // by path
	troubles map[string]*Trouble
	mu       sync.Mutex
	asked    map[string]int
}

// Start draws the pictures and serves them on a free port of loopback.
func Start() (*Origin, error) {
	o := &Origin{pictures: map[string][]byte{}, troubles: map[string]*Trouble{}, asked: map[string]int{}}
	for v := range videos {
		for i := range perVideo {
			at := time.Duration(i) * interval
			picture, err := encode(draw(videos[v].hue, at, perVideo*interval), videos[v].ext)
			if err != nil {
				return nil, err
			}
			o.pictures[path(v, i)] = picture
			for t := range Troubles {
				if Troubles[t].FileID == videos[v].fileID && Troubles[t].TimeOffset == int(at.Milliseconds()) {
					o.troubles[path(v, i)] = &Troubles[t]
				}
			}
		}
	}
	o.Pictures = len(o.pictures)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the image origin: %w", err)
	}
	o.URL = "http://" + listener.Addr().String()
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := o.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // nothing but Close ends it
		}
	}()
	return o, nil
}

// Close stops serving.
func (o *Origin) Close() error { return o.server.Close() }

// path is like VOD's: the number is an index, not a time.
func path(video, index int) string {
	v := videos[video]
	return fmt.Sprintf("/%s/snapshotByTimeOffset/snapshotByTimeOffset_%d_%d.%s", v.fileID, v.definition, index, v.ext)
}

// ServeHTTP answers like VOD's origin: with the length, an MD5 as ETag, and the CRC64 of the object.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	picture, ok := o.pictures[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	o.mu.Lock()
	o.asked[r.URL.Path]++
	first := o.asked[r.URL.Path] == 1
	o.mu.Unlock()
	trouble := o.troubles[r.URL.Path]
	if trouble != nil && !trouble.Passes {
		trouble.serve(w, picture)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(picture)))
	w.Header().Set("X-Cos-Hash-Crc64ecma", strconv.FormatUint(crc64.Checksum(picture, crc64.MakeTable(crc64.ECMA)), 10))
	w.Header().Set("Content-Length", strconv.Itoa(len(picture)))
	if trouble != nil && first {
		trouble.serve(w, picture)
		return
	}
	_, _ = w.Write(picture)
}

// Events are VOD's events for all the pictures, one a line.
func (o *Origin) Events() ([]byte, error) {
	type item struct {
		ErrCode, TimeOffset int
		URL                 string `json:"Url"`
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	for v, video := range videos {
		var items []item
		for i := range perVideo {
			items = append(items, item{0, int((time.Duration(i) * interval).Milliseconds()), o.URL + path(v, i)})
		}
		if err := lines.Encode(map[string]any{
			"EventType": "CreateSnapshotByTimeOffsetComplete",
			"SnapshotByTimeOffsetCompleteEvent": map[string]any{
				"TaskId": fmt.Sprintf("CreateSnapshotByTimeOffset-demo%d", v+1), "FileId": video.fileID, "Definition": video.definition,
				"SnapshotInfoSet": items,
			},
		}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
