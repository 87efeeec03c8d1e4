// Package mirror is what snapshot-mirror exists for: it takes one [Snapshot] that Tencent Cloud VOD announced, fetches the
// picture, proves that it is whole, and puts it into a store under a key that depends on nothing but the snapshot.
//
// [Worker.Mirror] is the unit of work and the place to begin reading; everything that can go wrong is one of the reasons in
// [Reasons].
package mirror

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Snapshot is one picture that VOD cut out of a video, as an event announces it. An event is only how snapshots arrive:
// queueing, retries, failures and reports are about one Snapshot each, so that one bad picture never holds up its siblings.
type Snapshot struct {
	// FileID names the video, e.g. "14508071098244929440". It is text, whatever its digits suggest.
	FileID string `json:"file_id"`
	// TimeOffset is the picture's place in the video.
	TimeOffset TimeOffset `json:"time_offset"`
	// Definition is the id of the snapshot template, e.g. 10. The same FileID and TimeOffset with another Definition is
	// another picture.
	Definition int64 `json:"definition"`
	// TaskID names the run of VOD that made the picture; a re-take has another. Empty where VOD does not say it.
	TaskID string `json:"task_id,omitempty"`
	// URL is where the picture is now. VOD reuses URLs, so it identifies nothing.
	URL string `json:"url"`
}

// TimeOffset is a place in a video in milliseconds. VOD writes 10000, 10000.0 and 1000.5; String gives the one shortest form.
type TimeOffset float64

// maxTimeOffset is the largest offset below which every whole millisecond is exact: far longer than any video.
const maxTimeOffset = 1 << 53

// ParseTimeOffset reads a decimal number of milliseconds. It does not judge the value: [Snapshot.Validate] does.
func ParseTimeOffset(text string) (TimeOffset, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f || f-f != 0 { // f-f is not 0 for infinities
		return 0, fmt.Errorf("time offset %q is not a number of milliseconds", clip(text, 40))
	}
	return TimeOffset(f), nil
}

// String is the shortest decimal form in milliseconds without an exponent: "10000", "1000.5".
func (t TimeOffset) String() string {
	if t == 0 {
		return "0" // never "-0"
	}
	return strconv.FormatFloat(float64(t), 'f', -1, 64)
}

// MarshalJSON writes the same digits as String.
func (t TimeOffset) MarshalJSON() ([]byte, error) { return []byte(t.String()), nil }

// Limits on what a stranger's event may say. Real ids have some 20 to 70 characters.
const (
	maxIDBytes  = 256
	maxURLBytes = 8 << 10
)

// Validate says what makes the snapshot unusable, or nil. The error quotes nothing that could carry a secret, and no raw
// control characters.
func (s Snapshot) Validate() error {
	switch {
	case s.FileID == "":
		return errors.New("the event gives no file id")
	case s.TimeOffset != s.TimeOffset: // NaN is neither below nor above the limits
		return errors.New("the time offset is not a number")
	case s.TimeOffset < 0:
		return fmt.Errorf("the time offset %s is negative", s.TimeOffset)
	case s.TimeOffset > maxTimeOffset:
		return errors.New("the time offset is beyond any video")
	case s.URL == "":
		return errors.New("the event says that the snapshot succeeded but gives no URL")
	case len(s.URL) > maxURLBytes:
		return fmt.Errorf("the URL has %d bytes, more than %d", len(s.URL), maxURLBytes)
	}
	if err := validID("file id", s.FileID); err != nil {
		return err
	}
	if err := validID("task id", s.TaskID); err != nil {
		return err
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return errors.New("the URL can't be parsed") // err would quote the whole URL, with its query
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the URL's scheme is %q, not http or https", clip(u.Scheme, 20))
	case u.Hostname() == "":
		return errors.New("the URL names no host")
	case u.User != nil:
		return errors.New("the URL carries a user name")
	}
	return nil
}

// Clipped shortens what is longer than Validate allows to a length that it still refuses, so that a snapshot of any size can be
// queued and reported.
func (s Snapshot) Clipped() Snapshot {
	for _, field := range []struct {
		text *string
		max  int
	}{{&s.FileID, maxIDBytes}, {&s.TaskID, maxIDBytes}, {&s.URL, maxURLBytes}} {
		if len(*field.text) > field.max {
			*field.text = (*field.text)[:field.max+1]
		}
	}
	return s
}

func validID(what, id string) error {
	if len(id) > maxIDBytes {
		return fmt.Errorf("the %s has %d bytes, more than %d", what, len(id), maxIDBytes)
	}
	if !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("the %s has characters that can't be printed: %q", what, id)
	}
	return nil
}

// clip shortens a stranger's text for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
