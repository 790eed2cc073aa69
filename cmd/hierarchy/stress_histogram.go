package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in bins that are 1/32 wide of what they hold, so that
// any number of them takes the same memory. The zero value is empty.
type histogram struct {
	bins  [64 * binsPerOctave]uint64
	count uint64
}

const binsPerOctave = 32

func (h *histogram) add(d time.Duration) {
	h.bins[bin(uint64(max(d.Microseconds(), 0)))]++
	h.count++
}

// bin is exact below 2*binsPerOctave, and then as many bins for each power of two.
func bin(us uint64) int {
	shift := max(bits.Len64(us)-bits.Len(binsPerOctave), 0)
	return shift*binsPerOctave + int(us>>shift) //nolint:gosec // below 2*binsPerOctave
}

// middle returns the microseconds in the middle of a bin.
func middle(bin int) float64 {
	if bin < 2*binsPerOctave {
		return float64(bin)
	}
	shift := bin/binsPerOctave - 1
	low := uint64(bin-shift*binsPerOctave) << shift //nolint:gosec // not negative
	return float64(low) + float64(uint64(1)<<shift-1)/2
}

// quantile returns the milliseconds that a share of the durations does not exceed, 0
// if there are none.
func (h *histogram) quantile(share float64) float64 {
	left := share * float64(h.count)
	for i, n := range h.bins {
		if left -= float64(n); n > 0 && left <= 0 {
			return middle(i) / 1000
		}
	}
	return 0
}
