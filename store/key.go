package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKeyBytes is S3's own limit on an object key.
const maxKeyBytes = 1024

// CheckKey says why a key is not safe in every store and on every screen, or nil: an empty, "." or ".." segment, a backslash or
// a character that can't be printed, more than 1,024 bytes.
func CheckKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("the key has %d bytes, more than %d", len(key), maxKeyBytes)
	}
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }) {
		return errors.New("the key has a backslash or a character that can't be printed")
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("the key has a segment %q", segment)
		}
	}
	return nil
}

// refuse is CheckKey as a store's error.
func refuse(op, key string) error {
	if err := CheckKey(key); err != nil {
		return &Error{Kind: Rejected, Op: op, Key: key, Err: err}
	}
	return nil
}
