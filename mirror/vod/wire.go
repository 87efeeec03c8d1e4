package vod

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

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

// null says whether a member is missing or null.
func null(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// jsonError says it in the words of an operator, not of the Go types.
func jsonError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("it is a JSON %s", wrong.Value)
		}
		return fmt.Errorf("the field %s is a JSON %s", wrong.Field, wrong.Value)
	}
	return err
}
