package vod

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// wireComplete is the body of an event of its own.
type wireComplete struct {
	TaskID          text `json:"TaskId"`
	FileID          text `json:"FileId"`
	Definition      text
	SnapshotInfoSet []wireItem
}

type wireItem struct {
	ErrCode    text
	TimeOffset text
	URL        text `json:"Url"`
}

func (e *Event) complete(body *wireComplete) error {
	definition, err := body.Definition.integer("Definition")
	if err != nil {
		return err
	}
	e.Carries = true
	of := mirror.Snapshot{FileID: string(body.FileID), TaskID: string(body.TaskID), Definition: definition}
	e.Snapshots = slices.Grow(e.Snapshots, len(body.SnapshotInfoSet))
	for i, item := range body.SnapshotInfoSet {
		code, err := item.ErrCode.integer("ErrCode")
		switch {
		case err != nil:
		case code != 0:
			e.Failed = append(e.Failed, Failure{FileID: of.FileID, TimeOffset: string(item.TimeOffset), Code: code})
		default:
			err = e.add(of, item.TimeOffset, item.URL)
		}
		if err != nil {
			e.malformed(err, "item", i)
		}
	}
	return nil
}

// completeV2 reads the same in the legacy format, where items that failed have no url.
func (e *Event) completeV2(data json.RawMessage) error {
	var v2 struct {
		VodTaskID  text `json:"vodTaskId"`
		FileID     text `json:"fileId"`
		Definition text `json:"definition"`
		PicInfo    []struct {
			Status     text `json:"status"`
			TimeOffset text `json:"timeOffset"`
			URL        text `json:"url"`
		} `json:"picInfo"`
	}
	if err := json.Unmarshal(data, &v2); err != nil {
		return jsonError(err)
	}
	body := &wireComplete{TaskID: v2.VodTaskID, FileID: v2.FileID, Definition: v2.Definition}
	for _, item := range v2.PicInfo {
		body.SnapshotInfoSet = append(body.SnapshotInfoSet, wireItem{item.Status, item.TimeOffset, item.URL})
	}
	return e.complete(body)
}

// decodePulledV2 reads an element of v2's eventList: an event, which may come as a string that holds its JSON.
func decodePulledV2(content json.RawMessage) (Event, error) {
	if len(content) > 0 && content[0] == '"' {
		var inner string
		if err := json.Unmarshal(content, &inner); err != nil {
			return Event{}, jsonError(err)
		}
		content = json.RawMessage(inner)
	}
	var wire wireEvent
	if err := json.Unmarshal(content, &wire); err != nil {
		return Event{}, jsonError(err)
	}
	return wire.decode()
}

// decodeListV2 reads {"data":{"eventList":[...]}}, which holds 16 events at most, as one.
func decodeListV2(data json.RawMessage) (Event, error) {
	var list struct {
		EventList []struct {
			EventContent json.RawMessage `json:"eventContent"`
		} `json:"eventList"`
	}
	if err := json.Unmarshal(data, &list); err != nil || list.EventList == nil {
		return Event{}, errors.New("no EventType: this is not an event of VOD's")
	}
	all := Event{Type: "eventList"}
	for i, element := range list.EventList {
		e, err := decodePulledV2(element.EventContent)
		if err != nil {
			all.malformed(err, "event", i)
		}
		all.Carries, all.Mixed = all.Carries || e.Carries, all.Mixed || e.Mixed
		all.Snapshots = append(all.Snapshots, e.Snapshots...)
		all.Failed = append(all.Failed, e.Failed...)
		all.Malformed = append(all.Malformed, e.Malformed...)
	}
	return all, nil
}
