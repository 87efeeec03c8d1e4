package vod

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// wirePictures are made by one template in one go.
type wirePictures struct {
	Definition text
	PicInfoSet []struct {
		TimeOffset text
		URL        text `json:"Url"`
	}
}

// procedure reads what became of a task with sub-tasks. It may come several times, each time with more of them done.
func (e *Event) procedure(body json.RawMessage) error {
	if null(body) {
		return fmt.Errorf("an event %s without ProcedureStateChangeEvent", procedureChanged)
	}
	var p struct {
		TaskID                text `json:"TaskId"`
		FileID                text `json:"FileId"`
		MediaProcessResultSet []struct {
			SnapshotByTimeOffsetTask json.RawMessage // the others are not ours
		}
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return jsonError(err)
	}
	of := mirror.Snapshot{FileID: string(p.FileID), TaskID: string(p.TaskID)}
	for i, result := range p.MediaProcessResultSet {
		if null(result.SnapshotByTimeOffsetTask) {
			e.Mixed = true
			continue
		}
		e.Carries = true
		if err := e.subTask(of, result.SnapshotByTimeOffsetTask); err != nil {
			e.malformed(err, "result", i)
		}
	}
	return nil
}

func (e *Event) subTask(of mirror.Snapshot, raw json.RawMessage) error {
	var task struct {
		Status  text
		ErrCode text
		Input   struct {
			Definition    text
			TimeOffsetSet []text
		}
		Output *wirePictures // null until there are any, and when it failed
	}
	if err := json.Unmarshal(raw, &task); err != nil {
		return jsonError(err)
	}
	code, err := task.ErrCode.integer("ErrCode")
	switch {
	case err != nil:
		return err
	case code != 0 || task.Status == "FAIL":
		for _, offset := range task.Input.TimeOffsetSet {
			e.Failed = append(e.Failed, Failure{FileID: of.FileID, TimeOffset: string(offset), Code: code})
		}
		if len(task.Input.TimeOffsetSet) == 0 {
			e.Failed = append(e.Failed, Failure{FileID: of.FileID, Code: code})
		}
		return nil
	case task.Status == "PROCESSING" || task.Output == nil: // it will be told of again
		return nil
	}
	return e.pictures(of, *task.Output, task.Input.Definition)
}

// pictures takes all of one template. Its definition may be 0 in an output, though it is not (seen in users' data).
func (e *Event) pictures(of mirror.Snapshot, made wirePictures, asked text) (err error) {
	if of.Definition, err = made.Definition.integer("Definition"); err != nil {
		return err
	}
	wanted, err := asked.integer("Definition")
	if err != nil {
		return err
	}
	of.Definition = cmp.Or(of.Definition, wanted)
	for i, picture := range made.PicInfoSet {
		if err := e.add(of, picture.TimeOffset, picture.URL); err != nil {
			e.malformed(err, "picture", i)
		}
	}
	return nil
}
