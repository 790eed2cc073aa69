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
	rate = flag.Float64("rate", 0, "operations a second; 0: half of what the machine takes")
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

// TestR23_Chaos lets a plan of faults happen to a system under load.
func TestR23_Chaos(t *testing.T) {
	programs, err := chaos.Build(t.Context(), module, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1e6) + 1
	}
	t.Logf("make chaos SEED=%d FOR=%v", *seed, *long)
	run := chaos.Run{
		Plan: chaos.Plan{Seed: *seed}, For: *long, Rate: *rate, Programs: programs,
		Shipped: module + "/deploy/nats", Folder: folder(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	report, err := run.Do(t.Context())
	t.Log(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range report.Problems {
		t.Error(problem)
	}
}
