package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

type checkCommand struct {
	config.Destination
	config.VOD
	config.Pull
	JSON bool `help:"Write each finding as a line of JSON." group:"Check"`
}

// finding is a line of the check.
type finding struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Value string `json:"value"`
	Hint  string `json:"hint,omitempty"`
}

// Run looks at everything, whatever fails, and ends with an error code if something does.
func (c *checkCommand) Run(a *app) error {
	failed := false
	if !c.JSON {
		probe := "one small object, " + store.ProbeKey
		if c.To.Bucket == "" {
			probe = "one small file, .snapshot-mirror/probe"
		}
		fmt.Fprintf(a.stdout, "Looking at %s, which gets %s, overwritten each time.\n", c.To, probe)
	}
	tell := func(f finding) {
		failed = failed || !f.OK
		f.Value, f.Hint = oneLine(f.Value), oneLine(f.Hint)
		c.print(a, f)
	}
	c.checkDestination(a, tell)
	if c.usesVOD(a) {
		c.checkVOD(a, tell)
	} else {
		tell(finding{What: "vod", OK: true, Value: "not looked at: there are neither TENCENTCLOUD_SECRET_ID nor --pull nor --vod-sub-app-id"})
	}
	if a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	if failed {
		return &exitError{code: exitCannotRun}
	}
	return nil
}

func (c *checkCommand) print(a *app, f finding) {
	if c.JSON {
		_ = json.NewEncoder(a.stdout).Encode(f)
		return
	}
	word := "ok  "
	if !f.OK {
		word = "FAIL"
	}
	fmt.Fprintf(a.stdout, "%s  %s: %s\n", word, f.What, f.Value)
	if f.Hint != "" {
		fmt.Fprintf(a.stdout, "      hint: %s\n", f.Hint)
	}
}

// checkDestination tries out what the destination can do. It writes one object, the store's probe.
func (c *checkCommand) checkDestination(a *app, tell func(finding)) {
	const what = "destination"
	dest, end, err := a.destinationFor(c.Destination, 1, false)
	if err != nil {
		tell(finding{What: what, Value: err.Error(), Hint: hintFrom(err, hintOf(err))})
		return
	}
	defer func() { _ = end() }()
	findings, err := dest.Probe(a.ctx)
	for _, f := range findings {
		tell(finding{What: what + " " + f.Name, OK: f.OK, Value: f.Value, Hint: f.Hint})
	}
	if n := len(findings); err != nil && (n == 0 || findings[n-1].OK) {
		tell(finding{What: what, Value: err.Error(), Hint: hintOf(err)})
	}
}

func (c *checkCommand) usesVOD(a *app) bool {
	return c.Pull.Pull || c.VODSubAppID != 0 || a.lookup("TENCENTCLOUD_SECRET_ID") != "" || c.VODEndpoint != vod.DefaultEndpoint
}

// checkVOD calls what backfill --from-vod and serve --pull call, as far as that takes nothing from anybody.
func (c *checkCommand) checkVOD(a *app, tell func(finding)) {
	api, err := a.newAPI(c.VOD, 0)
	if err != nil {
		tell(finding{What: "vod credentials", Value: err.Error(), Hint: hintFrom(err, "")})
		return
	}
	for _, step := range []struct {
		what string
		need bool
		call func(context.Context) (string, error)
	}{
		{"vod SearchMedia", true, func(ctx context.Context) (string, error) { return searchOnce(ctx, api) }},
		{"vod DescribeEventsState", c.Pull.Pull, func(ctx context.Context) (string, error) {
			n, err := api.EventsState(ctx)
			return fmt.Sprintf("about %d events wait to be pulled", n), err
		}},
		{"vod ConfirmEvents", c.Pull.Pull, func(ctx context.Context) (string, error) { return confirmNothing(ctx, api) }},
	} {
		if !step.need {
			continue
		}
		value, err := step.call(a.ctx)
		if err == nil {
			tell(finding{What: step.what, OK: true, Value: value})
			continue
		}
		tell(finding{What: step.what, Value: err.Error(), Hint: hintOf(err)})
		if e, ok := errors.AsType[*vod.APIError](err); !ok || !strings.HasPrefix(e.Code, "UnauthorizedOperation") {
			return // the others would fail alike
		}
	}
	if c.Pull.Pull {
		tell(finding{What: "vod PullEvents", OK: true, Value: "not tried: it would keep events from a running serve for half a minute"})
	}
}

// confirmNothing finds out whether events may be confirmed, with a handle that nobody has.
func confirmNothing(ctx context.Context, api *vod.API) (string, error) {
	err := api.ConfirmEvents(ctx, []string{"snapshot-mirror-check"})
	if e, ok := errors.AsType[*vod.APIError](err); ok && e.Kind == vod.Refused {
		err = nil
	}
	return "allowed", err
}
