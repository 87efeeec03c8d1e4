// Package vod knows what Tencent Cloud VOD sends: it cuts streams into events ([Scanner]) and takes the snapshots out of them
// ([Decode]).
//
// Where snapshots come from, so far:
//
//	EventType                           path to the pictures
//	CreateSnapshotByTimeOffsetComplete  SnapshotByTimeOffsetCompleteEvent{TaskId, FileId, Definition, SnapshotInfoSet[]{ErrCode, TimeOffset, Url}}
//
// as the bare event (an HTTP callback's body), in {"EventSet":[...]} (as SDKs print a PullEvents answer) and in
// {"Response":{"EventSet":[...]}} (as it comes over the wire). Source: Tencent Cloud VOD documentation, product 266, pages 8105,
// 33948 and 33433. Fields and event types grow every few weeks: unknown ones are never errors.
package vod

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Event is what one event says about snapshots.
type Event struct {
	// Type is VOD's EventType.
	Type string
	// Carries says whether the type is one that announces snapshots. Others are not ours, and no error.
	Carries bool
	// Snapshots are those that VOD reports as made. They are not validated: one without a URL, say, is still named here, so
	// that it can be reported as failed.
	Snapshots []mirror.Snapshot
	// Failed are those that VOD itself reports as failed.
	Failed []Failure
	// Malformed says which items of the event can't even be named, and why.
	Malformed []error
}

// Failure is a snapshot that VOD announced as failed.
type Failure struct {
	FileID, TimeOffset string
	Code               int64 // negative, -44xxx or -47xxx as documented
}

const snapshotComplete = "CreateSnapshotByTimeOffsetComplete"

type wireEvent struct {
	EventType                         text
	SnapshotByTimeOffsetCompleteEvent *struct {
		TaskID          text `json:"TaskId"`
		FileID          text `json:"FileId"`
		Definition      text
		SnapshotInfoSet []struct {
			ErrCode    text
			TimeOffset text
			URL        text `json:"Url"`
		}
	}
}

// text takes a JSON string, number or literal as it is written, and null as nothing: VOD's types are irregular, and an item of
// the wrong type must not cost its siblings.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		*t = ""
	case b[0] == '"' && bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b):
		*t = text(b[1 : len(b)-1]) // nearly always: nothing is escaped
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	default:
		*t = text(b)
	}
	return nil
}

// integer reads a whole number, also in the form 10.0; nothing is 0.
func (t text) integer(what string) (int64, error) {
	if t == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(string(t), 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(t), 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -1<<53 {
		return 0, fmt.Errorf("%s %.40q is not a whole number", what, string(t))
	}
	return int64(f), nil
}

// Decode reads one event without its envelope. The error says why the text is no event of VOD's at all.
func Decode(data []byte) (Event, error) {
	var wire wireEvent
	if err := json.Unmarshal(data, &wire); err != nil {
		return Event{}, jsonError(err)
	}
	e := Event{Type: string(wire.EventType)}
	switch {
	case e.Type == "":
		return Event{}, errors.New("no EventType: this is not an event of VOD's")
	case e.Type != snapshotComplete:
		return e, nil
	}
	body := wire.SnapshotByTimeOffsetCompleteEvent
	if body == nil {
		return Event{}, fmt.Errorf("an event %s without SnapshotByTimeOffsetCompleteEvent", snapshotComplete)
	}
	definition, err := body.Definition.integer("Definition")
	if err != nil {
		return Event{}, err
	}
	e.Carries = true
	for i, item := range body.SnapshotInfoSet {
		code, err := item.ErrCode.integer("ErrCode")
		if err != nil {
			e.Malformed = append(e.Malformed, fmt.Errorf("item %d: %w", i, err))
			continue
		}
		if code != 0 {
			e.Failed = append(e.Failed, Failure{FileID: string(body.FileID), TimeOffset: string(item.TimeOffset), Code: code})
			continue
		}
		offset, err := mirror.ParseTimeOffset(string(item.TimeOffset))
		if err != nil {
			e.Malformed = append(e.Malformed, fmt.Errorf("item %d: %w", i, err))
			continue
		}
		e.Snapshots = append(e.Snapshots, mirror.Snapshot{
			FileID: string(body.FileID), TaskID: string(body.TaskID), Definition: definition, TimeOffset: offset, URL: string(item.URL),
		})
	}
	return e, nil
}

// jsonError says it in the words of an operator, not of the Go types.
func jsonError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("the field %s is a JSON %s", wrong.Field, wrong.Value)
	}
	return err
}

// Encode writes snapshots as an event that Decode reads: one, or several of the same task, video and definition as the first.
func Encode(first mirror.Snapshot, more ...mirror.Snapshot) ([]byte, error) {
	return json.Marshal(encoded(first, more...))
}

// EncodeLetter writes a dead letter as an event that Decode reads, with a member Failure that says what is known of its failure.
func EncodeLetter(l mirror.Letter) ([]byte, error) {
	type failure struct {
		Reason      mirror.Reason
		Error       string
		First, Last time.Time
		Attempts    int
	}
	return json.Marshal(struct {
		encodedEvent
		Failure failure
	}{encoded(l.Snapshot), failure{l.Reason, l.Error, l.First, l.Last, l.Attempts}})
}

type encodedEvent struct {
	EventType                         string
	SnapshotByTimeOffsetCompleteEvent encodedComplete
}

type encodedComplete struct {
	TaskId, FileId  string
	Definition      int64
	SnapshotInfoSet []encodedItem
}

type encodedItem struct {
	ErrCode    int
	TimeOffset mirror.TimeOffset
	Url        string
}

func encoded(first mirror.Snapshot, more ...mirror.Snapshot) encodedEvent {
	items := make([]encodedItem, 0, 1+len(more))
	for _, s := range append([]mirror.Snapshot{first}, more...) {
		items = append(items, encodedItem{0, s.TimeOffset, s.URL})
	}
	return encodedEvent{snapshotComplete, encodedComplete{first.TaskID, first.FileID, first.Definition, items}}
}
