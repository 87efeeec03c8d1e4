package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Add puts the snapshots of an event into the queue. When it returns nil, every one of them is on disk (in a cluster: with a
// majority of its replicas), or was queued before. After an error, some may be queued; adding them again does no harm.
func (q *Queue) Add(ctx context.Context, snapshots []mirror.Snapshot) error {
	parts, err := bundles(snapshots)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := q.server.writable(MinFree); err != nil {
			return fmt.Errorf("queueing snapshots: %w", err)
		}
		begin := time.Now()
		if _, err := q.publish(ctx, q.events, q.subject(kindEvent, part.id), part.data); err != nil {
			if ctx.Err() == nil || time.Since(begin) > slow { // else the caller had no time left, for reasons of its own
				q.health.failed()
			}
			return fmt.Errorf("queueing snapshots: %w", err)
		}
	}
	q.health.worked()
	return nil
}

// slow is how long a healthy server never takes for one message.
const slow = time.Second

// publish returns when the message is stored, or, with stored false, when one with its subject was there before, in a stream that
// keeps the first.
func (q *Queue) publish(ctx context.Context, stream jetstream.Stream, subject string, data []byte) (stored bool, _ error) {
	if err := q.server.writable(reserve); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		_, err := q.js.Publish(ctx, subject, data)
		if err := q.judge(err); !errors.Is(err, errThere) {
			return err == nil, err
		}
		if there, err := q.isStored(ctx, stream, subject); there || err != nil {
			return false, err
		}
		select {
		case <-time.After(proposalPause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// proposalPause is between two looks at a message that a cluster has not agreed on yet.
const proposalPause = 20 * time.Millisecond

// isStored says whether what made another message a duplicate is stored. The leader of a cluster counts what it has proposed,
// which may never find a majority.
func (q *Queue) isStored(ctx context.Context, stream jetstream.Stream, subject string) (bool, error) {
	if !q.server.replicated() {
		return true, nil
	}
	_, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

var errNoConnection = errors.New("no connection to NATS")

// errThere says that a message with this subject was there before.
var errThere = errors.New("it is there already")

// The server answers with one code for everything that storing can run into: the words alone tell a full disk from a message
// that is there already.
const (
	storeFailed      = 10077
	subjectIsThere   = "maximum messages per subject exceeded"
	storeIsFull      = "maximum bytes exceeded"
	storeHasTooMany  = "maximum messages exceeded"
	accountExhausted = 10002 // resource limits of the account
	serverExhausted  = 10023 // and of the server
)

// judge gives errThere for what is there already, and tells the server of storage that failed.
func (q *Queue) judge(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return errNoConnection // what the client calls its buffer, which we don't have
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != storeFailed {
		return err
	}
	switch api.Description {
	case subjectIsThere:
		return errThere
	case storeIsFull, storeHasTooMany:
		return errors.New("the queue is full: " + api.Description)
	}
	err = errors.New("the queue's storage failed: " + api.Description)
	q.server.broken(err)
	return err
}
