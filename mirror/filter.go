package mirror

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Filter says which snapshots are wanted: those that an include rule fits, where there are any, and no exclude rule. The zero value
// wants all. Where snapshots come in, it is asked before anything is queued or mirrored.
type Filter struct{ include, exclude []rule }

// rule fits a snapshot that fits each of its parts; an empty part fits all.
type rule struct {
	fileIDs     []string // of path.Match
	definitions []span[int64]
	offsets     []span[TimeOffset]
}

// span has both its ends.
type span[T int64 | TimeOffset] struct{ from, to T }

// ParseFilter reads rules like
//
//	file-id=5285890*,definition=10,20,time-offset=0-60000
//
// Names and values that belong together have commas between; a value without a name is another one for the name before it. A rule
// fits what fits each of its names by one of that name's values. File ids are patterns of [path.Match]; numbers are single or ranges
// like 10-20 or 60000-, both ends included. The error names the flag.
func ParseFilter(include, exclude []string) (Filter, error) {
	var f Filter
	for _, part := range []struct {
		flag  string
		texts []string
		rules *[]rule
	}{{"--include", include, &f.include}, {"--exclude", exclude, &f.exclude}} {
		for _, text := range part.texts {
			r, err := parseRule(text)
			if err != nil {
				return Filter{}, fmt.Errorf("%s %q: %w", part.flag, clip(text, 80), err)
			}
			*part.rules = append(*part.rules, r)
		}
	}
	return f, nil
}

func parseRule(text string) (rule, error) {
	var r rule
	name := ""
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		value := strings.TrimSpace(part)
		if before, after, named := strings.Cut(value, "="); named {
			name, value = strings.TrimSpace(before), strings.TrimSpace(after)
			if seen[name] {
				return rule{}, fmt.Errorf("%s is there twice: write its values after each other, %s=A,B", name, name)
			}
			seen[name] = true
		}
		if err := r.add(name, value); err != nil {
			return rule{}, err
		}
	}
	return r, nil
}

func (r *rule) add(name, value string) (err error) {
	switch name {
	case "file-id":
		if _, err := path.Match(value, ""); err != nil || value == "" {
			return fmt.Errorf("%q is not a pattern for file ids: write it like 5285890*", value)
		}
		r.fileIDs = append(r.fileIDs, value)
	case "definition":
		r.definitions, err = addSpan(r.definitions, value, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case "time-offset":
		r.offsets, err = addSpan(r.offsets, value, ParseTimeOffset)
	case "":
		return errors.New("write file-id=GLOB, definition=N or time-offset=FROM-TO, with commas between")
	default:
		return fmt.Errorf("there is no %q: write file-id, definition or time-offset", clip(name, 40))
	}
	return err
}

// addSpan reads N, N-M or N-.
func addSpan[T int64 | TimeOffset](spans []span[T], text string, parse func(string) (T, error)) ([]span[T], error) {
	first, last, ranged := strings.Cut(text, "-")
	from, err := parse(first)
	to := from
	if err == nil && ranged {
		if to = T(maxTimeOffset); last != "" {
			to, err = parse(last)
		}
	}
	if err != nil || from > to || strings.Trim(text, "0123456789.-") != "" {
		return nil, fmt.Errorf("%q is neither a number nor a range: write 10, 10-20 or 10-", clip(text, 40))
	}
	return append(spans, span[T]{from, to}), nil
}

// Takes says whether the snapshot is wanted.
func (f Filter) Takes(s Snapshot) bool {
	return (len(f.include) == 0 || fits(f.include, s)) && !fits(f.exclude, s)
}

// Split gives those of the snapshots that are wanted, and how many are not. It changes all.
func (f Filter) Split(all []Snapshot) (wanted []Snapshot, leftOut int) {
	wanted = all[:0]
	for _, s := range all {
		if f.Takes(s) {
			wanted = append(wanted, s)
		}
	}
	return wanted, len(all) - len(wanted)
}

func fits(rules []rule, s Snapshot) bool {
	for _, r := range rules {
		if r.fits(s) {
			return true
		}
	}
	return false
}

func (r rule) fits(s Snapshot) bool {
	return (len(r.fileIDs) == 0 || named(r.fileIDs, s.FileID)) && within(r.definitions, s.Definition) && within(r.offsets, s.TimeOffset)
}

func named(patterns []string, id string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, id); ok {
			return true
		}
	}
	return false
}

func within[T int64 | TimeOffset](spans []span[T], v T) bool {
	for _, s := range spans {
		if s.from <= v && v <= s.to {
			return true
		}
	}
	return len(spans) == 0
}
