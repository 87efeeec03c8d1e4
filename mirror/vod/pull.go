package vod

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// The actions of the reliable callback. Source: Tencent Cloud VOD documentation, product 266, pages 33433 and 33434.
const (
	actionPull    = "PullEvents"
	actionConfirm = "ConfirmEvents"
	actionState   = "DescribeEventsState"
)

// MaxHandles is how many events one call pulls, and confirms, at most.
const MaxHandles = 16

// PulledFor is how long a pulled event stays with its puller; unless it is confirmed by then, it comes back.
const PulledFor = 30 * time.Second

// Pulled is an event of the reliable callback, to be decoded and, when it is safe, confirmed.
type Pulled struct {
	Handle string // for ConfirmEvents, good for PulledFor
	Text   []byte // JSON, as [Decode] reads it
}

// PullEvents waits up to 5 s for events and takes up to MaxHandles of them; none is no error.
func (a *API) PullEvents(ctx context.Context) ([]Pulled, error) {
	var answer struct{ EventSet []json.RawMessage }
	err := a.call(ctx, actionPull, map[string]any{}, &answer)
	if e, ok := errors.AsType[*APIError](err); ok && e.Code == "ResourceNotFound" && e.Message == "no event" {
		return nil, nil // this is how VOD says that there are none
	}
	if err != nil {
		return nil, err
	}
	events := make([]Pulled, 0, len(answer.EventSet))
	for _, event := range answer.EventSet {
		var of struct{ EventHandle text }
		if err := json.Unmarshal(event, &of); err != nil || of.EventHandle == "" {
			return nil, &APIError{Action: actionPull, Kind: Misunderstood, Message: "an event without an EventHandle"}
		}
		events = append(events, Pulled{string(of.EventHandle), event})
	}
	return events, nil
}

// ConfirmEvents takes up to MaxHandles events out of VOD's queue, for everybody. Handles older than PulledFor are refused.
func (a *API) ConfirmEvents(ctx context.Context, handles []string) error {
	return a.call(ctx, actionConfirm, map[string]any{"EventHandles": handles}, &struct{}{})
}

// EventsState says how many events wait to be pulled, as VOD counted some seconds to minutes ago.
func (a *API) EventsState(ctx context.Context) (waiting int64, _ error) {
	var answer struct{ CountOfEventsToPull int64 }
	err := a.call(ctx, actionState, map[string]any{}, &answer)
	return answer.CountOfEventsToPull, err
}
