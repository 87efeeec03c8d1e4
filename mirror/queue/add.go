package queue

import (
	"context"
	"errors"
	"fmt"

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
		if err := q.publish(ctx, q.subject(kindEvent, part.id), part.data); err != nil {
			q.health.failed()
			return fmt.Errorf("queueing snapshots: %w", err)
		}
	}
	q.health.worked()
	return nil
}

// publish returns nil when the message is stored, or is there already in a stream that keeps the first.
func (q *Queue) publish(ctx context.Context, subject string, data []byte) error {
	if err := q.server.writable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := q.js.Publish(ctx, subject, data)
	return q.judge(err)
}

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

// judge gives nil for what is there already, and tells the server of storage that failed.
func (q *Queue) judge(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != storeFailed {
		return err
	}
	switch api.Description {
	case subjectIsThere:
		return nil
	case storeIsFull, storeHasTooMany:
		return errors.New("the queue is full: " + api.Description)
	}
	err = errors.New("the queue's storage failed: " + api.Description)
	q.server.broken(err)
	return err
}
