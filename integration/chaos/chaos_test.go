//go:build integration

package chaos_test

import (
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/integration/chaos"
)

var (
	seed = flag.Uint64("seed", 0, "of the faults; 0: any")
	long = flag.Duration("for", 2*time.Minute, "how long faults happen")
	rate = flag.Float64("rate", 0, "operations a second; 0: a fifth of what the machine takes without faults")

	times = flag.Int("times", 10, "how often a worker is killed and another drained to measure take-overs")
)

// module is this module's folder.
const module = "../.."

// folder returns a folder that is kept if the test fails.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hierarchy-chaos-") //nolint:usetesting // it has to outlive a test that fails
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("files are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// prepare builds the programs and returns a run of the flags.
func prepare(t *testing.T) chaos.Run {
	t.Helper()
	programs, err := chaos.Build(t.Context(), module, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1e6) + 1
	}
	return chaos.Run{
		Plan: chaos.Plan{Seed: *seed}, For: *long, Rate: *rate, Programs: programs,
		Shipped: module + "/deploy/nats", Sync: "always", Folder: folder(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// TestR23_Chaos lets a plan of faults happen to a system under load.
func TestR23_Chaos(t *testing.T) {
	run := prepare(t)
	t.Logf("make chaos SEED=%d FOR=%v", *seed, *long)
	report, err := run.Do(t.Context())
	t.Log(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range report.Problems {
		t.Error(problem)
	}
}

// TestR23_TakeOver measures how long it takes others to go on with the partitions of a
// worker that was killed, and of one that was drained.
func TestR23_TakeOver(t *testing.T) {
	run := prepare(t)
	if run.Rate == 0 {
		run.Rate = 200
	}
	took, err := run.TakeOver(t.Context(), *times)
	for _, c := range []struct {
		what string
		took []time.Duration
		most time.Duration
	}{{"kills", took.Kills, time.Second}, {"drains", took.Drains, 200 * time.Millisecond}} {
		p99 := chaos.Quantile(c.took, .99)
		t.Logf("%d %s: p50 %v, p90 %v, p99 %v, most %v", len(c.took), c.what,
			chaos.Quantile(c.took, .5), chaos.Quantile(c.took, .9), p99, chaos.Quantile(c.took, 1))
		if p99 > c.most {
			t.Errorf("p99 of %s is %v, want at most %v", c.what, p99, c.most)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestThroughput measures what one, two and four workers make of a cluster, with and
// without a write to disk before each acknowledgement.
func TestThroughput(t *testing.T) {
	run := prepare(t)
	t.Logf("%-8s %7s %7s %10s %8s %9s %9s %8s  %s", "sync", "targets", "workers", "outcomes/s", "p50",
		"commits/s", "messages", "refused", "processors: brokers, workers, stress")
	for _, run.Sync = range []string{"always", "2m"} {
		for _, run.Targets = range []int{100, 10000} {
			for _, workers := range []int{1, 2, 4} {
				got, err := run.Throughput(t.Context(), workers)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%-8s %7d %7d %10.0f %5.0f ms %9.1f %9.0f %7.0f%%  %.2f, %.2f, %.2f", run.Sync, run.Targets, workers,
					got.PerSecond, got.P50, got.Commits, got.PerCommit, 100*got.RefusedFor, got.Brokers, got.Work, got.Stress)
			}
		}
	}
}
