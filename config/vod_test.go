package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T08:00:00Z": "2026-01-31T08:00:00Z", "2026-01-31T08:00:00+08:00": "2026-01-31T00:00:00Z",
		"36h": "2026-05-02T15:02:01Z", "7d": "2026-04-27T03:02:01Z", "90m": "2026-05-04T01:32:01Z", "0s": "2026-05-04T03:02:01Z",
		"yesterday": "", "-1h": "", "": "", "1.5d": "", "2026-13-01": "",
	} {
		var m config.Moment
		err := m.UnmarshalText([]byte(text))
		got := ""
		if err == nil {
			got = m.At(now).UTC().Format(time.RFC3339)
		}
		if got != want || m.String() != text {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
	if at := (config.Moment{}).At(now); !at.IsZero() {
		t.Errorf("no moment is at %v", at)
	}
}

func TestUnhandled(t *testing.T) {
	for text, want := range map[string]config.Unhandled{
		"leave": {}, "confirm": {Confirm: true}, "forward=https://h/a?b=c": {Forward: "https://h/a?b=c"},
	} {
		var got config.Unhandled
		if err := got.UnmarshalText([]byte(text)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if strings.Contains(fmt.Sprint(got), "?") {
			t.Errorf("%q is printed whole: %v", text, got)
		}
	}
	for _, text := range []string{"", "forward", "forward=", "forward=h/a", "drop", "confirm=x"} {
		if err := new(config.Unhandled).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestFromVODLimits(t *testing.T) {
	moment := func(text string) (m config.Moment) {
		if err := m.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for want, f := range map[string]config.FromVOD{
		"":                         {FromVOD: true, Since: moment("2h"), Until: moment("1h"), VODRate: 10},
		"say nothing without":      {Since: moment("2h"), VODRate: 10},
		"exclude each other":       {FromVOD: true, Since: moment("2h"), FileID: []string{"1"}, VODRate: 10},
		"is not before --until":    {FromVOD: true, Since: moment("1h"), Until: moment("2h"), VODRate: 10},
		"is in the future":         {FromVOD: true, Since: moment("2999-01-01"), VODRate: 10},
		"--vod-rate is 0, it must": {FromVOD: true},
	} {
		if err := f.Validate(); (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for n, ok := range map[int]bool{0: false, 1: true, 64: true, 65: false} {
		if err := (config.Pull{Pullers: n}).Validate(); (err == nil) != ok {
			t.Errorf("%d pullers: %v", n, err)
		}
	}
}
