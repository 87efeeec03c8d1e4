package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Bounds of a form.
const (
	maxForm       = 64 << 10
	changeTimeout = 25 * time.Second
)

// failed shows the dead letters of one reason.
func (p *pages) failed(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	reason := mirror.Reason(query.Get("reason"))
	if reason.Info().Reason == "" {
		v := p.view(r, "No such reason")
		v.Problem = "There is no such reason."
		p.render(w, http.StatusNotFound, "message.html", v)
		return
	}
	v := p.view(r, "Failed: "+string(reason))
	g := v.Dead.group(reason)
	v.Group, v.Done = &g, doneOf(query)
	p.render(w, http.StatusOK, "failed.html", v)
}

// order is what a form asks for.
type order struct {
	retry   bool
	filters []mirror.LetterFilter
	back    url.Values // which page it came from
	path    string
}

// parseOrder is strict: what is not understood must not become something else. A form's button is called retry or discard; its
// value is "all" (of the reason), "selected" (the ids that are ticked) or one id.
func parseOrder(form url.Values) (o order, err error) {
	reason := mirror.Reason(form.Get("reason"))
	fileID, err := url.QueryUnescape(form.Get("file")) // a form can't carry all characters
	switch {
	case err != nil:
		return o, errors.New("that is no FileId")
	case reason != "" && reason.Info().Reason == "":
		return o, errors.New("there is no such reason")
	case reason != "":
		o.path, o.back = "/failed", url.Values{"reason": {string(reason)}}
	case fileID != "" && len(fileID) <= maxFileID:
		o.path, o.back = "/file", url.Values{"id": {fileID}}
	default:
		return o, errors.New("neither a reason nor a FileId is given")
	}
	what := append(form["retry"], form["discard"]...)
	if len(what) != 1 {
		return o, errors.New("one thing at a time")
	}
	o.retry = len(form["retry"]) == 1
	ids := what
	switch what[0] {
	case "all":
		o.filters = []mirror.LetterFilter{{Reason: reason, FileID: fileID}}
		return o, nil
	case "selected":
		ids = form["id"]
	}
	if len(ids) == 0 || len(ids) > len(mirror.Reasons)*deadShown {
		return o, errors.New("nothing is selected")
	}
	for _, id := range ids {
		if id == "" || strings.Trim(id, idCharacters) != "" {
			return o, errors.New("that is no failed snapshot's id")
		}
		o.filters = append(o.filters, mirror.LetterFilter{ID: id})
	}
	return o, nil
}

// change retries or discards. What takes long is done in part, and says so.
func (p *pages) change(w http.ResponseWriter, r *http.Request) {
	setDeadline(w, time.Now().Add(changeTimeout+publicTimeout))
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	refuse := func(status int, problem string) {
		v := p.view(r, "Not done")
		v.Problem = problem
		p.render(w, status, "message.html", v)
	}
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "That form can't be read. Nothing was done.")
		return
	}
	if !same(r.PostForm.Get("token"), p.token) {
		refuse(http.StatusForbidden, "That page is from before a restart, or of another process. Nothing was done: load it again.")
		return
	}
	o, err := parseOrder(r.PostForm)
	if err != nil {
		refuse(http.StatusBadRequest, "Nothing was done: "+err.Error()+".")
		return
	}
	letters := p.o.Letters()
	if letters == nil {
		refuse(http.StatusServiceUnavailable, "Nothing was done: the queue is being opened.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	done := 0
	for _, f := range o.filters {
		var n int
		if o.retry {
			n, err = letters.Retry(ctx, f)
		} else {
			n, err = letters.Discard(ctx, f)
		}
		if done += n; err != nil {
			break
		}
	}
	p.dead.forget()
	p.now.forget()
	if err != nil && ctx.Err() == nil {
		refuse(http.StatusServiceUnavailable, comma(done)+" were done, then: "+show(err.Error())+".")
		return
	}
	name := "discarded"
	if o.retry {
		name = "retried"
	}
	o.back.Set(name, strconv.Itoa(done))
	if err != nil {
		o.back.Set("more", "true")
	}
	http.Redirect(w, r, o.path+"?"+o.back.Encode(), http.StatusSeeOther)
}

// doneOf says what a form has done, of which the address tells in numbers alone.
func doneOf(query url.Values) (text string) {
	for name, done := range map[string]string{"retried": "put back into the queue", "discarded": "discarded"} {
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 0 {
			continue
		}
		text = many(n, "snapshot was ", "snapshots were ") + done + "."
		if query.Get("more") == "true" {
			text += " The time was up: press the button again for the rest."
		}
	}
	return text
}
