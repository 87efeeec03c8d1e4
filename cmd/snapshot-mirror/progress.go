package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// progress shows how far a batch is: a bar on a terminal, else a log line every 10 s.
type progress struct {
	total               func() (n int64, exact bool) // see source.Total
	begin               time.Time
	done, failed, bytes atomic.Int64
	stop                func()
}

func newProgress(a *app, kind string, total func() (int64, bool)) *progress {
	p := &progress{total: total, begin: time.Now(), stop: func() {}}
	if kind == "auto" {
		kind = "log"
		if file, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			kind = "bar"
		}
	}
	switch kind {
	case "bar":
		p.showBar(a)
	case "log":
		p.logOn(a)
	}
	return p
}

func (p *progress) add(r mirror.Result) {
	p.done.Add(1)
	p.bytes.Add(r.Bytes)
	if r.Outcome == mirror.Failed || r.Outcome == mirror.Wrong {
		p.failed.Add(1)
	}
}

// left is the time that the rest will take at the average speed, or 0 when that can't be said.
func (p *progress) left() time.Duration {
	total, _ := p.total()
	done := p.done.Load()
	if total < done || done == 0 {
		return 0
	}
	return time.Duration(float64(time.Since(p.begin)) / float64(done) * float64(total-done)).Round(time.Second)
}

// rate is the average in bytes per second.
func (p *progress) rate() float64 { return float64(p.bytes.Load()) / time.Since(p.begin).Seconds() }

func (p *progress) text() string {
	done, failed := p.done.Load(), p.failed.Load()
	of := ""
	if total, exact := p.total(); exact {
		of = fmt.Sprintf("/%d", total)
	} else if total >= 0 {
		of = fmt.Sprintf("/~%d", total)
	}
	return fmt.Sprintf("%d%s done, %d failed, %.1f MB/s", done, of, failed, p.rate()/1e6)
}

func (p *progress) showBar(a *app) {
	bars := mpb.New(mpb.WithOutput(a.stderr), mpb.WithAutoRefresh(), mpb.WithWidth(40))
	bar := bars.AddBar(0,
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.text() + " " })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			if left := p.left(); left > 0 {
				return " ETA " + left.String()
			}
			return ""
		})),
	)
	a.logTo.to(bars) // lines appear above the bar
	ended := p.every(200*time.Millisecond, func() {
		total, _ := p.total()
		bar.SetTotal(max(total, p.done.Load()+1), false)
		bar.SetCurrent(p.done.Load())
	})
	p.stop = sync.OnceFunc(func() {
		ended()
		bar.SetCurrent(p.done.Load())
		bar.SetTotal(p.done.Load(), true)
		bar.Abort(false)
		a.logTo.to(a.stderr)
		bars.Wait()
	})
}

func (p *progress) logOn(a *app) {
	p.stop = sync.OnceFunc(p.every(logInterval, func() {
		total, exact := p.total()
		a.log.Info("progress", "done", p.done.Load(), "failed", p.failed.Load(), "total", total, "exact", exact,
			"rate", humanize.Bytes(uint64(p.rate()))+"/s", "left", p.left())
	}))
}

// every calls f at intervals until the function that it returns is called.
func (p *progress) every(interval time.Duration, f func()) (end func()) {
	ticker := time.NewTicker(interval)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}
