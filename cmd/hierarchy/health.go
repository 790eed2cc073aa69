package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hierarchy-events/hierarchy/consumer"
)

// livez says whether the process should be left running.
func (w *web) livez(out http.ResponseWriter, _ *http.Request) {
	worker := w.worker.Load()
	if worker == nil {
		answer(out, http.StatusOK, "ok: the worker has not started yet\n")
		return
	}
	c := worker.Live()
	answer(out, statusOf([]consumer.Check{c}), line(c))
}

// readyz says whether the worker should be sent work. It is told in full if that is
// asked for (?verbose) or something is wrong.
func (w *web) readyz(out http.ResponseWriter, in *http.Request) {
	checks := w.checks()
	if name := in.PathValue("check"); name != "" {
		checks = slices.DeleteFunc(checks, func(c consumer.Check) bool { return c.Name != name })
	}
	if len(checks) == 0 {
		answer(out, http.StatusNotFound, "there is no such check\n")
		return
	}
	status := statusOf(checks)
	if status == http.StatusOK && !in.URL.Query().Has("verbose") {
		answer(out, status, "ok\n")
		return
	}
	var text strings.Builder
	for _, c := range checks {
		text.WriteString(line(c))
	}
	text.WriteString("readyz check " + passed(status) + "\n")
	answer(out, status, text.String())
}

func (w *web) checks() []consumer.Check {
	if worker := w.worker.Load(); worker != nil {
		return worker.Ready()
	}
	return []consumer.Check{{Name: "worker", Detail: "the worker has not started yet"}}
}

func line(c consumer.Check) string {
	if c.OK {
		return fmt.Sprintf("[+]%s ok: %s\n", c.Name, c.Detail)
	}
	return fmt.Sprintf("[-]%s failed: %s\n", c.Name, c.Detail)
}

func statusOf(checks []consumer.Check) int {
	if slices.ContainsFunc(checks, func(c consumer.Check) bool { return !c.OK }) {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func passed(status int) string {
	if status == http.StatusOK {
		return "passed"
	}
	return "failed"
}

func answer(out http.ResponseWriter, status int, text string) {
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.Header().Set("Cache-Control", "no-store")
	out.WriteHeader(status)
	_, _ = out.Write([]byte(text))
}

// report is what /healthz answers.
type report struct {
	Status string `json:"status"` // healthy or unhealthy
	Worker string `json:"worker,omitempty"`
	Checks struct {
		EventBus   eventBus     `json:"event_bus"`
		Registry   registry     `json:"ecs_registry"`
		Operations liveOfWorker `json:"operations"`
	} `json:"checks"`
}

// verdict is whether a part is well, and why.
type verdict struct {
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// eventBus is the broker, and what came from and went to it.
type eventBus struct {
	verdict
	QueueSize       int     `json:"queue_size"`       // operations stored and not decided, of this worker's partitions
	QueueFill       float64 `json:"queue_fill"`       // part of the operations stream's bound that is used
	ProcessedEvents int     `json:"processed_events"` // events told since the worker started
}

// registry is the entity store.
type registry struct {
	verdict
	EntityCount uint64 `json:"entity_count"` // of the whole store
	MemoryBytes uint64 `json:"memory_bytes"` // of this process
}

// liveOfWorker is what becomes of operations.
type liveOfWorker struct {
	verdict
	Pending             int     `json:"pending"`   // stored and not decided, or decided to wait
	Executing           int     `json:"executing"` // outside a commit
	Completed           int     `json:"completed"`
	AverageResolutionMS float64 `json:"average_resolution_ms"` // of a conflict
}

// What a verdict says.
const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// storeAnswerTimeout bounds what /healthz asks the broker.
const storeAnswerTimeout = time.Second

// healthz tells the figures of the three parts.
func (w *web) healthz(out http.ResponseWriter, in *http.Request) {
	r := report{Status: unhealthy}
	if worker := w.worker.Load(); worker != nil {
		r = w.report(in.Context(), worker)
	}
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Cache-Control", "no-store")
	if r.Status != healthy {
		out.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = out.Write(append(body, '\n'))
}

func (w *web) report(ctx context.Context, worker *consumer.Worker) report {
	stats := worker.Stats()
	r := report{Worker: worker.Name()}
	bus, ops := &r.Checks.EventBus, &r.Checks.Operations
	for _, p := range stats.Partitions {
		bus.QueueSize += p.Lag
		ops.Pending += p.Lag + p.Waiting
		ops.Executing += p.Executing
	}
	for _, n := range stats.Events {
		bus.ProcessedEvents += n
	}
	bus.QueueFill, ops.Completed = stats.Fill, stats.Succeeded
	if stats.Conflicts > 0 {
		ops.AverageResolutionMS = stats.ResolutionTime.Seconds() * 1000 / float64(stats.Conflicts)
	}
	checks := worker.Ready()
	bus.verdict = judge(checks, consumer.CheckBroker, consumer.CheckStreams)
	ops.verdict = judge(checks, consumer.CheckOwners, consumer.CheckWindows, consumer.CheckRunning)
	r.Checks.Registry = w.registry(ctx, worker)
	r.Status = healthy
	for _, v := range []verdict{bus.verdict, ops.verdict, r.Checks.Registry.verdict} {
		if v.Status != healthy {
			r.Status = unhealthy
		}
	}
	return r
}

// judge sums up some checks: the first that fails, or all is well.
func judge(checks []consumer.Check, names ...string) verdict {
	v := verdict{Status: healthy}
	var details []string
	for _, c := range checks {
		if !slices.Contains(names, c.Name) {
			continue
		}
		if !c.OK {
			return verdict{Status: unhealthy, Detail: c.Detail}
		}
		details = append(details, c.Detail)
	}
	v.Detail = strings.Join(details, "; ")
	return v
}

func (w *web) registry(ctx context.Context, worker *consumer.Worker) registry {
	ctx, cancel := context.WithTimeout(ctx, storeAnswerTimeout)
	defer cancel()
	r := registry{verdict: verdict{Status: healthy, Detail: "the store answers"}, MemoryBytes: w.telemetry.memory()}
	var err error
	if r.EntityCount, err = worker.Entities(ctx); err != nil {
		r.verdict = verdict{Status: unhealthy, Detail: err.Error()}
	}
	return r
}

// memory returns how much memory this process has, 0 if the system does not say.
func (t *telemetry) memory() uint64 {
	families, err := t.process.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == "process_resident_memory_bytes" {
			return uint64(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return 0
}
