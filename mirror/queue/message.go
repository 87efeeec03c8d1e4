package queue

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Bounds of one message of EVENTS: NATS takes no more than 1 MiB as it comes.
const (
	maxEventSnapshots = 100
	maxEventBytes     = 256 << 10
)

// id names a snapshot in subjects. The URL is part of it: a snapshot that is announced again with another URL, because the first
// one was signed and has expired, say, is not a duplicate. A hash, since a stranger's text has no place in a subject.
func id(s mirror.Snapshot) string {
	return hash(s.FileID, s.TimeOffset.String(), strconv.FormatInt(s.Definition, 10), s.TaskID, s.URL)
}

// idForm is the form of what id gives.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

func hash(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(h, "%d:%s,", len(text), text) // the lengths keep "a","bc" from "ab","c"
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

func decodeSnapshots(data []byte) (snapshots []mirror.Snapshot, err error) {
	err = json.Unmarshal(data, &snapshots)
	return snapshots, err
}

// bundle is what becomes one message of EVENTS.
type bundle struct {
	id   string
	data []byte
}

// bundles cuts snapshots into messages. The same set of snapshots gives the same messages, in whatever order they come, so that
// the event of a task in VOD's two formats is one.
func bundles(snapshots []mirror.Snapshot) ([]bundle, error) {
	type named struct {
		id string
		mirror.Snapshot
	}
	all := make([]named, len(snapshots))
	for i, s := range snapshots {
		s = s.Clipped()
		all[i] = named{id(s), s}
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(a.id, b.id) })
	all = slices.CompactFunc(all, func(a, b named) bool { return a.id == b.id })

	var out []bundle
	var ids []string
	var part []mirror.Snapshot
	size := 0
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		data, err := json.Marshal(part)
		out = append(out, bundle{hash(ids...), data})
		ids, part, size = ids[:0], part[:0], 0
		return err
	}
	for _, s := range all {
		// Generous: JSON may need six bytes for one.
		weight := 128 + 6*(len(s.URL)+len(s.FileID)+len(s.TaskID))
		if len(part) == maxEventSnapshots || size+weight > maxEventBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		ids, part, size = append(ids, s.id), append(part, s.Snapshot), size+weight
	}
	return out, flush()
}
