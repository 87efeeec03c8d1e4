package mirror

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// DefaultKeyTemplate is where snapshots go unless told otherwise: FileId/TimeOffset.
const DefaultKeyTemplate = "{file_id}/{time_offset}"

// KeyTemplate makes object keys out of snapshots. It is parsed once and safe for concurrent use.
type KeyTemplate struct {
	parts []keyPart
}

// keyPart is literal text or, where field is set, a placeholder.
type keyPart struct{ literal, field string }

// keyFields are the placeholders. {ext} is the extension of the URL's path, because the key is needed before the picture is.
var keyFields = []string{"file_id", "time_offset", "definition", "task_id", "ext"}

// ParseKeyTemplate reads a template such as "{file_id}/{definition}/{time_offset}.{ext}". It must hold {file_id} and
// {time_offset}: without them pictures would overwrite each other.
func ParseKeyTemplate(text string) (KeyTemplate, error) {
	var t KeyTemplate
	for rest := text; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			t.parts = append(t.parts, keyPart{literal: rest})
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[open] == '}' || end < open {
			return KeyTemplate{}, fmt.Errorf("key template %q: a brace has no partner", text)
		}
		if open > 0 {
			t.parts = append(t.parts, keyPart{literal: rest[:open]})
		}
		field := rest[open+1 : end]
		if !slices.Contains(keyFields, field) {
			return KeyTemplate{}, fmt.Errorf("key template %q: no placeholder {%s}; there are {%s}", text, field, strings.Join(keyFields, "}, {"))
		}
		t.parts = append(t.parts, keyPart{field: field})
		rest = rest[end+1:]
	}
	for _, need := range keyFields[:2] {
		if !slices.Contains(t.parts, keyPart{field: need}) {
			return KeyTemplate{}, fmt.Errorf("key template %q: {%s} is missing, so pictures would overwrite each other", text, need)
		}
	}
	// What the literals alone make impossible is better said now than for every snapshot.
	probe := Snapshot{FileID: "1", TaskID: "t", URL: "http://h/1.jpg"}
	if _, err := t.Expand(probe); err != nil {
		return KeyTemplate{}, fmt.Errorf("key template %q: %w", text, err)
	}
	return t, nil
}

// Expand gives the snapshot's key, or an error when a stranger's values make one that is not safe ([store.CheckKey]). A value
// never adds a segment.
func (t KeyTemplate) Expand(s Snapshot) (string, error) {
	var key strings.Builder
	for _, p := range t.parts {
		if p.field == "" {
			key.WriteString(p.literal)
			continue
		}
		value := keyField(s, p.field)
		if value == "" {
			return "", fmt.Errorf("the snapshot has no %s for its key", p.field)
		}
		if strings.Contains(value, "/") {
			return "", fmt.Errorf("the %s %q has a slash", p.field, clip(value, 80))
		}
		key.WriteString(value)
	}
	return key.String(), store.CheckKey(key.String())
}

func keyField(s Snapshot, field string) string {
	switch field {
	case "file_id":
		return s.FileID
	case "time_offset":
		return s.TimeOffset.String()
	case "definition":
		return strconv.FormatInt(s.Definition, 10)
	case "task_id":
		return s.TaskID
	default: // ext
		raw, _, _ := strings.Cut(s.URL, "?")
		raw, _, _ = strings.Cut(raw, "#")
		return strings.ToLower(strings.TrimPrefix(path.Ext(raw), "."))
	}
}
