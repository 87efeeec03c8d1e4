//go:build !linux

package storetest

import "testing"

// SmallDisk skips the test: it needs Linux.
func SmallDisk(t testing.TB, _ int) string {
	t.Skip("a small disk can be mounted on Linux only")
	return ""
}
