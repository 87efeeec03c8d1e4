package admin

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h History
		add := func(n int, o mirror.Outcome) {
			for i := range n {
				h.Add(mirror.Result{Snapshot: mirror.Snapshot{FileID: "1", URL: "secret"}, Key: fmt.Sprint(i), Outcome: o, Bytes: 10})
			}
		}
		want := func(ago int, w tally) {
			t.Helper()
			minutes, _ := h.look()
			if got := minutes[len(minutes)-1-ago]; got != w || len(minutes) != 60 {
				t.Errorf("%d min ago: %+v of %d minutes, want %+v", ago, got, len(minutes), w)
			}
		}
		add(3, mirror.Mirrored)
		add(2, mirror.Skipped)
		add(1, mirror.Failed)
		first := tally{3, 2, 1, 30}
		want(0, first)
		time.Sleep(2 * time.Minute)
		add(1, mirror.Failed)
		want(0, tally{Failed: 1})
		want(1, tally{})
		want(2, first)
		time.Sleep(57 * time.Minute)
		want(59, first)
		time.Sleep(time.Minute)
		want(59, tally{})
		want(58, tally{Failed: 1})
		time.Sleep(1000 * time.Hour)
		for ago := range 60 {
			want(ago, tally{})
		}
	})
}

// The latest pictures are few, each is there once, and nothing of their URLs.
func TestLatest(t *testing.T) {
	var h History
	for i := range 1000 {
		h.Add(mirror.Result{Snapshot: mirror.Snapshot{FileID: "1", URL: "secret"}, Key: fmt.Sprint(i), Outcome: mirror.Mirrored})
		h.Add(mirror.Result{Key: "failed", Outcome: mirror.Failed})
	}
	h.Add(mirror.Result{Key: "990", Outcome: mirror.Mirrored})
	_, latest := h.look()
	var keys []string
	for _, s := range latest {
		if keys = append(keys, s.Key); s.URL != "" {
			t.Errorf("it keeps the URL %q", s.URL)
		}
	}
	want := []string{"990", "999", "998", "997", "996", "995", "994", "993", "992", "991", "989", "988", "987", "986", "985", "984", "983", "982", "981", "980", "979", "978", "977", "976"}
	if diff := cmp.Diff(want, keys); diff != "" || cap(h.latest) > 2*latestPictures {
		t.Errorf("room for %d (-want +got):\n%s", cap(h.latest), diff)
	}
}

func TestShow(t *testing.T) {
	for text, want := range map[string]string{
		"plain 14508071098244929440": "plain 14508071098244929440",
		"<b>&":                       "<b>&", // templates escape it
		"a\u202eb":                   "a‹U+202E›b",
		"\x00\n\x1b\u2028\U000E0041": "‹U+0000›‹U+000A›‹U+001B›‹U+2028›‹U+E0041›",
		"a\u00a0b":                   "a‹U+00A0›b",
		"\xff\xc3(":                  "‹FF›‹C3›(",
		"\ufffd":                     "\ufffd",
		"שלום":                       "שלום",
		strings.Repeat("é", 400):     strings.Repeat("é", 300) + "…",
	} {
		if got := show(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzShow(f *testing.F) {
	f.Add("a\u202e\x00<b>\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := show(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || len(got) > 16*(shownRunes+1) {
			t.Errorf("%q gives %q", text, got)
		}
	})
}

func TestShowURL(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h/a/1.jpg?sign=s#f":   "http://h/a/1.jpg",
		"http://u:p@h:81/%2f%20x?s":   "http://h:81/%2f%20x",
		"":                            "",
		"http://h/\x00?sign=s":        "(a URL that can't be read)",
		"http://h:port/?sign=s":       "(a URL that can't be read)",
		"javascript:alert(1)":         "(a URL that can't be read)",
		"mailto:secret@x":             "(a URL that can't be read)",
		"//h/p?s":                     "//h/p",
		"http://h/\u202e<script>?x=1": "http://h/%E2%80%AE%3Cscript%3E",
	} {
		if got := showURL(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func TestOffset(t *testing.T) {
	for ms, want := range map[mirror.TimeOffset]string{
		0: "0:00", 1000.5: "0:01", 10500: "0:10.500", 59999: "0:59.999", 61000: "1:01", 3_600_000: "1:00:00", 36_061_001: "10:01:01.001", -5: "-5 ms", 1e300: show(mirror.TimeOffset(1e300).String()) + " ms",
	} {
		if got := offset(ms); got != want {
			t.Errorf("%v: got %q, want %q", float64(ms), got, want)
		}
	}
}

// Every reason comes with what to do about it.
func TestAdvice(t *testing.T) {
	for _, r := range mirror.Reasons {
		if len(advice[r.Reason]) < 20 || !strings.HasSuffix(advice[r.Reason], ".") {
			t.Errorf("%s: the advice is %q", r.Reason, advice[r.Reason])
		}
	}
	if len(advice) != len(mirror.Reasons) {
		t.Errorf("%d pieces of advice for %d reasons", len(advice), len(mirror.Reasons))
	}
}

func TestPlot(t *testing.T) {
	minutes := make([]tally, historyMinutes)
	minutes[0].Mirrored, minutes[58].Mirrored, minutes[59].Mirrored = 1, 700, 350
	p := newPlot("n", "c", "s", minutes, func(t tally) int { return t.Mirrored })
	if p.Top != "1,000" || len(p.Bars) != 60 {
		t.Fatalf("top %s, %d bars", p.Top, len(p.Bars))
	}
	for i, want := range map[int]bar{0: {0, 94, 2, 59, 1}, 1: {10, 96, 0, 58, 0}, 58: {580, 96 - 67.2, 67.2, 1, 700}, 59: {590, 96 - 33.6, 33.6, 0, 350}} {
		if diff := cmp.Diff(want, p.Bars[i], cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })); diff != "" {
			t.Errorf("bar %d (-want +got):\n%s", i, diff)
		}
	}
	if p := newPlot("n", "c", "s", make([]tally, historyMinutes), func(tally) int { return 0 }); p.Top != "1" || p.Bars[0].Height != 0 {
		t.Errorf("without anything: %+v", p)
	}
}

func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got atomic.Int64
		cost := time.Duration(0)
		k := kept[int64]{fresh: 5 * time.Second, get: func(context.Context) int64 {
			n := got.Add(1)
			time.Sleep(cost)
			return n
		}}
		want := func(n int64, what string) {
			t.Helper()
			if v, ok := k.now(t.Context()); v != n || !ok {
				t.Errorf("%s: got %d, %v, want %d", what, v, ok, n)
			}
		}
		want(1, "first")
		time.Sleep(4 * time.Second)
		want(1, "fresh")
		time.Sleep(2 * time.Second)
		cost = time.Second
		want(1, "old: the next one is awaited by nobody")
		time.Sleep(cost + time.Millisecond)
		want(2, "the next one")
		time.Sleep(18 * time.Second)
		want(2, "what took 1 s is fresh for 20 s")
		k.forget()
		want(3, "after it has changed")
		time.Sleep(time.Hour)
		want(4, "very old")

		// What is being got when it changes is old.
		k.forget()
		values := make(chan int64)
		go func() { v, _ := k.now(t.Context()); values <- v }()
		synctest.Wait()
		k.forget()
		if v := <-values; v != 6 {
			t.Errorf("got %d, want 6: the fifth was begun before the change", v)
		}

		k.forget()
		ctx, cancel := context.WithTimeout(t.Context(), cost/2)
		defer cancel()
		if v, ok := k.now(ctx); ok {
			t.Errorf("got %d in no time", v)
		}
		time.Sleep(time.Minute)
	})
}

// However many ask at once, it is got once.
func TestKeptOnce(t *testing.T) {
	var got atomic.Int64
	begin := make(chan struct{})
	k := kept[int]{fresh: time.Hour, get: func(context.Context) int { <-begin; got.Add(1); return 7 }}
	done := make(chan int)
	for range 50 {
		go func() { v, _ := k.now(t.Context()); done <- v }()
	}
	close(begin)
	for range 50 {
		if v := <-done; v != 7 {
			t.Errorf("got %d", v)
		}
	}
	if got.Load() != 1 {
		t.Errorf("got %d times", got.Load())
	}
}
