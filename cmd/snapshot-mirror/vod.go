package main

import (
	"context"
	"fmt"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// newAPI makes the client of VOD's API that the settings describe. It asks VOD nothing yet.
func (a *app) newAPI(c config.VOD, rate float64) (*vod.API, error) {
	credentials, err := vod.FindCredentials(a.ctx, a.lookup)
	if err != nil {
		return nil, &exitError{exitCannotRun, err, "set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or write ~/.tencentcloud/credentials, or give this machine or pod a role"}
	}
	api, err := vod.NewAPI(vod.APIOptions{
		Endpoint: c.VODEndpoint, SubAppID: c.VODSubAppID, Credentials: credentials, Rate: rate, UserAgent: "snapshot-mirror " + version(),
	})
	if err != nil {
		return nil, usageError(fmt.Errorf("--vod-endpoint: %w", err), "write it like vod.tencentcloudapi.com")
	}
	return api, nil
}

// searchOnce makes the smallest search and says how many media there are.
func searchOnce(ctx context.Context, api *vod.API) (string, error) {
	_, total, err := api.SearchMedia(ctx, vod.Search{After: time.Unix(0, 0), Before: time.Now(), Limit: 1})
	if total >= vod.SearchReach {
		return fmt.Sprintf("%d media or more", total), err
	}
	return fmt.Sprintf("%d media", total), err
}
