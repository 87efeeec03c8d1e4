package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var (
	browserFlag    = flag.String("browser", "chromium", "the browser that looks at the status page; off leaves these tests out")
	screenshotsDir = flag.String("screenshots", "", "write pictures of the status page into this directory")
)

// browser is a headless Chromium with one tab, which notes what a page must not do.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	offences []string
}

// startBrowser gives none only when the flag says so. Names below .test are this machine to it.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	if *browserFlag == "off" {
		t.Log("NOT TESTED: the status page in a browser, since -browser off says so")
		return nil
	}
	program, err := exec.LookPath(*browserFlag)
	if err != nil {
		t.Fatalf("no browser: %v; install Debian's package chromium, name another Chromium with -browser PATH, or leave these tests out with -browser off", err)
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(program), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {})) // it does not know the newest browsers' events
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel(); cancelAllocator() })
	b := &browser{t: t, ctx: ctx}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *page.EventJavascriptDialogOpening:
			b.offend("a dialog: " + e.Message)
			go func() {
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			}()
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
				b.offend(e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	call(b, log.Enable, cdp.Empty{})
	return b
}

func (b *browser) offend(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offences = append(b.offences, what)
}

// wantNoOffence fails the test when a page tried what its policy forbids, or a script of a stranger's ran.
func (b *browser) wantNoOffence() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range b.offences {
		b.t.Errorf("the page: %s", what)
	}
}

// browserWait bounds one action.
const browserWait = time.Minute

// act does an action and gives its value.
func act[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("in the browser: %v; the page:\n%s", err, b.text())
	}
	return value
}

// call gives the browser a command of its protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("in the browser: %s: %v", command.Method, err)
	}
	return result
}

func (b *browser) open(url string) { b.t.Helper(); act(b, chromedp.Navigate(url)) }

// leave does what leads to another page, waits for it and gives its status.
func (b *browser) leave(action chromedp.Action[chromedp.Void]) int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		b.t.Fatalf("in the browser: %v; the page:\n%s", err, b.text())
	}
	return response.Status
}

// click clicks on what a CSS selector finds first, and waits for the page that comes then.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.leave(chromedp.Click(chromedp.CSS(selector)))
}

// eval gives the value of JavaScript in the page.
func eval[T any](b *browser, script string) T {
	b.t.Helper()
	return act(b, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		b.t.Log(err)
	}
	return text
}

func (b *browser) until(what, script string) {
	b.t.Helper()
	waitFor(b.t, what, 30*time.Second, func() bool { return eval[bool](b, script) })
}

// look sets the width of the window in CSS pixels and the colours.
func (b *browser) look(width, height int64, scale float64, scheme string) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale, Mobile: width < 600})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// screenshots takes the page at phone and desktop width, light and dark, and sees that it fits in each.
func (b *browser) screenshots(name string) {
	b.t.Helper()
	for _, shape := range []struct {
		name          string
		width, height int64
		scale         float64
	}{{"phone", 360, 780, 2}, {"desktop", 1280, 1000, 1}} {
		for _, scheme := range []string{"light", "dark"} {
			b.look(shape.width, shape.height, shape.scale, scheme)
			if got := eval[int64](b, `document.documentElement.scrollWidth`); got > shape.width {
				b.t.Errorf("%s on a %s: the page is %d pixels wide, the window %d", name, shape.name, got, shape.width)
			}
			if *screenshotsDir == "" {
				continue
			}
			if err := os.MkdirAll(*screenshotsDir, 0o755); err != nil {
				b.t.Fatal(err)
			}
			picture := act(b, chromedp.FullScreenshot(100))
			if err := os.WriteFile(filepath.Join(*screenshotsDir, name+"-"+shape.name+"-"+scheme+".png"), picture, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
