package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

type failedCommand struct {
	List    failedListCommand    `cmd:"" help:"List them: a table, or with --json events that backfill reads."`
	Retry   failedRetryCommand   `cmd:"" help:"Put them back into the queue."`
	Discard failedDiscardCommand `cmd:"" help:"Drop them from the list. No object is touched."`
}

// failedFilter is what all three have.
type failedFilter struct {
	config.Admin
	Reason    string        `help:"Only those that failed for this reason." group:"Failed"`
	FileID    string        `name:"file-id" help:"Only those of this video." group:"Failed"`
	OlderThan time.Duration `help:"Only those whose last failure is longer ago, e.g. 48h." group:"Failed"`
	NewerThan time.Duration `help:"Only those whose last failure is less long ago." group:"Failed"`
}

// Validate is called when all settings are read.
func (f failedFilter) Validate() error {
	if f.Reason != "" && mirror.Reason(f.Reason).Info().Reason == "" {
		names := make([]string, len(mirror.Reasons))
		for i, r := range mirror.Reasons {
			names[i] = string(r.Reason)
		}
		return fmt.Errorf("there is no reason %q; there are %s", f.Reason, strings.Join(names, ", "))
	}
	if f.OlderThan < 0 || f.NewerThan < 0 {
		return errors.New("--older-than and --newer-than can't be negative")
	}
	return nil
}

func (f failedFilter) letters() mirror.LetterFilter {
	return mirror.LetterFilter{Reason: mirror.Reason(f.Reason), FileID: f.FileID, OlderThan: f.OlderThan, NewerThan: f.NewerThan}
}

type failedListCommand struct {
	failedFilter
	JSON bool `help:"Print each as an event that backfill reads, with what is known of its failure." group:"Failed"`
}

// Run prints the dead letters.
func (c *failedListCommand) Run(a *app) error {
	resp, err := askAdmin(a, c.AdminURL, http.MethodGet, admin.PathFailed, admin.Query(c.letters()), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out := bufio.NewWriter(a.stdout)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	n := 0
	lines := json.NewDecoder(resp.Body)
	for {
		var l mirror.Letter
		err := lines.Decode(&l)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the list from serve: %w", err)
		}
		if n++; n == 1 && !c.JSON {
			fmt.Fprintln(table, "FILE ID\tOFFSET\tDEFINITION\tREASON\tATTEMPTS\tFIRST\tLAST\tERROR")
		}
		if c.JSON {
			line, err := vod.EncodeLetter(l)
			if err != nil {
				return err
			}
			_, _ = out.Write(append(line, '\n'))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", oneLine(l.FileID), l.TimeOffset, l.Definition, l.Reason, l.Attempts,
			l.First.Local().Format(time.DateTime), l.Last.Local().Format(time.DateTime), oneLine(l.Error))
	}
	if err := errors.Join(table.Flush(), out.Flush()); err != nil {
		return fmt.Errorf("writing the list: %w", err)
	}
	if n == 0 && !c.JSON {
		if c.letters() != (mirror.LetterFilter{}) {
			fmt.Fprintln(a.stderr, "no failed snapshots match")
		} else {
			fmt.Fprintln(a.stderr, "no failed snapshots (those that wait for another try are not among them)")
		}
	}
	return nil
}

type failedRetryCommand struct {
	failedFilter
	All bool `help:"All of them." group:"Failed"`
}

// Run puts dead letters back into the queue.
func (c *failedRetryCommand) Run(a *app) error {
	return changeFailed(a, c.failedFilter, c.All, admin.PathRetry, "put back into the queue")
}

type failedDiscardCommand struct {
	failedFilter
	All bool `help:"All of them." group:"Failed"`
}

// Run drops dead letters.
func (c *failedDiscardCommand) Run(a *app) error {
	return changeFailed(a, c.failedFilter, c.All, admin.PathDiscard, "discarded")
}

func changeFailed(a *app, f failedFilter, all bool, path, done string) error {
	if !all && f.letters() == (mirror.LetterFilter{}) {
		return usageError(errors.New("which ones?"), "give --reason, --file-id, --older-than or --newer-than, or --all")
	}
	query := admin.Query(f.letters())
	query.Set("all", fmt.Sprint(all))
	resp, err := askAdmin(a, f.AdminURL, http.MethodPost, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var count admin.Count
	if err := json.NewDecoder(resp.Body).Decode(&count); err != nil {
		return fmt.Errorf("reading serve's answer: %w", err)
	}
	fmt.Fprintf(a.stdout, "%s %s\n", humanize.Comma(int64(count.Count)), done)
	return nil
}

// askAdmin asks a running serve. Any answer but 200 is an error; the caller closes the body.
func askAdmin(a *app, base, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	target, err := url.Parse(base)
	if err != nil || target.Host == "" {
		return nil, usageError(fmt.Errorf("--admin-url is %q", base), "write it like http://127.0.0.1:9090")
	}
	target = target.JoinPath(path)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(a.ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if a.ctx.Err() != nil {
			return nil, a.ctx.Err()
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, &exitError{exitCannotRun, fmt.Errorf("asking serve at %s: %w", base, err), "is serve running here? --admin-url names its --admin-listen"}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	var count admin.Count
	if json.Unmarshal(text, &count) == nil && count.Error != "" {
		text = []byte(count.Error)
		if count.Count > 0 {
			text = fmt.Appendf(nil, "after %d were done: %s", count.Count, count.Error)
		}
	}
	hint := ""
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden {
		hint = "--admin-url must name serve's --admin-listen, from the same machine"
	}
	return nil, &exitError{exitCannotRun, &statusError{resp.StatusCode, fmt.Sprintf("serve at %s answers %s: %s", base, resp.Status, strings.TrimSpace(string(text)))}, hint}
}

// statusError is an answer of serve other than 200.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }
