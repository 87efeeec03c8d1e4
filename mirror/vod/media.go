package vod

import (
	"encoding/json"
	"errors"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// decodeMedia reads an element of a MediaInfoSet. Most media have no snapshots, and that is no error.
func decodeMedia(data []byte) (Event, error) {
	var media struct {
		FileID                   text `json:"FileId"`
		SnapshotByTimeOffsetInfo *struct {
			SnapshotByTimeOffsetSet []wirePictures
		}
	}
	if err := json.Unmarshal(data, &media); err != nil {
		return Event{}, jsonError(err)
	}
	if media.FileID == "" {
		return Event{}, errors.New("neither an EventType nor a FileId: this is neither an event nor a media of VOD's")
	}
	e := Event{Type: TypeMedia, Carries: media.SnapshotByTimeOffsetInfo != nil}
	if !e.Carries {
		return e, nil
	}
	for i, set := range media.SnapshotByTimeOffsetInfo.SnapshotByTimeOffsetSet {
		if err := e.pictures(mirror.Snapshot{FileID: string(media.FileID)}, set, ""); err != nil {
			e.malformed(err, "set", i)
		}
	}
	return e, nil
}
