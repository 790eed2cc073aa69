package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// mix says how often each of some names is drawn. As a flag it reads name=share, and
// takes the first word of a name for it: version=1 for version_entity=1.
type mix struct {
	names  []string
	shares []float64
}

func newMix(names []string, shares ...float64) mix { return mix{names: names, shares: shares} }

// draw returns the index of a name.
func (m *mix) draw(r *rand.Rand) int {
	at, last := r.Float64()*m.total(), 0
	for i, share := range m.shares {
		if share == 0 {
			continue
		}
		if last = i; at < share {
			break
		}
		at -= share
	}
	return last // rounding may leave a rest
}

func (m *mix) total() float64 {
	sum := 0.0
	for _, share := range m.shares {
		sum += share
	}
	return sum
}

// String implements [pflag.Value].
func (m *mix) String() string {
	var out []string
	for i, name := range m.names {
		if m.shares[i] > 0 {
			out = append(out, name+"="+strconv.FormatFloat(m.shares[i], 'g', -1, 64))
		}
	}
	return strings.Join(out, ",")
}

// Set implements [pflag.Value]. Names that are not given are never drawn.
func (m *mix) Set(text string) error {
	shares := make([]float64, len(m.names))
	for pair := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(pair, "=")
		i := slices.IndexFunc(m.names, func(known string) bool {
			return known == name || strings.HasPrefix(known, name+"_")
		})
		if i < 0 || name == "" {
			return fmt.Errorf("%q is none of %s", name, strings.Join(m.names, ", "))
		}
		share, err := strconv.ParseFloat(number, 64)
		if err != nil || share < 0 || share > maxShare || math.IsNaN(share) {
			return fmt.Errorf("%q: want name=share, a share being 0 to %g", pair, maxShare)
		}
		shares[i] = share
	}
	wanted := mix{names: m.names, shares: shares}
	if wanted.total() <= 0 {
		return fmt.Errorf("%q: want a share above 0", text)
	}
	*m = wanted
	return nil
}

// Type implements [pflag.Value].
func (*mix) Type() string { return "shares" }

// span is a range of whole numbers, its ends included. As a flag it reads 3-8, or 5.
type span struct{ low, high int }

func (s *span) draw(r *rand.Rand) int { return s.low + r.IntN(s.high-s.low+1) }

// String implements [pflag.Value].
func (s *span) String() string {
	if s.low == s.high {
		return strconv.Itoa(s.low)
	}
	return fmt.Sprintf("%d-%d", s.low, s.high)
}

// Set implements [pflag.Value].
func (s *span) Set(text string) error {
	first, second, found := strings.Cut(text, "-")
	if !found {
		second = first
	}
	low, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("%q: want two numbers like 3-8", text)
	}
	high, err := strconv.Atoi(second)
	if err != nil || low < 1 || high < low || high > maxBatch {
		return fmt.Errorf("%q: want 1 to %d operations, the smaller number first", text, maxBatch)
	}
	*s = span{low: low, high: high}
	return nil
}

// Type implements [pflag.Value].
func (*span) Type() string { return "from-to" }

const maxShare = 1e6

// maxBatch is the greatest batch of the stress run.
const maxBatch = 1000
