//go:build unix

package queue

import "golang.org/x/sys/unix"

// freeBytes is the space that an ordinary user may still fill.
func freeBytes(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), nil
}
