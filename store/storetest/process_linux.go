package storetest

import "syscall"

// DieWithParent ends the server also when the test binary is killed and no cleanup runs.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
