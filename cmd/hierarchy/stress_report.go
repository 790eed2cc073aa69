package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
)

// stressReport is how a stress run went.
type stressReport struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems,omitempty"`

	Audit *auditReport `json:"audit,omitempty"` // of what the run has recorded

	Submitted   int `json:"submitted"` // stored by the broker
	Completed   int `json:"completed"`
	Rejected    int `json:"rejected"`
	Cancelled   int `json:"cancelled"`
	Dead        int `json:"dead"`
	Pending     int `json:"pending"`
	Refused     int `json:"refused"`     // by the broker, at the bound of the operations stream
	Unconfirmed int `json:"unconfirmed"` // nobody knows whether they are stored
	Repeated    int `json:"repeated"`    // publishes that were made again

	RejectedBy     map[operation.Reason]int `json:"rejected_by"`
	FailedAttempts int                      `json:"failed_attempts"`
	Retries        int                      `json:"retries"`

	ConflictsDetected int                        `json:"conflicts_detected"`
	ConflictsResolved int                        `json:"conflicts_resolved"` // the winner's outcome was seen
	Winners           map[operation.Priority]int `json:"winners_by_priority"`

	Versions         uint64 `json:"versions"`
	VersionsExpected uint64 `json:"versions_expected"`
	Counters         int    `json:"counters"` // all counters that complex_update adds to, together
	CountersExpected int    `json:"counters_expected"`

	DurationS   float64     `json:"duration_s"` // from the first submission to the last outcome
	Throughput  float64     `json:"throughput_ops_per_s"`
	Completions float64     `json:"completed_per_s"`
	Events      int         `json:"events"`
	EventsPerS  float64     `json:"events_per_s"`
	Latency     quantiles   `json:"latency_ms"`
	Resolution  quantiles   `json:"resolution_ms"`
	MaxRSS      float64     `json:"max_rss_mb"`
	Worker      workerStats `json:"worker"` // of the workers in this process, all together

	Targets    int     `json:"targets"`
	Rate       float64 `json:"rate"`
	InFlight   int     `json:"in_flight"`
	Batch      string  `json:"batch"`
	Seed       uint64  `json:"seed"`
	Partitions int     `json:"partitions"`
	Workers    int     `json:"workers"`
	Sync       string  `json:"sync,omitempty"`
	WindowMS   float64 `json:"window_ms,omitempty"`
}

// quantiles are in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

func quantilesOf(h *histogram) quantiles {
	return quantiles{P50: h.quantile(.5), P90: h.quantile(.9), P99: h.quantile(.99)}
}

// workerStats is what the workers in this process say of themselves.
type workerStats struct {
	Commits              int            `json:"commits"`
	Messages             int            `json:"messages"`
	Refusals             map[string]int `json:"refusals"`
	Fenced               int            `json:"fenced"`
	Duplicates           int            `json:"duplicates"`
	GracePeriodSaves     int            `json:"grace_period_saves"`
	ExecutingProtections int            `json:"executing_protections"`
}

func (r *stressReport) problem(format string, args ...any) {
	if len(r.Problems) < 2*maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// report counts what is there at the end of a run.
func (s *stressor) report(ctx context.Context) (*stressReport, error) {
	c := s.book.counts()
	r := &stressReport{Unconfirmed: s.load.inDoubt(), Refused: c.refused, Repeated: s.load.repeated()}
	ctx, cancel := s.rig.app.bounded(ctx)
	defer cancel()
	after, err := s.storeCounts(ctx)
	if err != nil {
		return nil, err
	}
	r.Dead = int(after.dead - s.before.dead) //nolint:gosec // a count
	r.counted(&c)
	if err := s.targetsHold(ctx, r, &c); err != nil {
		return nil, err
	}
	s.describe(r)
	r.conserved(&c, s.before, after, c.others > 0 && s.rig.broker == nil)
	if c.others > 0 && s.rig.broker != nil {
		r.problem("%d events are about operations that were never submitted", c.others)
	}
	return r, nil
}

// counted fills in what the events say.
func (r *stressReport) counted(c *bookCounts) {
	r.Submitted = c.submitted - c.refused - r.Unconfirmed
	r.Completed, r.Cancelled = c.completed, c.cancelled
	for _, n := range c.rejected {
		r.Rejected += n
	}
	r.Pending = r.Submitted - c.ended - r.Dead
	r.RejectedBy, r.FailedAttempts, r.Retries = c.rejected, c.failed, c.retries
	r.ConflictsDetected, r.ConflictsResolved = c.conflicts, c.resolved
	r.Winners = map[operation.Priority]int{}
	for _, p := range operation.Priorities() {
		r.Winners[p] = c.winners[p]
	}
	if seconds := c.last.Sub(c.first).Seconds(); seconds > 0 {
		r.DurationS = round(seconds)
		r.Throughput, r.Completions = round(float64(c.ended)/seconds), round(float64(c.completed)/seconds)
		r.EventsPerS = round(float64(c.events) / seconds)
	}
	r.Events = c.events
	r.Latency, r.Resolution = quantilesOf(&c.latency), quantilesOf(&c.resolution)
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

// describe fills in what was run, and what the workers say.
func (s *stressor) describe(r *stressReport) {
	cfg := s.cfg
	r.Targets, r.Rate, r.InFlight, r.Batch, r.Seed = cfg.targets, cfg.rate, cfg.inFlight, cfg.batch.String(), cfg.seed
	r.Partitions, r.Workers = s.rig.partitions, cfg.workers
	if s.rig.broker != nil {
		r.Sync = cfg.sync
	}
	if cfg.workers > 0 {
		r.WindowMS = float64(cfg.window) / float64(time.Millisecond)
	}
	r.MaxRSS = round(maxRSS())
	r.Worker.Refusals = map[string]int{}
	for _, w := range s.rig.workers {
		now := w.Stats()
		r.Worker.Commits += now.Commits
		r.Worker.Messages += now.Messages
		r.Worker.Fenced += now.Fenced
		r.Worker.Duplicates += now.Duplicates
		r.Worker.GracePeriodSaves += now.GracePeriodSaves
		r.Worker.ExecutingProtections += now.ExecutingProtections
		for kind, n := range now.Refusals {
			r.Worker.Refusals[kind] += n
		}
	}
}

// showStress shows a report to people.
func (a *app) showStress(r *stressReport) {
	pace := "as fast as it goes"
	if r.Rate > 0 {
		pace = fmt.Sprintf("%g ops/s", r.Rate)
	}
	sync := ""
	if r.Sync != "" {
		sync = "sync " + r.Sync + ", "
	}
	a.printf("%.1f s, %s, batches of %s on %d targets, %d partitions, %d workers here, %sseed %d",
		r.DurationS, pace, r.Batch, r.Targets, r.Partitions, r.Workers, sync, r.Seed)
	w := a.table()
	line := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("operations", "%d submitted: %d completed, %d rejected, %d cancelled, %d dead, %d pending",
		r.Submitted, r.Completed, r.Rejected, r.Cancelled, r.Dead, r.Pending)
	line("attempts", "%d failed, %d retries", r.FailedAttempts, r.Retries)
	line("conflicts", "%d detected, %d resolved; won by %s", r.ConflictsDetected, r.ConflictsResolved, winnersText(r.Winners))
	line("versions", "%d, expected %d", r.Versions, r.VersionsExpected)
	line("throughput", "%.0f ops/s, %.0f events/s", r.Throughput, r.EventsPerS)
	line("latency", "p50 %.1f ms, p90 %.1f ms, p99 %.1f ms", r.Latency.P50, r.Latency.P90, r.Latency.P99)
	line("resolution", "p50 %.3f ms, p99 %.3f ms", r.Resolution.P50, r.Resolution.P99)
	line("memory", "%.0f MB at most", r.MaxRSS)
	if r.Audit != nil {
		line("audit", "%s", r.Audit.verdict())
	}
	_ = w.Flush() // what cannot be written shows in the next line
	if r.OK {
		a.printf("ok: every operation ended exactly once, no version is missing")
		return
	}
	a.printf("NOT OK:\n  %s", strings.Join(r.Problems, "\n  "))
}

func winnersText(winners map[operation.Priority]int) string {
	var out []string
	for _, p := range operation.Priorities() {
		out = append(out, fmt.Sprintf("%s %d", p, winners[p]))
	}
	return strings.Join(out, ", ")
}
