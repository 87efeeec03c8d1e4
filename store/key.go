package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxKeyBytes and maxMetadataBytes are S3's own limits.
	maxKeyBytes      = 1024
	maxMetadataBytes = 2048
)

// CheckKey says why a key is not safe in every store and on every screen, or nil: an empty, "." or ".." segment, a backslash or
// a character that can't be printed, more than 1,024 bytes, a first segment that is snapshot-mirror's own.
func CheckKey(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	first, _, _ := strings.Cut(key, "/")
	// Some file systems know no case, and no dots and spaces at the end.
	first = strings.TrimRight(first, ". ")
	if strings.EqualFold(first, dotFolder) || strings.EqualFold(first, ProbeKey) {
		return fmt.Errorf("the name %q is snapshot-mirror's own", first)
	}
	return nil
}

func checkKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("the key has %d bytes, more than %d", len(key), maxKeyBytes)
	}
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return notPrintable(r) || r == '\\' }) {
		return errors.New("the key has a backslash or a character that can't be printed")
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("the key has a segment %q", segment)
		}
	}
	return nil
}

// notPrintable is for controls, and for what has no width or turns the text's direction.
func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// refuse is CheckKey as a store's error.
func refuse(op, key string) error {
	if err := CheckKey(key); err != nil {
		return &Error{Kind: Rejected, Op: op, Key: key, Err: err}
	}
	return nil
}

// refuseObject is for objects that break the contract: a value that is no header's, for instance, could forge another header.
func refuseObject(op string, o Object) error {
	if err := refuse(op, o.Key); err != nil {
		return err
	}
	if err := checkMetadata(o.Metadata); err != nil {
		return &Error{Kind: Rejected, Op: op, Key: o.Key, Err: err}
	}
	return nil
}

func checkMetadata(m map[string]string) error {
	size := 0
	for name, value := range m {
		size += len(name) + len(value)
		if name == "" || strings.HasPrefix(name, "x-") || strings.ContainsFunc(name, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
			return fmt.Errorf("the metadata name %q is not of lower-case letters, digits and dashes, or begins with x-", name)
		}
		if strings.Trim(value, " ") != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("the metadata %s is not printable ASCII without spaces at its ends", name)
		}
	}
	if size > maxMetadataBytes {
		return fmt.Errorf("the metadata has %d bytes, more than %d", size, maxMetadataBytes)
	}
	return nil
}
