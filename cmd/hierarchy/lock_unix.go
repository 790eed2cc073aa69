//go:build unix

package main

import (
	"os"
	"syscall"
)

// tryLock takes the lock of an open file or fails at once.
func tryLock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is a small number
}
