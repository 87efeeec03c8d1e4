package mirror

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// VideoKeys are the keys that a template gives to the snapshots of one video.
type VideoKeys struct {
	// Prefix begins them all. Other videos' keys may begin so, too.
	Prefix string
	form   *regexp.Regexp
}

// VideoKeys finds them, if the template lets a listing find them at all: what stands before {file_id} must be known.
func (t KeyTemplate) VideoKeys(fileID string) (VideoKeys, error) {
	if fileID == "" || strings.Contains(fileID, "/") {
		return VideoKeys{}, errors.New("no video can have this file id")
	}
	var prefix, form strings.Builder
	known, found := true, false
	for _, p := range t.parts {
		literal := p.literal
		switch p.field {
		case "file_id":
			literal, found = fileID, found || known
		case "time_offset":
			form.WriteString(`(\d+(?:\.\d+)?)`)
		case "":
		default:
			form.WriteString(`[^/]+`)
		}
		if p.field != "" && p.field != "file_id" {
			if known = false; !found {
				return VideoKeys{}, fmt.Errorf("the pictures of one video can't be listed: {%s} stands before {file_id} in --key-template", p.field)
			}
		}
		form.WriteString(regexp.QuoteMeta(literal))
		if known {
			prefix.WriteString(literal)
		}
	}
	if err := store.CheckKey(prefix.String() + "x"); err != nil {
		return VideoKeys{}, err
	}
	re, err := regexp.Compile("^" + form.String() + "$")
	return VideoKeys{prefix.String(), re}, err
}

// TimeOffset reads the time out of a key, if it is one of them.
func (v VideoKeys) TimeOffset(key string) (TimeOffset, bool) {
	m := v.form.FindStringSubmatch(key)
	if m == nil {
		return 0, false
	}
	t, err := ParseTimeOffset(m[1])
	return t, err == nil
}

// Recorded reads what Worker recorded with an object; its URL is without the query. It says false where that was somebody else.
func Recorded(i store.Info) (Snapshot, bool) {
	fileID, err1 := url.PathUnescape(i.Metadata[metaFileID])
	taskID, err2 := url.PathUnescape(i.Metadata[metaTaskID])
	offset, err3 := ParseTimeOffset(i.Metadata[metaTimeOffset])
	definition, err4 := strconv.ParseInt(i.Metadata[metaDefinition], 10, 64)
	if fileID == "" || errors.Join(err1, err2, err3, err4) != nil {
		return Snapshot{}, false
	}
	return Snapshot{FileID: fileID, TimeOffset: offset, Definition: definition, TaskID: taskID, URL: i.Metadata[metaSourceURL]}, true
}
