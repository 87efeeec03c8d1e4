package intake

import (
	"bytes"
	"context"
	"errors"

	"golang.org/x/sync/semaphore"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// decoder decodes events under one budget of bytes for all of them together.
type decoder struct{ budget *semaphore.Weighted }

// An array's element of three bytes can become a snapshot, or an error, of some hundred. An event that would need the whole
// budget has 200,000 commas, which is 60,000 pictures.
const (
	decodedBudget   = 128 << 20
	decodedPerComma = 512
	decodedCopies   = 4 // of the text, while a nested shape is read layer by layer
)

func newDecoder() *decoder { return &decoder{semaphore.NewWeighted(decodedBudget)} }

// decode waits for memory and gives the event, or why it is none, or the context's error. What it is made of is accounted for
// until free is called.
func (d *decoder) decode(ctx context.Context, text []byte) (_ vod.Event, free func(), _ error) {
	size := int64(decodedCopies*len(text) + decodedPerComma*bytes.Count(text, []byte(",")))
	if size > decodedBudget {
		return vod.Event{}, func() {}, errors.New("the event has too many items")
	}
	if err := d.budget.Acquire(ctx, size); err != nil {
		return vod.Event{}, func() {}, err
	}
	event, err := vod.Decode(text)
	return event, func() { d.budget.Release(size) }, err
}
