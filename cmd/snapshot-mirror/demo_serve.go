package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/cmd/snapshot-mirror/internal/demo"
	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
)

// The pace of the demo: a few events at once, so that there is something to see, and then a trickle.
const (
	demoBurst = 6
	demoPause = 3 * time.Second
	// demoLateness is until when some pictures are missing: from then on, retrying them helps.
	demoLateness = 2 * time.Minute
)

// serve keeps the real serve running on an origin whose events never end, until a signal.
func (c *demoCommand) serve(a *app) error {
	stream, err := demo.StartStream(demoLateness)
	if err != nil {
		return err
	}
	defer stream.Close()
	dataDir := c.DataDir
	if dataDir == "" {
		if dataDir, err = os.MkdirTemp("", "snapshot-mirror-demo-"); err != nil {
			return fmt.Errorf("making a directory for the queue: %w", err)
		}
		defer os.RemoveAll(dataDir)
	}
	serve := serveCommand{
		Destination: c.Destination,
		Source: config.Source{
			Concurrency: 4, MaxImageSize: mirror.DefaultMaxImageSize, BytesInFlight: mirror.DefaultBytesInFlight,
			SourceRetries: 1, IdleTimeout: 5 * time.Second, AllowPrivateSources: true,
		},
		Callback: config.Callback{Listen: "127.0.0.1:0", CallbackPath: "/callback", MaxEventSize: 1 << 20},
		Queue: config.Queue{
			DataDir: dataDir, NATS: config.NATS{QueueName: queue.DefaultName}, RetryMin: 2 * time.Second, RetryMax: 8 * time.Second, GiveUpAfter: 15 * time.Second,
		},
		Serve: config.Serve{AdminListen: "127.0.0.1:0", Drain: 5 * time.Second},
		started: func(callback, page string) {
			fmt.Fprintf(a.stdout, "snapshot-mirror serves with pictures out of nowhere; some of them make trouble on purpose. They go to %s.\n", c.To)
			fmt.Fprintf(a.stdout, "Look at it: %s\nEnd it with Ctrl-C.\n", page)
			go trickle(a.ctx, stream, callback)
		},
	}
	return serve.Run(a)
}

// trickle posts events until ctx ends. What is not taken is announced again in the next round.
func trickle(ctx context.Context, stream *demo.Stream, callback string) {
	for n := 0; ctx.Err() == nil; n++ {
		event, err := stream.Next()
		if err != nil {
			return
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, callback, bytes.NewReader(event))
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
		if n < demoBurst {
			continue
		}
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
		}
	}
}
