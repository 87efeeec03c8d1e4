package mirror

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sync/semaphore"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Pictures is what a Verifier looks through. Its methods are safe for concurrent use; errors are as those of [Store].
type Pictures interface {
	// Head tells what is recorded about an object, or an error that wraps store.ErrNotFound.
	Head(ctx context.Context, key string) (store.Info, error)
	// Open begins to read an object, or gives an error that wraps store.ErrNotFound. ctx must live until the reading is done.
	Open(ctx context.Context, key string) (*store.Reading, error)
}

// VerifyOptions say how close a Verifier looks, and what it does then. The zero value asks for what is recorded of each object,
// which proves nothing about bytes that were changed behind the record.
type VerifyOptions struct {
	// Read reads each object, and holds it against its recorded checksum and the form of a picture.
	Read bool
	// Source fetches each picture from its origin again, and compares it with the object byte by byte.
	Source bool
	// Repair mirrors what is wrong, as [Findings] says, where an event is at hand.
	Repair bool
}

// Verifier looks whether pictures are in the store, whole. It never removes anything. It is safe for concurrent use.
type Verifier struct {
	worker   *Worker
	pictures Pictures
	options  VerifyOptions
	part     *semaphore.Weighted // of the memory for pictures, for objects that are read
}

// NewVerifier makes a Verifier that fetches, repairs and bounds memory as the worker does, whose store must be that of pictures.
func NewVerifier(w *Worker, p Pictures, o VerifyOptions) *Verifier {
	return &Verifier{w, p, o, semaphore.NewWeighted(w.options.BytesInFlight)}
}

// Verify looks for the picture of one snapshot. Found says what there is; the outcome is Right or Wrong, or after a repair Mirrored
// or Skipped (somebody else has been faster), or Failed when store or origin kept it from looking or repairing. The error is as
// that of [Worker.Mirror].
func (v *Verifier) Verify(ctx context.Context, s Snapshot) (Result, error) {
	return v.worker.attempt(ctx, Result{Snapshot: s}, func(r *Result) error {
		var err error
		if r.Key, err = v.worker.keyOf(s); err != nil {
			return err
		}
		if err := v.verify(ctx, r, &s); err != nil || r.Outcome == Right || !v.options.Repair {
			return err
		}
		switch how := r.Found.Info().Repair; how {
		case RepairMirrors, RepairReplaces:
			r.Err, r.Bytes = nil, 0
			return v.worker.mirror(ctx, s, r, how == RepairReplaces)
		}
		return nil
	})
}

// VerifyKey holds the object at a key against its own record, from which comes the result's Snapshot. It repairs nothing: the
// record may be what is wrong.
func (v *Verifier) VerifyKey(ctx context.Context, key string) (Result, error) {
	return v.worker.attempt(ctx, Result{Key: key}, func(r *Result) error { return v.verify(ctx, r, nil) })
}

// Batch is Verify for what arrives on source, as [Worker.Batch] is Mirror for it.
func (v *Verifier) Batch(ctx, stop context.Context, source <-chan Snapshot, sink func(Result) error) error {
	return runBatch(ctx, stop, v.worker, v.Verify, source, sink)
}

// BatchKeys is VerifyKey for what arrives on source.
func (v *Verifier) BatchKeys(ctx, stop context.Context, source <-chan string, sink func(Result) error) error {
	return runBatch(ctx, stop, v.worker, v.VerifyKey, source, sink)
}

// verdict is what is found, and why it is wrong.
type verdict struct {
	found Finding
	why   error // nil when it is right
}

// verify fills in what is found at the result's key, of an event or, with nil, of the object's own record.
func (v *Verifier) verify(ctx context.Context, r *Result, event *Snapshot) error {
	is, err := v.find(ctx, r, event)
	if errors.Is(err, store.ErrNotFound) {
		is, err = verdict{Missing, errors.New("there is no such object")}, nil
	}
	if err != nil {
		return err
	}
	r.Found, r.Err, r.Outcome = is.found, is.why, Right
	if is.why != nil {
		r.Outcome = Wrong
	}
	return nil
}

// find goes from what costs least to what costs most, and ends with the first thing that is wrong.
func (v *Verifier) find(ctx context.Context, r *Result, event *Snapshot) (verdict, error) {
	info, err := v.pictures.Head(ctx, r.Key)
	if err != nil {
		return verdict{}, err
	}
	if recorded, ok := Recorded(info); ok && event == nil {
		r.Snapshot = recorded
	}
	is := v.judge(info, r.Key, event)
	switch {
	case is.why != nil && is.found != OtherTask:
	case v.options.Source && is.found != OtherTask: // the origin has the picture of the event's task
		return v.compare(ctx, r, is)
	case v.options.Read:
		return v.read(ctx, r, info.Size, is)
	}
	return is, nil
}

// judge holds what is recorded of an object against its key, its size and the event, unless that is nil.
func (v *Verifier) judge(info store.Info, key string, event *Snapshot) verdict {
	if info.PutSize != 0 {
		return otherSize(info.Size, info.PutSize)
	}
	recorded, ok := Recorded(info)
	if !ok {
		return verdict{Foreign, errors.New("the object carries no record of ours")}
	}
	if !v.belongs(recorded, key) || event != nil && (recorded.FileID != event.FileID || recorded.TimeOffset != event.TimeOffset) {
		return verdict{Swapped, fmt.Errorf("the object's record is of file id %q, time offset %s, definition %d",
			clip(recorded.FileID, maxIDBytes), recorded.TimeOffset, recorded.Definition)}
	}
	if event != nil && recorded.Definition != event.Definition {
		return verdict{OtherDefinition, fmt.Errorf("the object is of definition %d", recorded.Definition)}
	}
	size, sized := info.Metadata[metaSize]
	if n, err := strconv.ParseInt(size, 10, 64); sized && (err != nil || n != info.Size) {
		return otherSize(info.Size, n)
	}
	if event != nil && event.TaskID != "" && recorded.TaskID != event.TaskID {
		return verdict{OtherTask, fmt.Errorf("the object is of task %q", clip(recorded.TaskID, maxIDBytes))}
	}
	if info.Metadata[metaCRC32C] == "" || !sized {
		return verdict{found: Unrecorded}
	}
	return verdict{found: Whole}
}

func otherSize(got, want int64) verdict {
	found := Changed
	if got < want {
		found = Truncated
	}
	return verdict{found, fmt.Errorf("the object has %d bytes, recorded are %d", got, want)}
}

// belongs says whether a picture with this record has this key.
func (v *Verifier) belongs(recorded Snapshot, key string) bool {
	if recorded.URL == "" { // it was too long to be recorded; the key tells the same extension
		recorded.URL = key
	}
	own, err := v.worker.options.Key.Expand(recorded)
	return err == nil && own == key
}
