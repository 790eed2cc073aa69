package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

const benchLong = `Bench measures what this machine's disk and broker give, and what the system makes of
it, one after the other and several times, each time with a broker of its own:

    publish   operations published asynchronously to the operations stream, with no
              worker: nobody can submit faster
    batch     atomic batches of 1000 messages to the store's stream, one at a time
    stress    the mix of hierarchy stress at rate 0, from submission to outcome

It prints the median of each, and stress as a share of publish.`

const benchExample = `  hierarchy bench
  hierarchy bench --sync interval --runs 5 --json`

// benchConfig is what the flags of bench say.
type benchConfig struct {
	stressConfig
	runs int
}

func newBench(a *app) *cobra.Command {
	cfg := benchConfig{stressConfig: defaultStress(), runs: 3}
	cfg.audit = false // it is not what is measured
	cfg.duration, cfg.targets, cfg.rate = 5*time.Second, 100, 0
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the broker alone and the whole system",
		Long: benchLong, Example: benchExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.global.named() {
				return usage(cmd, errors.New("bench starts brokers of its own: leave --server, --context, NATS_URL and NATS_CONTEXT out"))
			}
			if err := cfg.check(false); err != nil {
				return usage(cmd, err)
			}
			if cfg.runs < 1 {
				return usage(cmd, fmt.Errorf("--runs is %d: want at least 1", cfg.runs))
			}
			return a.bench(cmd.Context(), &cfg)
		},
	}
	cfg.flags(cmd.Flags())
	cmd.Flags().IntVar(&cfg.runs, "runs", cfg.runs, "how often each is measured; the median counts")
	return cmd
}

// benchReport is what bench measured.
type benchReport struct {
	OK       bool        `json:"ok"`      // of every stress run
	Publish  measurement `json:"publish"` // operations a second
	Batch    measurement `json:"batch"`   // messages a second
	Stress   measurement `json:"stress"`  // outcomes a second
	Ratio    float64     `json:"stress_per_publish"`
	Latency  measurement `json:"stress_latency_p50_ms"`
	Runs     int         `json:"runs"`
	Seconds  float64     `json:"seconds"` // of each measurement
	Targets  int         `json:"targets"`
	InFlight int         `json:"in_flight"`
	Sync     string      `json:"sync"`
}

// measurement is several measurements of the same thing.
type measurement struct {
	Median float64   `json:"median"`
	All    []float64 `json:"all"`
}

func (m *measurement) add(value float64) {
	m.All = append(m.All, round(value))
	sorted := slices.Sorted(slices.Values(m.All))
	middle := len(sorted) / 2
	if m.Median = sorted[middle]; len(sorted)%2 == 0 {
		m.Median = round((sorted[middle-1] + sorted[middle]) / 2)
	}
}

func (a *app) bench(ctx context.Context, cfg *benchConfig) error {
	r := &benchReport{
		OK: true, Runs: cfg.runs, Seconds: cfg.duration.Seconds(), Targets: cfg.targets, InFlight: cfg.inFlight, Sync: cfg.sync,
	}
	for range cfg.runs {
		if err := a.benchOnce(ctx, cfg, r); err != nil {
			return err
		}
	}
	r.Ratio = round(r.Stress.Median / r.Publish.Median)
	if err := a.showBench(r); err != nil {
		return err
	}
	if !r.OK {
		return &exit{code: exitError, err: errors.New("a stress run was not ok: see hierarchy stress")}
	}
	return nil
}

// benchOnce measures each thing once, so that a noisy neighbour disturbs all alike.
func (a *app) benchOnce(ctx context.Context, cfg *benchConfig, r *benchReport) error {
	published, err := a.alone(ctx, cfg, publishAlone)
	if err != nil {
		return err
	}
	batched, err := a.alone(ctx, cfg, batchAlone)
	if err != nil {
		return err
	}
	whole, err := a.stressRun(ctx, &cfg.stressConfig, io.Discard)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("measuring: %w", context.Cause(ctx))
	}
	r.Publish.add(published)
	r.Batch.add(batched)
	r.Stress.add(whole.Throughput)
	r.Latency.add(whole.Latency.P50)
	r.OK = r.OK && whole.OK
	return nil
}

// alone measures something on a broker without workers.
func (a *app) alone(ctx context.Context, cfg *benchConfig, measure func(context.Context, *rig, *benchConfig) (float64, error)) (rate float64, err error) {
	idle := cfg.stressConfig
	idle.workers = 0
	rig, err := a.newRig(ctx, &idle)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rig.Close()) }()
	return measure(ctx, rig, cfg)
}

func (a *app) showBench(r *benchReport) error {
	if a.global.json {
		return a.writeJSON(r)
	}
	a.printf("median of %d runs of %g s, sync %s, %d targets, %d operations in flight", r.Runs, r.Seconds, r.Sync, r.Targets, r.InFlight)
	w := a.table()
	fmt.Fprintf(w, "publish\t%.0f ops/s\t%v\n", r.Publish.Median, r.Publish.All)
	fmt.Fprintf(w, "batch\t%.0f messages/s\t%v\n", r.Batch.Median, r.Batch.All)
	fmt.Fprintf(w, "stress\t%.0f ops/s\t%v\n", r.Stress.Median, r.Stress.All)
	fmt.Fprintf(w, "stress/publish\t%.2f\n", r.Ratio)
	return w.Flush()
}
