package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

//go:embed templates assets
var files embed.FS

// pages is the status page: what `serve` does, the latest pictures, the pictures of a video, and what failed. It is HTML from
// here; the little script only brings it up to date.
type pages struct {
	o       Options
	access  access
	html    *template.Template
	assets  map[string]asset // by path
	token   string           // proves that a form came from a page of ours
	now     kept[standing]
	dead    kept[census]
	reading *semaphore.Weighted
	sheets  *semaphore.Weighted
	started time.Time
}

// standing is how the queue and the destination are.
type standing struct {
	State
	NotReady string // why no event can be taken, or ""
	Err      string // why nothing is known of the queue, or ""
}

func newPages(o Options, a access) *pages {
	p := &pages{
		o: o, access: a, token: rand.Text(), assets: readAssets(), started: time.Now().UTC(),
		reading: semaphore.NewWeighted(picturesAtOnce), sheets: semaphore.NewWeighted(sheetsAtOnce),
	}
	p.now = kept[standing]{fresh: time.Second, get: p.stand}
	p.dead = kept[census]{fresh: 5 * time.Second, get: func(ctx context.Context) census {
		return takeCensus(ctx, o.Letters(), mirror.LetterFilter{})
	}}
	p.html = template.Must(template.New("").Funcs(template.FuncMap{
		"show": show, "ago": ago, "many": many[int], "number": number, "asset": p.assetPath, "sentence": sentence, "query": url.QueryEscape, "words": strings.Fields, "offset": offset,
		"add":  func(a, b float64) float64 { return a + b },
		"less": func(n int) int { return n - 1 },
		"more": func(n int) int { return n + 1 },
		// Templates take one value.
		"rows":      func(v *view, rows []row) letterRows { return letterRows{v, rows} },
		"groupform": func(v *view, g group) groupForm { return groupForm{v.Token, g} },
	}).ParseFS(files, "templates/*.html"))
	return p
}

// handler serves the page to those who may look, and its forms to those who may change something.
func (p *pages) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.status)
	mux.HandleFunc("GET /live", p.live)
	mux.HandleFunc("GET /file", p.file)
	mux.HandleFunc("GET /failed", p.failed)
	mux.HandleFunc("GET /picture", p.picture)
	mux.HandleFunc("GET /assets/{name}", p.asset)
	mux.Handle("POST /failed", p.access.require(change, http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.change))))
	return p.access.require(look, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range pageHeaders {
			w.Header().Set(name, value)
		}
		mux.ServeHTTP(w, r)
	}))
}

// pageHeaders go with every page. The referrer policy keeps addresses from other sites; "no-referrer" would make browsers send
// forms with the origin "null", which is what a stranger's form looks like.
var pageHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"Referrer-Policy":              "same-origin",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cache-Control":                "no-store",
}

// view is what templates show.
type view struct {
	Title             string
	Version, To       string
	Started           time.Time
	MayChange         bool
	Token             string
	Level, Word, Line string // the state in one line
	Queue             standing
	Dead              census
	Plots             []plot
	Latest            []stored
	Sheet             *sheet
	Group             *group
	Done              string // what a form has done
	Problem           string
}

func (p *pages) view(r *http.Request, title string) *view {
	v := &view{Title: title, Version: p.o.Version, To: show(p.o.To), Started: p.started}
	if v.MayChange = p.access.of(r) >= change; v.MayChange {
		v.Token = p.token
	}
	var ok bool
	if v.Queue, ok = p.now.now(r.Context()); !ok {
		v.Queue.Err = "no answer"
	}
	if v.Dead, ok = p.dead.now(r.Context()); !ok {
		v.Dead.Err = "no answer"
	}
	minutes, latest := p.o.History.look()
	v.Level, v.Word, v.Line = v.Queue.line(minutes[len(minutes)-2:])
	v.Latest = latest
	var sum tally
	for _, m := range minutes {
		sum.Mirrored, sum.Skipped, sum.Failed, sum.Bytes = sum.Mirrored+m.Mirrored, sum.Skipped+m.Skipped, sum.Failed+m.Failed, sum.Bytes+m.Bytes
	}
	mirrored := many(sum.Mirrored, "picture", "pictures") + " mirrored, " + size(sum.Bytes)
	if sum.Skipped > 0 {
		mirrored += "; " + comma(sum.Skipped) + " were there already"
	}
	v.Plots = []plot{
		newPlot("Mirrored", "good", mirrored, minutes, func(t tally) int { return t.Mirrored }),
		newPlot("Failed tries", "bad", many(sum.Failed, "try", "tries")+" failed", minutes, func(t tally) int { return t.Failed }),
	}
	return v
}

// letterRows are failed snapshots on a page.
type letterRows struct {
	*view
	Rows []row
}

// groupForm is a form for a reason.
type groupForm struct {
	Token string
	Of    group
}

// stand asks the queue.
func (p *pages) stand(ctx context.Context) (s standing) {
	if err := p.o.Ready(ctx); err != nil {
		s.NotReady = show(err.Error())
	}
	var err error
	if s.State, err = p.o.State(ctx); err != nil {
		s.Err = show(err.Error())
	}
	return s
}

// line says in one line how it goes, the most important thing alone; before it in a word, and as a level: ok, busy, wait or bad.
func (s standing) line(last []tally) (level, word, line string) {
	todo := s.Ready + s.InFlight
	switch {
	case s.Err != "":
		return "bad", "Trouble", "Nothing is known of the queue: " + s.Err + "."
	case s.NotReady != "":
		return "bad", "Trouble", "No events can be taken now: " + s.NotReady + "."
	case !s.StoreWorks && todo+s.Delayed > 0:
		return "bad", "Trouble", "The destination takes no pictures; " + many(todo+s.Delayed, "snapshot waits", "snapshots wait") + " for it."
	case !s.StoreWorks:
		return "bad", "Trouble", "The destination takes no pictures."
	case todo > 0 || s.Events > 0:
		rate := 0
		for _, m := range last {
			rate = max(rate, m.Mirrored+m.Skipped)
		}
		line = "Mirroring: " + many(todo, "snapshot", "snapshots") + " to go"
		if s.Events > 0 {
			line += " and " + many(s.Events, "more event", "more events")
		}
		if rate > 0 {
			line += ", at " + comma(rate) + " a minute"
		}
		return "busy", "Busy", line + "."
	case s.Delayed > 0:
		return "wait", "Waiting", many(s.Delayed, "snapshot failed and waits", "snapshots failed and wait") + " for another try; all others are mirrored."
	case s.Dead > 0:
		return "wait", "Attention", "Done, except for " + many(s.Dead, "snapshot that has", "snapshots that have") + " failed for good."
	}
	return "ok", "Fine", "All done: everything that was announced is mirrored."
}

// OldestAge says how long something has been queued.
func (s standing) OldestAge() string {
	if s.Oldest.IsZero() {
		return "none"
	}
	return age(time.Since(s.Oldest))
}

func (p *pages) status(w http.ResponseWriter, r *http.Request) {
	v := p.view(r, "Status")
	p.render(w, http.StatusOK, "status.html", v)
}

// live is what the script brings up to date.
func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	p.render(w, http.StatusOK, "live", p.view(r, ""))
}

// render sends a page whole or not at all.
func (p *pages) render(w http.ResponseWriter, status int, name string, v *view) {
	var out bytes.Buffer
	if err := p.html.ExecuteTemplate(&out, name, v); err != nil {
		http.Error(w, "the page can't be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// asset is a file that goes with pages. Its address changes with its content, so that browsers may keep it.
type asset struct {
	address, kind string
	body          []byte
}

func readAssets() map[string]asset {
	assets := map[string]asset{}
	names, err := fs.Glob(files, "assets/*")
	if err != nil {
		panic(err)
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for _, name := range names {
		body, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		assets[path.Base(name)] = asset{fmt.Sprintf("/%s?%s", name, hex.EncodeToString(sum[:6])), kinds[path.Ext(name)], body}
	}
	return assets
}

func (p *pages) assetPath(name string) (string, error) {
	a, ok := p.assets[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return a.address, nil
}

func (p *pages) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "private, max-age=86400")
	_, _ = w.Write(a.body)
}
