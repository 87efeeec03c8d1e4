package mirror

import (
	"encoding/json"
	"time"
)

// Outcome is how the work on one snapshot ended.
type Outcome string

// The outcomes. WouldMirror only comes from a dry run, Enqueued only from handing snapshots to a queue, Right and Wrong only from a
// [Verifier].
const (
	Mirrored    Outcome = "mirrored"
	Skipped     Outcome = "skipped"
	Failed      Outcome = "failed"
	WouldMirror Outcome = "would_mirror"
	Enqueued    Outcome = "enqueued"
	Right       Outcome = "right"
	Wrong       Outcome = "wrong"
)

// Result is what became of one snapshot.
type Result struct {
	Snapshot Snapshot
	// Key is the object key, "" when the snapshot gives none.
	Key     string
	Outcome Outcome
	// Found is what a [Verifier] has found, "" when it could not look, and in all other work.
	Found Finding
	// Reason and Err are set when Outcome is Failed; Err alone says what is wrong when it is Wrong. Err's text holds no query string.
	Reason Reason
	Err    error
	// Bytes is the size of the picture that was stored, or that a Verifier has read; 0 when there was none.
	Bytes int64
	// Attempts is how often the picture was asked for at its origin: 0 when it was not.
	Attempts int
	Elapsed  time.Duration
	// RetryAfter is how long origin or store asked us to wait before another try, 0 when neither did.
	RetryAfter time.Duration
	// Held says that the picture was not asked for, since its host fails for others: nothing is known of this one.
	Held bool
}

// MarshalJSON writes the line of a report: file_id, time_offset (ms), definition, task_id, key, found, outcome, reason,
// bytes, attempts, elapsed (seconds), error. It never holds the URL, which may carry a signature.
func (r Result) MarshalJSON() ([]byte, error) {
	line := struct {
		FileID     string     `json:"file_id"`
		TimeOffset TimeOffset `json:"time_offset"`
		Definition int64      `json:"definition"`
		TaskID     string     `json:"task_id"`
		Key        string     `json:"key"`
		Found      Finding    `json:"found,omitempty"`
		Outcome    Outcome    `json:"outcome"`
		Reason     Reason     `json:"reason,omitempty"`
		Bytes      int64      `json:"bytes"`
		Attempts   int        `json:"attempts"`
		Elapsed    float64    `json:"elapsed"`
		Error      string     `json:"error,omitempty"`
	}{
		FileID: r.Snapshot.FileID, TimeOffset: r.Snapshot.TimeOffset, Definition: r.Snapshot.Definition, TaskID: r.Snapshot.TaskID,
		Key: r.Key, Found: r.Found, Outcome: r.Outcome, Reason: r.Reason, Bytes: r.Bytes, Attempts: r.Attempts, Elapsed: r.Elapsed.Seconds(),
	}
	if r.Err != nil {
		line.Error = r.Err.Error()
	}
	return json.Marshal(line)
}
