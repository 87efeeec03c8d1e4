//go:build !linux

package storetest

import "syscall"

// DieWithParent can't be had here: a test binary that is killed leaves its servers.
func DieWithParent() *syscall.SysProcAttr { return nil }
