package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// VOD settings say which of Tencent's APIs, and for which application. The credentials follow Tencent's own conventions and have
// no flags.
type VOD struct {
	VODEndpoint string `name:"vod-endpoint" help:"VOD's API: vod.tencentcloudapi.com, or vod.intl.tencentcloudapi.com for international accounts." default:"vod.tencentcloudapi.com" placeholder:"HOST" group:"VOD"`
	VODSubAppID uint64 `name:"vod-sub-app-id" help:"VOD application (SubAppId); accounts opened since 2023-12-25 need it." placeholder:"ID" group:"VOD"`
}

// Pull settings are those of the reliable callback.
type Pull struct {
	Pull          bool      `help:"Pull events from VOD (reliable callback) and confirm them when they are on disk." group:"VOD"`
	Pullers       int       `help:"Calls that pull at once, of up to 16 events each." default:"2" group:"VOD"`
	PullUnhandled Unhandled `help:"What becomes of pulled events that are not ours: leave them in VOD's queue, where they come back every 30 s; confirm them, so that nobody gets them any more; or forward=URL them to a receiver and confirm after its 2xx." default:"leave" placeholder:"leave|confirm|forward=URL" group:"VOD"`
}

// Validate is called when all settings are read.
func (p Pull) Validate() error {
	if p.Pullers < 1 || p.Pullers > 64 {
		return fmt.Errorf("--pullers is %d, it must be 1 to 64", p.Pullers)
	}
	return nil
}

// Unhandled is what becomes of pulled events that are not ours. The zero value leaves them.
type Unhandled struct {
	Confirm bool
	Forward string // a URL, which may hold secrets and is not printed whole
}

// UnmarshalText reads leave, confirm or forward=URL.
func (u *Unhandled) UnmarshalText(text []byte) error {
	word, to, _ := strings.Cut(string(text), "=")
	switch {
	case string(text) == "leave":
		*u = Unhandled{}
	case string(text) == "confirm":
		*u = Unhandled{Confirm: true}
	case word == "forward":
		parsed, err := url.Parse(to)
		if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
			return errors.New("forward wants a URL: write forward=http://HOST/PATH")
		}
		*u = Unhandled{Forward: to}
	default:
		return fmt.Errorf("%q is none of leave, confirm and forward=URL", word)
	}
	return nil
}

func (u Unhandled) String() string {
	switch {
	case u.Forward != "":
		return "forward"
	case u.Confirm:
		return "confirm"
	}
	return "leave"
}

// FromVOD settings say which of VOD's media a backfill takes.
type FromVOD struct {
	FromVOD bool     `name:"from-vod" help:"Take the snapshots that VOD has now, as its API lists them, instead of event files." group:"VOD"`
	Since   Moment   `help:"Of media created since then: a time (2026-01-31 or 2026-01-31T08:00:00Z) or how long ago (36h, 7d)." placeholder:"TIME" group:"VOD"`
	Until   Moment   `help:"Of media created until then; now, unless said." placeholder:"TIME" group:"VOD"`
	FileID  []string `name:"file-id" help:"Of these media only, with commas between." placeholder:"ID,..." group:"VOD"`
	VODRate float64  `name:"vod-rate" help:"Queries a second to VOD's API at most." default:"10" group:"VOD"`
	State   string   `help:"Where a backfill from VOD notes how far it is, so that it goes on there after a kill. Gone when it has finished." default:"./from-vod.state" placeholder:"FILE" group:"VOD"`
}

// Validate is called when all settings are read.
func (f FromVOD) Validate() error {
	now := time.Now()
	switch {
	case !f.FromVOD && (f.Since.text != "" || f.Until.text != "" || len(f.FileID) > 0):
		return errors.New("--since, --until and --file-id say nothing without --from-vod")
	case len(f.FileID) > 0 && (f.Since.text != "" || f.Until.text != ""):
		return errors.New("--file-id and --since or --until exclude each other")
	case f.Until.text != "" && !f.Since.At(now).Before(f.Until.At(now)):
		return fmt.Errorf("--since %s is not before --until %s", f.Since, f.Until)
	case f.Since.text != "" && f.Since.At(now).After(now):
		return fmt.Errorf("--since %s is in the future", f.Since)
	case f.VODRate <= 0 || f.VODRate > 1000:
		return fmt.Errorf("--vod-rate is %g, it must be above 0 and up to 1000", f.VODRate)
	}
	return nil
}

// Moment is a point in time, or one that is some time ago whenever it is asked for. The zero value is the zero time.
type Moment struct {
	text string
	at   time.Time
	ago  time.Duration
}

// UnmarshalText reads a date (in UTC), a time as in RFC 3339, or a duration, also in days.
func (m *Moment) UnmarshalText(text []byte) error {
	s := string(text)
	*m = Moment{text: s}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			m.at = at
			return nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			m.ago = time.Duration(n) * 24 * time.Hour
			return nil
		}
	}
	ago, err := time.ParseDuration(s)
	if err != nil || ago < 0 {
		return fmt.Errorf("%q is neither a time (2026-01-31 or 2026-01-31T08:00:00Z) nor how long ago (36h, 7d)", s)
	}
	m.ago = ago
	return nil
}

// At is the moment, seen from now.
func (m Moment) At(now time.Time) time.Time {
	if m.ago > 0 {
		return now.Add(-m.ago)
	}
	if m.at.IsZero() && m.text != "" { // "0s" ago
		return now
	}
	return m.at
}

func (m Moment) String() string { return m.text }
