package main

import "runtime"

// maxRSS returns the memory the Go runtime has had of the system so far, in MB.
func maxRSS() float64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.Sys) / 1e6
}
