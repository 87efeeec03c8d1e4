package storetest

import "syscall"

// dieWithParent ends the server also when the test binary is killed and no cleanup runs.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
