package consumer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// many returns n alarms, one a second or several at the same, set in any order.
func many(random *rand.Rand, n int) *alarms {
	a := &alarms{}
	for range n {
		a.add(time.Unix(random.Int64N(int64(n)), 0), uuid.New())
	}
	return a
}

// TestAlarmsAreThoseDue compares what goes off with what a look at each alarm says.
func TestAlarmsAreThoseDue(t *testing.T) {
	random := rand.New(rand.NewPCG(12, 12))
	for n := range 200 {
		a := many(random, n)
		for until := range int64(n + 1) {
			now := time.Unix(until-1, 0)
			want := due(*a, now)
			if got := slices.Collect(a.by(now)); !slices.Equal(got, want) {
				t.Fatalf("%d of %d alarms go off by %d, want %d", len(got), n, until-1, len(want))
			}
		}
		now := time.Unix(int64(n)/2, 0)
		want, took := due(*a, now), a.take(now)
		if len(took) != len(want) || len(took)+a.Len() != n || len(due(*a, now)) > 0 {
			t.Fatalf("%d of %d alarms were taken, want %d; %d are left", len(took), n, len(want), a.Len())
		}
	}
}

// due looks at each alarm.
func due(a alarms, now time.Time) (out []uuid.UUID) {
	for _, alarm := range a {
		if !alarm.at.After(now) {
			out = append(out, alarm.entity)
		}
	}
	return out
}

// BenchmarkAlarms asks which of 10,000 alarms go off when one does, as each round of a
// partition does.
func BenchmarkAlarms(b *testing.B) {
	a := many(rand.New(rand.NewPCG(12, 12)), 10_000)
	first := (*a)[0].at
	for b.Loop() {
		for range a.by(first) {
		}
	}
}
