//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// maxRSS returns the most memory this process has had so far, in MB.
func maxRSS() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	unit := 1024.0
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(usage.Maxrss) * unit / 1e6
}
