package vod

import (
	"encoding/json"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

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
