package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/snapshot-mirror/snapshot-mirror/cmd/snapshot-mirror/internal/demo"
)

// seen says whether at least n pictures have been loaded and decoded.
func seen(n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.pictures img')].filter((i) => i.complete && i.naturalWidth > 0).length >= %d`, n)
}

// startPage starts serve on a stream of pictures, some of which fail for good at once.
func startPage(t *testing.T, args ...string) (*sidecar, *demo.Stream) {
	t.Helper()
	stream, err := demo.StartStream(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return startServe(t, nil, append([]string{"--to", t.TempDir(), "--retry-min", "100ms", "--give-up-after", "1ms", "--concurrency", "4"}, args...)...), stream
}

func postNext(t *testing.T, s *sidecar, stream *demo.Stream) {
	t.Helper()
	event, err := stream.Next()
	if err != nil {
		t.Fatal(err)
	}
	if status := s.post(string(event)); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

// What an operator does: look on while pictures come in, find a video, and retry what failed.
func TestPageInABrowser(t *testing.T) {
	b := startBrowser(t)
	if b == nil {
		return
	}
	s, stream := startPage(t)
	more, loaded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(loaded)
		for i := range 24 {
			if i == 16 {
				<-more // something is to be newer than what the page has shown, however slow it was
			}
			postNext(t, s, stream)
			time.Sleep(100 * time.Millisecond) // the pace of a load, not a wait for something
		}
	}()
	b.look(1280, 1000, 1, "light")
	b.open(s.admin)
	b.until("pictures come in, of a page that was empty or not", seen(12))
	first := eval[string](b, `document.querySelector('.pictures li').dataset.key`)
	close(more)
	b.until("newer pictures without loading the page again", fmt.Sprintf(`document.querySelector('.pictures li').dataset.key !== %q`, first))
	if got := eval[int](b, `performance.getEntriesByType('navigation').length`); got != 1 {
		t.Errorf("%d navigations", got)
	}
	<-loaded
	waitFor(t, "idle", time.Minute, s.idle)
	b.until("the state of what is done", `document.querySelector('[role=status]').innerText.includes('failed for good')`)
	b.until("all that failed", `document.querySelectorAll('article').length === 3`)
	b.until("24 pictures", seen(24))
	b.screenshots("status")
	b.wantNames()

	// Find a video.
	const fileID = "5285890780000001008"
	b.look(1280, 1000, 1, "light")
	b.leave(chromedp.SendKeys(chromedp.CSS(`#id`), fileID+kb.Enter))
	b.until("its seven pictures", seen(7))
	times := eval[[]string](b, `[...document.querySelectorAll('.sheet .at')].map((e) => e.innerText)`)
	if want := []string{"0:00", "0:15", "0:30", "1:00", "1:15", "1:30", "1:45"}; !slices.Equal(times, want) {
		t.Errorf("the pictures are at %q, want %q", times, want)
	}
	tile := eval[string](b, `document.querySelector('.sheet li').innerText`)
	if !regexp.MustCompile(`(?s)Size\s+[\d.]+ KiB\s+Definition\s+10\s+Key\s+` + fileID + `/0\s+Task\s+CreateSnapshotByTimeOffset-demo-`).MatchString(tile) {
		t.Errorf("its first picture is told of as %q", tile)
	}
	if text := b.text(); !strings.Contains(text, "source_missing") || !strings.Contains(text, "at 0:45") {
		t.Errorf("what failed of it is not told:\n%s", text)
	}
	b.screenshots("sheet")
	b.wantNames()

	// Retry it, by keyboard.
	b.look(1280, 1000, 1, "light")
	b.open(s.admin)
	b.click(`a[href="/failed?reason=source_missing"]`)
	b.screenshots("failed")
	b.wantNames()
	b.look(1280, 1000, 1, "light")
	stream.Mend()
	act(b, chromedp.Focus(chromedp.CSS(`.letters button[name=retry]`)))
	retried := eval[string](b, `document.activeElement.closest('li').querySelector('a').innerText`)
	b.leave(chromedp.KeyEvent(kb.Enter))
	if text := b.text(); !strings.Contains(text, "1 snapshot was put back into the queue.") || strings.Contains(text, retried) {
		t.Errorf("after retrying %s:\n%s", retried, text)
	}
	b.open(s.admin + "/file?id=" + retried)
	waitFor(t, "the retried picture is mirrored and shown", time.Minute, func() bool {
		act(b, chromedp.Reload())
		return eval[int](b, `document.querySelectorAll('.sheet img').length`) == 8
	})
	b.until("it can be seen", seen(8))

	// The rest of that reason, without any script; then a selection of another; then all of the last.
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open(s.admin)
	b.click(`article:first-child button[name=retry][value=all]`)
	waitFor(t, "3 left", time.Minute, func() bool { return s.idle() && s.metric(metricDead) == 3 })
	b.open(s.admin + "/failed?reason=source_denied")
	act(b, chromedp.Click(chromedp.CSS(`.letters li:nth-child(2) input`)))
	b.click(`button[name=discard][value=selected]`)
	waitFor(t, "2 left", time.Minute, func() bool { return s.metric(metricDead) == 2 })
	b.open(s.admin + "/failed?reason=not_an_image")
	act(b, chromedp.Click(chromedp.CSS(`summary`)))
	b.click(`button[name=discard][value=all]`)
	waitFor(t, "1 left", time.Minute, func() bool { return s.metric(metricDead) == 1 })
	b.wantNoOffence()
}

// wantNames sees that whatever can be used has a name for those who don't see it.
func (b *browser) wantNames() {
	b.t.Helper()
	roles := map[string]int{}
	for _, n := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role := strings.Trim(string(n.Role.Value), `"`)
		roles[role]++
		switch role {
		case "button", "link", "checkbox", "textbox", "searchbox", "image", "heading", "DisclosureTriangle":
			if n.Name == nil || strings.Trim(string(n.Name.Value), `" `) == "" {
				b.t.Errorf("a %s has no name", role)
			}
		}
	}
	for _, role := range []string{"main", "banner", "contentinfo", "search", "status", "heading", "link", "button"} {
		if roles[role] == 0 {
			b.t.Errorf("the page has no %s: %v", role, roles)
		}
	}
	if roles["main"] != 1 {
		b.t.Errorf("%d mains", roles["main"])
	}
}

// A password makes the page usable from elsewhere by a name, over plain HTTP too, where browsers say less of where a form is from.
func TestPageFromElsewhere(t *testing.T) {
	b := startBrowser(t)
	if b == nil {
		return
	}
	s, stream := startPage(t, "--admin-auth", "ada:correct-horse", "--admin-host", "page.test")
	for range 3 {
		postNext(t, s, stream)
	}
	waitFor(t, "two dead letters", time.Minute, func() bool { return s.idle() && s.metric(metricDead) == 2 })
	elsewhere := strings.Replace(s.admin, "127.0.0.1", "page.test", 1)
	b.open(strings.Replace(elsewhere, "http://", "http://ada:correct-horse@", 1))
	b.until("pictures", seen(12))
	b.until("the script brings it up to date", `new Promise((done) => new MutationObserver(() => done(true)).observe(document.body, {subtree: true, childList: true}))`)
	b.click(`article button[name=retry][value=all]`)
	if text := b.text(); !strings.Contains(text, "put back into the queue") {
		t.Errorf("after a retry:\n%s", text)
	}
	b.wantNoOffence()
}

// Texts that strangers may send, and that a page must never take for anything but text.
var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`"><svg onload=alert(2)>`,
	`'-alert(3)-'{{.Token}}`,
	`javascript:alert(4)`,
	`&lt;b>&#60;i&#62;`,
	"\u202egnp.live\u202c\u2066x\u2069\u200f",
	"\x1b[31mred\x07\x00\u2028",
	`<script>alert(5)</script>`,
	`</textarea></title></style><script src=//evil.test/x></script>`,
	"שלום <b>עולם</b>",
}

func TestHostileTextInABrowser(t *testing.T) {
	b := startBrowser(t)
	if b == nil {
		return
	}
	s, stream := startPage(t)
	picture := func(kind string) string {
		return stream.URL + "/" + kind + "/0/0/snapshotByTimeOffset/snapshotByTimeOffset_10_0.jpg"
	}
	for i, text := range hostile {
		for j, url := range []string{
			picture("whole"),
			picture("late") + "?sign=hush" + text,
			picture("page") + "#" + text,
			"ftp://user:hush@h/" + text,
			stream.URL + "/" + text,
		} {
			event, err := json.Marshal(map[string]any{
				"EventType": "CreateSnapshotByTimeOffsetComplete",
				"SnapshotByTimeOffsetCompleteEvent": map[string]any{
					"TaskId": text, "FileId": text, "Definition": 10, "SnapshotInfoSet": []map[string]any{{"ErrCode": 0, "TimeOffset": 1000*j + i, "Url": url}},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if status := s.post(string(event)); status != http.StatusOK {
				t.Errorf("%q: status %d", text, status)
			}
		}
	}
	waitFor(t, "all of them settled", time.Minute, func() bool { return s.idle() && s.metric(metricDead) >= float64(4*len(hostile)) })
	addresses := []string{"/", "/failed?reason=source_missing", "/failed?reason=not_an_image", "/failed?reason=bad_snapshot", "/failed?reason=" + url.QueryEscape(hostile[0])}
	for _, text := range hostile {
		addresses = append(addresses, "/file?id="+url.QueryEscape(text))
	}
	var all strings.Builder
	for _, address := range addresses {
		b.open(s.admin + address)
		text := b.text()
		all.WriteString(text)
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s shows a character that has no shape: %q", address, text[max(0, i-20):min(i+20, len(text))])
		}
		if strings.Contains(text, "hush") {
			t.Errorf("%s shows a secret:\n%s", address, text)
		}
		if got := eval[int](b, `document.querySelectorAll('script').length * 100 + document.querySelectorAll('img[src=x], [onload], [onerror], i, textarea, style, [href^="javascript:"]').length`); got != 100 {
			t.Errorf("%s holds elements of strangers': %d", address, got)
		}
		if got := eval[int](b, `[...document.querySelectorAll('.what a, .of, h1')].filter((e) => !e.querySelector('bdi') && !e.querySelector('code') && !e.classList.contains('hidden')).length`); got != 0 && !strings.Contains(address, "%3C") {
			t.Errorf("%s: %d texts are not isolated", address, got)
		}
	}
	for _, want := range []string{hostile[0], hostile[1], hostile[2], hostile[3], hostile[4], "‹U+202E›gnp.live‹U+202C›", "‹U+001B›[31mred‹U+0007›‹U+0000›‹U+2028›", hostile[7], hostile[9]} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is shown nowhere as text", want)
		}
	}
	b.wantNoOffence()
}

// The demo's page is alive: pictures, without anybody posting events.
func TestDemoServe(t *testing.T) {
	b := startBrowser(t)
	if b == nil {
		return
	}
	cmd := command(t, nil, "demo", "--serve", "--to", filepath.Join(t.TempDir(), "pictures"))
	out := &logBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var address string
	waitFor(t, "the page's address", time.Minute, func() bool {
		address = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(out.tail(1000))
		return address != ""
	})
	b.open(address)
	b.until("pictures", seen(12))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ends with %v", err)
	}
	b.until("the page says that nobody answers", `document.querySelector('[role=status]').innerText.includes('No answer')`)
	b.wantNoOffence()
}
