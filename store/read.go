package store

import (
	"io"
	"time"
)

// Reading is an object that is being read. Whoever got it closes it.
type Reading struct {
	io.ReadCloser
	Info
	// ETag is another one when the object is; it has no quotes, and may be "".
	ETag string
}

// Entry is an object in a listing.
type Entry struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// refusePrefix is for prefixes that no safe key begins with.
func refusePrefix(op, prefix string) error {
	if err := CheckKey(prefix + "x"); err != nil {
		return &Error{Kind: Rejected, Op: op, Key: prefix, Err: err}
	}
	return nil
}
