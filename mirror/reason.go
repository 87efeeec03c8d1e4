package mirror

import (
	"errors"
	"fmt"
	"time"
)

// Reason says why a snapshot failed, in one word for metrics, logs, reports and the status page. The set is closed: [Reasons].
type Reason string

// The reasons; what each means stands in [Reasons].
const (
	SourceMissing     Reason = "source_missing"
	SourceDenied      Reason = "source_denied"
	SourceBusy        Reason = "source_busy"
	SourceUnreachable Reason = "source_unreachable"
	SourceBlocked     Reason = "source_blocked"
	Incomplete        Reason = "incomplete"
	NotAnImage        Reason = "not_an_image"
	TooLarge          Reason = "too_large"
	BadSnapshot       Reason = "bad_snapshot"
	KeyConflict       Reason = "key_conflict"
	StoreDenied       Reason = "store_denied"
	StoreUnavailable  Reason = "store_unavailable"
	StoreRejected     Reason = "store_rejected"
)

// Retry says whether trying again can help, and when.
type Retry string

const (
	// Soon: the worker itself tries again within seconds, and whoever called it may try again later.
	Soon Retry = "soon"
	// Later: it needs minutes or somebody's help. A picture may appear after its event, a permission may be mended.
	Later Retry = "later"
	// Never: the same snapshot fails the same way every time.
	Never Retry = "never"
)

// ReasonInfo is a row of [Reasons].
type ReasonInfo struct {
	Reason  Reason
	Retry   Retry
	Meaning string // a sentence's worth for an operator: what happened, and what to do where that is known
}

// Reasons is the one table of everything that can go wrong with a snapshot. The README's table is tested against it.
var Reasons = []ReasonInfo{
	{SourceMissing, Later, "the origin says 404 or 410: the picture is not there (yet), or the video was deleted"},
	{SourceDenied, Later, "the origin refuses (401, 403 and other 4xx): hotlink protection, Referer or IP rules"},
	{SourceBusy, Soon, "the origin says 408, 425, 429 or 5xx: it is overloaded or broken for now"},
	{SourceUnreachable, Soon, "no answer from the origin: DNS, connection, TLS, time-out, or too many redirects"},
	{SourceBlocked, Never, "the URL leads to an address, port or host that is not allowed (see --allow-private-sources and --source-host), or from https to http"},
	{Incomplete, Soon, "the bytes that came are not provably the whole picture: cut short, a wrong checksum, no end marker"},
	{NotAnImage, Later, "what came is whole but no JPEG, PNG or WebP: an error page, for instance"},
	{TooLarge, Never, "the picture is larger than --max-image-size"},
	{BadSnapshot, Never, "the event's own data can't be used: no URL, a negative time offset, a key that is not allowed"},
	{KeyConflict, Never, "the key already holds a picture of another definition: add {definition} to --key-template"},
	{StoreDenied, Later, "the destination refuses us: credentials, permissions, clock, or no such bucket"},
	{StoreUnavailable, Later, "the destination does not answer, is overloaded or full, or did not confirm what it stored"},
	{StoreRejected, Never, "the destination refuses this object: its key, its size or its metadata"},
}

var reasonByName = func() map[Reason]ReasonInfo {
	m := make(map[Reason]ReasonInfo, len(Reasons))
	for _, r := range Reasons {
		m[r.Reason] = r
	}
	return m
}()

// Info is the reason's row in [Reasons].
func (r Reason) Info() ReasonInfo { return reasonByName[r] }

// Failure is an error with a reason. Its text holds no query string and no secret.
type Failure struct {
	Reason Reason
	Err    error
	// RetryAfter is how long the other side asked us to wait, 0 when it did not.
	RetryAfter time.Duration
	// Held says that the origin was not asked for this picture, since it fails for others.
	Held bool

	// ofHost says that the host does not work, whatever it was asked for.
	ofHost bool
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

func failf(r Reason, format string, args ...any) *Failure {
	return &Failure{Reason: r, Err: fmt.Errorf(format, args...)}
}

// hostFailf is a failure that says something of the whole host.
func hostFailf(r Reason, format string, args ...any) *Failure {
	f := failf(r, format, args...)
	f.ofHost = true
	return f
}

// asFailure finds the Failure in err.
func asFailure(err error) (*Failure, bool) {
	var f *Failure
	ok := errors.As(err, &f)
	return f, ok
}
