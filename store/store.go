// Package store is where pictures go: an S3-compatible bucket ([S3]) or a directory ([Dir]). Both keep one contract, which
// the suite in storetest runs against each.
package store

import (
	"errors"
	"fmt"
)

// Object is a whole object to be put.
type Object struct {
	// Key is the object's name below the store's root or prefix: segments separated by "/", none of them empty, "." or "..".
	Key string
	// Body is all of it, in memory, so that a put can be repeated and has an exact size. The store does not change it and
	// does not keep it after Put has returned.
	Body []byte
	// MD5 is the digest of Body where the caller has computed it anyway, else zero. The store has the other side verify this one or
	// another checksum.
	MD5 [16]byte
	// CRC32C is that of Body (Castagnoli) where the caller has computed it anyway, else 0.
	CRC32C uint32
	// ContentType is the media type, e.g. "image/jpeg".
	ContentType string
	// Metadata goes with the object. Names are lower-case letters, digits and dashes; values are printable ASCII without
	// spaces at the ends; together they stay below 2 KiB.
	Metadata map[string]string
	// IfAbsent puts only where there is no object, else the error wraps ErrExists. A bucket that knows no conditional puts, and
	// a directory that two processes write to at the same moment, overwrite all the same.
	IfAbsent bool
}

// Info is what a store knows about an object.
type Info struct {
	Size        int64 // bytes
	ContentType string
	// Metadata as it was put, with lower-case names. Empty for an object that somebody else put there.
	Metadata map[string]string
	// PutSize is the size that was put, where the store knows that the object has another one now, else 0. Then Metadata is empty:
	// whatever it said is not about these bytes.
	PutSize int64
}

// ErrNotFound is what Head's error wraps when there is no such object.
var ErrNotFound = errors.New("no such object")

// ErrExists is what Put's error wraps when there is an object and IfAbsent was asked for.
var ErrExists = errors.New("there is an object already")

// Kind says what sort of trouble a store has, as far as a caller acts on it.
type Kind string

const (
	// Denied: the set-up is wrong: credentials, permission, clock, region, no such bucket.
	Denied Kind = "denied"
	// Unavailable: no answer, overload, a full disk, or an answer that does not confirm what was stored. It may pass.
	Unavailable Kind = "unavailable"
	// Rejected: this very object is refused, and would be again.
	Rejected Kind = "rejected"
)

// Error is every error of a store but [ErrNotFound], [ErrExists] and the context's own.
type Error struct {
	Kind Kind
	Op   string // a gerund: "putting"
	Key  string // "" when it is about the store as a whole
	Err  error
	// Whole says of a Denied that it concerns every object: a bucket that is not there, an expired token. Without it, the
	// permission for this very object may be what is missing.
	Whole bool
	// Hint is what to do about it, where that is known; "" otherwise.
	Hint string
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %q: %v", e.Op, e.Key, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
