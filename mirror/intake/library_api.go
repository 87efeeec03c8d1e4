package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// count finds out how many media there are: it halves the time until each part has fewer than a search counts. It gives up
// quietly when it can't, or when a single second has more: then there is no total.
func (l *Library) count(ctx context.Context) {
	exact := true
	var count func(after, before time.Time) error
	count = func(after, before time.Time) error {
		_, total, err := l.search(ctx, vod.Search{After: after, Before: before, Limit: 1})
		if err != nil {
			return err
		}
		if total < vod.SearchReach || after.Equal(before) {
			exact = exact && total < vod.SearchReach
			l.media.Add(int64(total))
			return nil
		}
		middle := after.Add(before.Sub(after) / 2).Truncate(time.Second)
		if err := count(after, middle); err != nil {
			return err
		}
		return count(middle.Add(time.Second), before)
	}
	if err := count(l.Since, l.Until); err == nil {
		l.exact.Store(exact)
	}
}

func (l *Library) search(ctx context.Context, s vod.Search) (page []vod.Media, total int, _ error) {
	err := l.patiently(ctx, func() (err error) {
		page, total, err = l.API.SearchMedia(ctx, s)
		return err
	})
	return page, total, err
}

// patience is how long a call that fails for a passing reason is repeated.
const patience = 5 * time.Minute

// patiently repeats a call that fails for a reason that may pass.
func (l *Library) patiently(ctx context.Context, call func() error) error {
	var since time.Time
	for failures := 1; ; failures++ {
		err := call()
		if err == nil {
			if !since.IsZero() {
				l.Log.Info("VOD answers again")
			}
			return nil
		}
		e, ok := errors.AsType[*vod.APIError](err)
		if !ok || (e.Kind != vod.Throttled && e.Kind != vod.Unavailable) {
			return listing(ctx, err)
		}
		if since.IsZero() {
			since = time.Now()
			l.Log.Warn("listing media fails: it is tried again", "err", err)
		} else if time.Since(since) > patience {
			return listing(ctx, err)
		}
		sleep(ctx, pullBackoff(err, failures))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func listing(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("listing media: %w", err)
}
