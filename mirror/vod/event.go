// Package vod knows what Tencent Cloud VOD sends: it cuts streams into events ([Scanner]) and takes the snapshots out of them
// ([Decode]).
//
// Where snapshots come from:
//
//	what                                path to the pictures
//	CreateSnapshotByTimeOffsetComplete  SnapshotByTimeOffsetCompleteEvent{TaskId, FileId, Definition, SnapshotInfoSet[]{ErrCode, TimeOffset, Url}}
//	ProcedureStateChanged               ProcedureStateChangeEvent{TaskId, FileId, MediaProcessResultSet[]{SnapshotByTimeOffsetTask{Status, ErrCode,
//	                                    Input{Definition}, Output{Definition, PicInfoSet[]{TimeOffset, Url}}}}}
//	the former in the legacy format v2  {eventType, data{vodTaskId, fileId, definition, picInfo[]{status, timeOffset, url}}}
//	a media of DescribeMediaInfos and   {FileId, SnapshotByTimeOffsetInfo{SnapshotByTimeOffsetSet[]{Definition, PicInfoSet[]{TimeOffset, Url}}}}, without
//	SearchMedia                         a task
//
// Events come bare (an HTTP callback's body), in {"EventSet":[...]} (as SDKs print a PullEvents answer), in
// {"Response":{"EventSet":[...]}} (as it comes over the wire), and v2's in {"eventList":[{"eventContent":...}]}, also one level
// deeper under "data"; media in {"MediaInfoSet":[...]}, also under "Response".
//
// Sources: Tencent Cloud VOD documentation, product 266, pages 8105, 33948, 33433 and 33434; Tencent's Go SDK, vod/v20180717;
// users' data. Fields and event types grow every few weeks: unknown ones are never errors.
package vod

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Event is what one event says about snapshots.
type Event struct {
	// Type is VOD's EventType.
	Type string
	// Carries says whether the type is one that announces snapshots. Others are not ours, and no error.
	Carries bool
	// Mixed says whether it also tells of other sub-tasks than snapshots.
	Mixed bool
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

// The event types that carry snapshots.
const (
	snapshotComplete = "CreateSnapshotByTimeOffsetComplete"
	procedureChanged = "ProcedureStateChanged"
)

// TypeMedia is the Type of a media, which is no event of VOD's.
const TypeMedia = "MediaInfo"

// wireEvent has what tells the shapes apart. Only the own event's body is read at once: whatever other members hold, they must
// not cost an event that has nothing to do with them.
type wireEvent struct {
	EventType                         text // v2's eventType as well: names are compared without case
	SnapshotByTimeOffsetCompleteEvent *wireComplete
	ProcedureStateChangeEvent         json.RawMessage
	Data                              json.RawMessage `json:"data"`         // of v2
	EventContent                      json.RawMessage `json:"eventContent"` // of v2, pulled
	SnapshotByTimeOffsetInfo          json.RawMessage // of a media
	BasicInfo                         json.RawMessage // of a media
}

// Decode reads one event, or one media, without its envelope. The error says why the text is none of VOD's at all.
func Decode(data []byte) (Event, error) {
	var wire wireEvent
	if err := json.Unmarshal(data, &wire); err != nil {
		return Event{}, jsonError(err)
	}
	switch {
	case wire.EventType == "" && wire.EventContent != nil:
		return decodePulledV2(wire.EventContent)
	case wire.EventType == "" && (wire.SnapshotByTimeOffsetInfo != nil || wire.BasicInfo != nil):
		return decodeMedia(data)
	case wire.EventType == "" && wire.Data != nil:
		return decodeListV2(wire.Data)
	}
	return wire.decode()
}

// decode reads an event that is no other's content.
func (wire *wireEvent) decode() (Event, error) {
	e := Event{Type: string(wire.EventType)}
	var err error
	switch {
	case e.Type == "":
		return Event{}, errors.New("no EventType: this is not an event of VOD's")
	case e.Type == snapshotComplete && wire.SnapshotByTimeOffsetCompleteEvent != nil:
		err = e.complete(wire.SnapshotByTimeOffsetCompleteEvent)
	case e.Type == snapshotComplete && !null(wire.Data):
		err = e.completeV2(wire.Data)
	case e.Type == snapshotComplete:
		err = fmt.Errorf("an event %s without SnapshotByTimeOffsetCompleteEvent", snapshotComplete)
	case e.Type == procedureChanged:
		err = e.procedure(wire.ProcedureStateChangeEvent)
	}
	if err != nil {
		return Event{}, err
	}
	return e, nil
}

// add takes one picture of a task. One without a URL, or with a negative offset, is still named.
func (e *Event) add(of mirror.Snapshot, offset, url text) (err error) {
	if of.TimeOffset, err = mirror.ParseTimeOffset(string(offset)); err != nil {
		return err
	}
	of.URL = string(url)
	e.Snapshots = append(e.Snapshots, of)
	return nil
}

// malformed notes an item that can't be named; its siblings may be whole.
func (e *Event) malformed(err error, where string, i int) {
	e.Malformed = append(e.Malformed, fmt.Errorf("%s %d: %w", where, i, err))
}
