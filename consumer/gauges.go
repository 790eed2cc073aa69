package consumer

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Attribute keys of the gauges.
const (
	keyState = attribute.Key("state")
	keyCheck = attribute.Key("check")
)

// gauges are the figures that are read off the worker whenever somebody asks.
type gauges struct {
	partitions, owned, halted metric.Int64ObservableGauge
	lag, live, losses, ready  metric.Int64ObservableGauge
	epoch                     metric.Int64ObservableGauge
	age, wait, fill           metric.Float64ObservableGauge
}

// observe has the worker's gauges read until the returned function is called.
func (w *Worker) observe() (stop func(), err error) {
	if w.cfg.Meter == nil {
		return func() {}, nil
	}
	m := maker{meter: w.cfg.Meter.Meter(scope)}
	g := gauges{
		partitions: m.gauge("hierarchy.partitions", "partitions of the system"),
		owned:      m.gauge("hierarchy.partitions.owned", "partitions that this worker owns"),
		halted:     m.gauge("hierarchy.partitions.halted", "partitions that this worker has halted: their streams contradict each other"),
		lag:        m.gauge("hierarchy.partition.lag", "operations stored and not yet decided"),
		epoch:      m.gauge("hierarchy.partition.epoch", "how often the partition has been claimed; whoever shows the highest owns it"),
		age:        m.measure("hierarchy.partition.oldest_age", "s", "age of the oldest operation that has not ended"),
		wait:       m.measure("hierarchy.operations.longest_wait", "s", "how long the oldest operation that is not executing has waited"),
		live:       m.gauge("hierarchy.operations.live", "operations that outlive their window: waiting or executing"),
		losses:     m.gauge("hierarchy.operations.losses", "most windows that a live operation has lost in a row"),
		fill:       m.measure("hierarchy.queue.fill", "1", "part of the operations stream's bound that is used"),
		ready:      m.gauge("hierarchy.ready", "whether a check of readiness holds: 1 or 0"),
	}
	if m.err != nil {
		return nil, fmt.Errorf("making gauges: %w", m.err)
	}
	read := func(_ context.Context, o metric.Observer) error {
		if n := w.partitions.Load(); n > 0 {
			o.ObserveInt64(g.partitions, n)
		}
		g.read(o, w.Stats(), time.Now())
		for _, c := range w.Ready() {
			o.ObserveInt64(g.ready, oneIf(c.OK), metric.WithAttributes(keyCheck.String(c.Name)))
		}
		return nil
	}
	registered, err := m.meter.RegisterCallback(read,
		g.partitions, g.owned, g.halted, g.lag, g.age, g.wait, g.live, g.losses, g.fill, g.ready, g.epoch)
	if err != nil {
		return nil, fmt.Errorf("registering gauges: %w", err)
	}
	return func() { _ = registered.Unregister() }, nil
}

func (g *gauges) read(o metric.Observer, s Stats, now time.Time) {
	var owned, halted, waiting, executing, losses int
	var wait time.Duration
	for id, p := range s.Partitions {
		if p.Halted != "" {
			halted++
			continue
		}
		owned++
		waiting += p.Waiting
		executing += p.Executing
		losses, wait = max(losses, p.MostLosses), max(wait, since(p.Since, now))
		of := metric.WithAttributes(keyPartition.Int(id))
		o.ObserveInt64(g.lag, int64(p.Lag), of)
		o.ObserveInt64(g.epoch, int64(p.Epoch), of) //nolint:gosec // no partition is claimed so often
		o.ObserveFloat64(g.age, since(p.Oldest, now).Seconds(), of)
	}
	o.ObserveInt64(g.owned, int64(owned))
	o.ObserveInt64(g.halted, int64(halted))
	o.ObserveInt64(g.live, int64(waiting), metric.WithAttributes(keyState.String("waiting")))
	o.ObserveInt64(g.live, int64(executing), metric.WithAttributes(keyState.String("executing")))
	o.ObserveInt64(g.losses, int64(losses))
	o.ObserveFloat64(g.wait, wait.Seconds())
	o.ObserveFloat64(g.fill, s.Fill)
}

// since returns how long ago an operation was received that is there at all.
func since(received, now time.Time) time.Duration {
	if received.IsZero() {
		return 0
	}
	return max(now.Sub(received), 0)
}

func oneIf(ok bool) int64 {
	if ok {
		return 1
	}
	return 0
}

func (m *maker) gauge(name, description string) metric.Int64ObservableGauge {
	g, err := m.meter.Int64ObservableGauge(name, metric.WithDescription(description))
	m.keep(err)
	return g
}

func (m *maker) measure(name, unit, description string) metric.Float64ObservableGauge {
	g, err := m.meter.Float64ObservableGauge(name, metric.WithDescription(description), metric.WithUnit(unit))
	m.keep(err)
	return g
}
