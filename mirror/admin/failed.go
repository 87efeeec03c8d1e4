package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// failed is the API of the dead letters.
type failed struct{ letters func() Letters }

// Query writes a filter as the API's query parameters.
func Query(f mirror.LetterFilter) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("reason", string(f.Reason))
	set("file_id", f.FileID)
	set("id", f.ID)
	for name, d := range map[string]time.Duration{"older_than": f.OlderThan, "newer_than": f.NewerThan} {
		if d != 0 {
			v.Set(name, d.String())
		}
	}
	return v
}

// parseQuery is strict: a filter that is not understood must not become none.
func parseQuery(v url.Values) (f mirror.LetterFilter, all bool, err error) {
	for name, values := range v {
		value := values[0]
		switch name {
		case "reason":
			f.Reason = mirror.Reason(value)
			if f.Reason.Info().Reason == "" {
				return f, false, fmt.Errorf("no reason %.40q", value)
			}
		case "file_id":
			f.FileID = value
		case "id":
			f.ID = value
			if strings.Trim(value, idCharacters) != "" {
				return f, false, errors.New("the filter id is no letter's id")
			}
		case "older_than":
			f.OlderThan, err = time.ParseDuration(value)
		case "newer_than":
			f.NewerThan, err = time.ParseDuration(value)
		case "all":
			all = value == "true"
		default:
			return f, false, fmt.Errorf("no filter %.40q", name)
		}
		if err != nil || value == "" || len(values) > 1 || f.OlderThan < 0 || f.NewerThan < 0 || name == "newer_than" && f.NewerThan == 0 {
			return f, false, fmt.Errorf("the filter %s can't be understood", name)
		}
	}
	return f, all, nil
}

// idCharacters are what ids of letters are made of.
const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// begin gives the filter and the letters, or answers and gives none.
func (f failed) begin(w http.ResponseWriter, r *http.Request) (mirror.LetterFilter, bool, Letters) {
	var filter mirror.LetterFilter
	var all bool
	query, err := url.ParseQuery(r.URL.RawQuery) // r.URL.Query passes over what it can't read, such as a filter
	if err != nil {
		err = errors.New("the query is no query")
	} else {
		filter, all, err = parseQuery(query)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, Count{Error: err.Error()})
		return filter, false, nil
	}
	letters := f.letters()
	if letters == nil {
		answer(w, http.StatusServiceUnavailable, Count{Error: "the queue is being opened"})
	}
	return filter, all, letters
}

// list answers a letter a line, as it reads them.
func (f failed) list(w http.ResponseWriter, r *http.Request) {
	filter, _, letters := f.begin(w, r)
	if letters == nil {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	written := &countingWriter{w: w}
	out := bufio.NewWriter(written)
	lines := json.NewEncoder(out)
	err := letters.Dead(r.Context(), filter, func(l mirror.Letter) error { return lines.Encode(l) })
	switch {
	case err != nil && written.n == 0:
		answer(w, http.StatusServiceUnavailable, Count{Error: err.Error()})
	case err != nil || out.Flush() != nil:
		panic(http.ErrAbortHandler) // a list that ends early must not look like a whole one
	}
}

// countingWriter knows whether anything has been sent.
type countingWriter struct {
	w io.Writer
	n int
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	return n, err
}

func (f failed) retry(w http.ResponseWriter, r *http.Request) { f.change(w, r, Letters.Retry) }

func (f failed) discard(w http.ResponseWriter, r *http.Request) { f.change(w, r, Letters.Discard) }

func (f failed) change(w http.ResponseWriter, r *http.Request, do func(Letters, context.Context, mirror.LetterFilter) (int, error)) {
	filter, all, letters := f.begin(w, r)
	switch {
	case letters == nil:
		return
	case !all && filter == mirror.LetterFilter{}:
		answer(w, http.StatusBadRequest, Count{Error: "give a filter, or all=true"})
		return
	}
	n, err := do(letters, r.Context(), filter)
	if err != nil {
		answer(w, http.StatusServiceUnavailable, Count{n, err.Error()})
		return
	}
	answer(w, http.StatusOK, Count{Count: n})
}
