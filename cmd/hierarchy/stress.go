package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
)

const stressLong = `Stress commands a number of entities from many sides at once, and checks that every
operation ends exactly once and that no version is lost or made twice.

Batches of operations are published for one target at a time, back to back, so that
they contend. What becomes of them is read from the events alone, and compared at the
end with what the store holds: outcomes with the counts of the partitions, versions
and counters with the entities themselves. Then the run is audited: see hierarchy
audit. Exit code 0 says that everything agrees.

Without --server it starts a broker and a worker of its own, with an empty store that
is removed afterwards. With --server (or NATS_URL) it puts load on a running system,
whose workers may be killed and started again meanwhile; nobody else should use that
system during the run.

--rate 0 publishes as fast as outcomes come back, with --in-flight operations on their
way. SIGINT ends a run early, with its report.`

const stressExample = `  hierarchy stress
  hierarchy stress --for 10s --rate 0 --targets 100 --sync interval --json
  hierarchy stress --types version=1,modify=3 --priorities low=.9,critical=.1 --batch 5
  hierarchy stress --server nats://broker:4222 --rate 1000 --for 10m`

// stressConfig is what the flags of stress say.
type stressConfig struct {
	duration          time.Duration
	settle            time.Duration
	count             int
	rate              float64
	inFlight          int
	targets           int
	batch             span
	priorities, types mix
	seed              uint64
	partitions        int
	workers           int
	sync              string
	window            time.Duration
	storeDir          string
	audit             bool
	profile           profiles
}

func defaultStress() stressConfig {
	return stressConfig{
		duration: time.Minute, settle: 30 * time.Second, rate: 150, inFlight: 2000, targets: 10,
		batch: span{low: 3, high: 8}, priorities: defaultPriorities(), types: defaultTypes(), seed: 1,
		partitions: ecsstore.DefaultSettings().Partitions, workers: 1,
		sync: syncAlways, audit: true, window: consumer.DefaultConfig().Window,
	}
}

func newStress(a *app) *cobra.Command {
	cfg := defaultStress()
	cmd := &cobra.Command{
		Use: "stress", Short: "Put load on the system and check that nothing is lost",
		Long: stressLong, Example: stressExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.global.named() && !cmd.Flags().Changed("workers") {
				cfg.workers = 0
			}
			if err := cfg.check(a.global.named()); err != nil {
				return usage(cmd, err)
			}
			return a.stress(cmd.Context(), &cfg)
		},
	}
	cfg.flags(cmd.Flags())
	cmd.Flags().BoolVar(&cfg.audit, "audit", cfg.audit, "audit what was recorded; switch it off where workers have other settings than the defaults")
	cmd.Flags().Float64Var(&cfg.rate, "rate", cfg.rate, "operations a second; 0 for as fast as outcomes come back")
	cmd.Flags().IntVar(&cfg.count, "count", 0, "operations after which the run ends, though not --for (default none)")
	cfg.profile.flags(cmd.Flags())
	cmd.Flags().IntVar(&cfg.workers, "workers", cfg.workers, "workers in this process (with --server 0)")
	return cmd
}

// flags adds the flags that stress and bench share.
func (cfg *stressConfig) flags(flags *pflag.FlagSet) {
	flags.DurationVar(&cfg.duration, "for", cfg.duration, "how long to publish")
	flags.DurationVar(&cfg.settle, "settle", cfg.settle, "how long to wait for the last outcomes")
	flags.IntVar(&cfg.inFlight, "in-flight", cfg.inFlight, "operations on their way at a time, at rate 0")
	flags.IntVar(&cfg.targets, "targets", cfg.targets, "entities that are commanded")
	flags.Var(&cfg.batch, "batch", "operations that are published at once for one target")
	flags.Var(&cfg.priorities, "priorities", "how often each priority is used")
	flags.Var(&cfg.types, "types", "how often each operation type is used")
	flags.Uint64Var(&cfg.seed, "seed", cfg.seed, "the same seed makes the same operations")
	flags.IntVar(&cfg.partitions, "partitions", cfg.partitions, "of the broker it starts: shares of the entities")
	flags.StringVar(&cfg.sync, "sync", cfg.sync, "of the broker it starts: when it writes to disk, always or interval")
	flags.DurationVar(&cfg.window, "window", cfg.window, "of the workers it starts: how long a window gathers contenders")
	flags.StringVar(&cfg.storeDir, "store-dir", "", "of the broker it starts: folder in which its store is made (default the system's for temporary files)")
}

func (cfg *stressConfig) check(server bool) error {
	switch {
	case cfg.duration <= 0 || cfg.settle < 0:
		return fmt.Errorf("--for is %v and --settle %v: want time to work in", cfg.duration, cfg.settle)
	case cfg.rate < 0 || cfg.rate > 1e6:
		return fmt.Errorf("--rate is %v: want 0 to 1000000", cfg.rate)
	case cfg.count < 0:
		return fmt.Errorf("--count is %d: want a number of operations, or 0 for any", cfg.count)
	case cfg.targets < 1:
		return fmt.Errorf("--targets is %d: want at least 1", cfg.targets)
	case cfg.inFlight < cfg.batch.high:
		return fmt.Errorf("--in-flight is %d: want room for a batch of %d", cfg.inFlight, cfg.batch.high)
	case cfg.sync != syncAlways && cfg.sync != syncInterval:
		return fmt.Errorf("--sync is %q: want %s or %s", cfg.sync, syncAlways, syncInterval)
	case cfg.workers < 1 && !server:
		return fmt.Errorf("--workers is %d: want at least 1 where there is no --server", cfg.workers)
	}
	return nil
}

// stress runs, reports, and fails unless all is well.
func (a *app) stress(ctx context.Context, cfg *stressConfig) (err error) {
	stop, err := cfg.profile.start()
	if err != nil {
		return err
	}
	progress := io.Discard
	if terminal(a.err) && !a.global.json {
		progress = a.err
	}
	report, err := a.stressRun(ctx, cfg, progress)
	if failed := stop(); err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	if a.global.json {
		err = a.writeJSON(report)
	} else {
		a.showStress(report)
	}
	if err == nil && !report.OK {
		return &exit{code: exitError}
	}
	return err
}
