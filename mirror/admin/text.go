package admin

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// shownRunes is how much of a stranger's text is shown.
const shownRunes = 300

// show makes a stranger's text fit to be looked at: what has no shape of its own, such as control characters and marks that turn
// the direction of writing, is shown by its number. It is still text and no HTML: templates escape it, and isolate it with <bdi>.
func show(s string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > shownRunes {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, "‹%02X›", s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "‹U+%04X›", r)
		}
	}
	return b.String()
}

// showURL is host and path alone: a query may be a signature, and so may what can't be read.
func showURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return ""
	case err != nil || u.Opaque != "":
		return "(a URL that can't be read)"
	}
	return show((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String())
}

// offset writes a place in a video as people do.
func offset(t mirror.TimeOffset) string {
	d := time.Duration(float64(t) * float64(time.Millisecond))
	if t < 0 || t > 1e12 {
		return show(t.String()) + " ms"
	}
	text := fmt.Sprintf("%d:%02d", int(d.Minutes())%60, int(d.Seconds())%60)
	if d >= time.Hour {
		text = fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	if ms := d.Milliseconds() % 1000; ms != 0 {
		text += fmt.Sprintf(".%03d", ms)
	}
	return text
}

// age writes a duration in its largest two units.
func age(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

func ago(t time.Time) string { return age(time.Since(t)) + " ago" }

func comma[N int | int64 | uint64](n N) string { return humanize.Comma(int64(n)) }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// many is a number with its noun.
func many[N int | int64 | uint64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return comma(n) + " " + more
}

// sentence makes one of a reason's meaning.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// number writes a count of any kind.
func number(n any) string {
	switch n := n.(type) {
	case int:
		return comma(n)
	case uint64:
		return comma(n)
	default:
		return fmt.Sprint(n)
	}
}
