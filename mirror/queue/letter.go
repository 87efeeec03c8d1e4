package queue

import (
	"encoding/json"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// letter is a letter as it lies in messages.
type letter struct {
	mirror.Letter
	// Sequence is that of the message in the queue which it is about.
	Sequence uint64 `json:"sequence"`
}

func decodeLetter(data []byte) (l letter, err error) {
	err = json.Unmarshal(data, &l)
	l.ID = id(l.Snapshot)
	return l, err
}
