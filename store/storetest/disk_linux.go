package storetest

import (
	"fmt"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many MiB, for tests that fill it. It skips the test where that is not allowed.
func SmallDisk(t testing.TB, size int) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skipf("a small disk can't be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	return disk
}
