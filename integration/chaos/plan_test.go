package chaos

import (
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func first(n int, faults iter.Seq[Fault]) (out []Fault, took time.Duration) {
	for f := range faults {
		if len(out) == n {
			break
		}
		out, took = append(out, f), took+f.After
	}
	return out, took
}

func TestPlanFollowsFromItsSeed(t *testing.T) {
	for _, of := range []func(Plan) iter.Seq[Fault]{Plan.Workers, Plan.Brokers} {
		one, _ := first(1000, of(Plan{Seed: 7}))
		again, _ := first(1000, of(Plan{Seed: 7}))
		other, _ := first(1000, of(Plan{Seed: 8}))
		if diff := cmp.Diff(one, again); diff != "" {
			t.Errorf("the same seed makes another plan: %s", diff)
		}
		if slices.Equal(one, other) {
			t.Error("another seed makes the same plan")
		}
	}
}

// TestPlanDoesEnough holds the rates against what is asked of ten minutes: enough
// kills, enough broker faults, and some of everything.
func TestPlanDoesEnough(t *testing.T) {
	const n = 10000
	acts := map[Act]int{}
	faults, took := first(n, Plan{Seed: 1}.Workers())
	for _, f := range faults {
		acts[f.Act]++
		if f.Act == StopWorker && (f.Hold < minStop || f.Hold > maxStop) {
			t.Errorf("a worker is stopped for %v", f.Hold)
		}
	}
	if kills := float64(acts[KillWorker]) / took.Minutes(); kills < 38 {
		t.Errorf("%.1f worker kills a minute", kills)
	}
	faults, took = first(n, Plan{Seed: 1}.Brokers())
	for _, f := range faults {
		acts[f.Act]++
		took += f.Hold
	}
	if broken := n / took.Minutes(); broken < 2 {
		t.Errorf("%.1f broker faults a minute, not counting what mending takes", broken)
	}
	for _, act := range []Act{KillWorker, StopWorker, AddWorker, DrainWorker, KillBroker, RestartBroker} {
		if acts[act] < n/20 {
			t.Errorf("%s: %d of %d", act, acts[act], n)
		}
	}
}
