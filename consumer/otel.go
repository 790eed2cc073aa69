package consumer

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/hierarchy-events/hierarchy/operation"
)

// scope names this package to OpenTelemetry.
const scope = "github.com/hierarchy-events/hierarchy/consumer"

// Attribute keys of the figures. None of them ever holds an id.
const (
	keyPriority  = attribute.Key("priority")
	keyType      = attribute.Key("op_type")
	keyReason    = attribute.Key("reason")
	keyOutcome   = attribute.Key("outcome")
	keyRefusal   = attribute.Key("refusal")
	keyKind      = attribute.Key("kind")
	keyPartition = attribute.Key("partition")
)

// Attribute keys of spans, beside those of the OpenTelemetry conventions.
const (
	keyOpType       = attribute.Key("hierarchy.operation.type")
	keyOpPriority   = attribute.Key("hierarchy.operation.priority")
	keyEffective    = attribute.Key("hierarchy.operation.effective_priority")
	keyStatus       = attribute.Key("hierarchy.operation.status") // when the commit was stored
	keyAttempt      = attribute.Key("hierarchy.operation.attempt")
	keyRetry        = attribute.Key("hierarchy.operation.retry")
	keySequence     = attribute.Key("hierarchy.operation.sequence")
	keyBackoff      = attribute.Key("hierarchy.retry.backoff_ms")
	keyVerdict      = attribute.Key("hierarchy.verdict")
	keySeparator    = attribute.Key("hierarchy.separator")
	keyRejection    = attribute.Key("hierarchy.reason")
	keyWinner       = attribute.Key("hierarchy.winner.id")
	keyCancellation = attribute.Key("hierarchy.cancel.id")
	keyEntity       = attribute.Key("hierarchy.entity.id")
	keyWindow       = attribute.Key("hierarchy.window.id")
	keyCause        = attribute.Key("hierarchy.window.cause")
	keyOperations   = attribute.Key("hierarchy.window.operations")
	keyConflicts    = attribute.Key("hierarchy.window.conflicts")
	keyWindows      = attribute.Key("hierarchy.round.windows")
	keyCommit       = attribute.Key("hierarchy.commit.id")
	keyRole         = attribute.Key("hierarchy.link") // what a link refers to: window, winner or round
)

// Why a commit was not stored, or may not have been.
const (
	refusedCommit  = "refused"   // another commit was first
	busyBroker     = "busy"      // the broker takes none now
	tooLargeCommit = "too_large" // for the broker
	unknownCommit  = "unknown"   // the reply was lost
)

// telemetry tells OpenTelemetry what has been committed. What is committed is told by the
// engine's goroutine alone, troubles by any.
type telemetry struct {
	submitted, completed, rejected, cancelled, dead metric.Int64Counter
	started, failed, retried, duplicates            metric.Int64Counter
	detected, resolvedConflicts                     metric.Int64Counter
	saves, protections, refusals, claims, fenced    metric.Int64Counter
	events                                          metric.Int64Counter
	resolution, execution, latency, commit          metric.Float64Histogram
	commitMessages                                  metric.Int64Histogram

	labels map[label]metric.MeasurementOption
	ctx    context.Context //nolint:containedctx // figures belong to no request
}

// Buckets of the histograms: seconds, and messages of a commit.
var (
	secondBuckets  = metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10)
	shortBuckets   = metric.WithExplicitBucketBoundaries(1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2)
	messageBuckets = metric.WithExplicitBucketBoundaries(2, 5, 10, 25, 50, 100, 250, 500, 750, 1000)
)

func newTelemetry(provider metric.MeterProvider) (*telemetry, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	m := maker{meter: provider.Meter(scope)}
	t := &telemetry{
		submitted:         m.counter("hierarchy.operations.submitted", "operations taken for the first time"),
		completed:         m.counter("hierarchy.operations.completed", "operations that succeeded"),
		rejected:          m.counter("hierarchy.operations.rejected", "operations that were rejected"),
		cancelled:         m.counter("hierarchy.operations.cancelled", "operations that were cancelled"),
		dead:              m.counter("hierarchy.operations.dead_lettered", "messages that no operation could be made of"),
		duplicates:        m.counter("hierarchy.operations.duplicates", "operations that were taken before"),
		started:           m.counter("hierarchy.attempts.started", "attempts to execute an operation"),
		failed:            m.counter("hierarchy.attempts.failed", "attempts that failed"),
		retried:           m.counter("hierarchy.attempts.retried", "retries announced"),
		detected:          m.counter("hierarchy.conflicts.detected", "windows in which several operations contended for an entity"),
		resolvedConflicts: m.counter("hierarchy.conflicts.resolved", "conflicts decided"),
		saves:             m.counter("hierarchy.grace_period.saves", "contenders held off by a grace period"),
		protections:       m.counter("hierarchy.executing.protections", "contenders held off by an execution"),
		refusals:          m.counter("hierarchy.commits.refused", "commits that were not stored, or may not have been"),
		claims:            m.counter("hierarchy.partitions.claims", "partitions claimed"),
		fenced:            m.counter("hierarchy.partitions.fenced", "partitions found to be another worker's"),
		events:            m.counter("hierarchy.events", "events told"),
		resolution:        m.seconds("hierarchy.resolution.duration", "time to decide a conflict", shortBuckets),
		execution:         m.seconds("hierarchy.execution.duration", "time to execute an operation", secondBuckets),
		latency:           m.seconds("hierarchy.operation.duration", "time from the broker's receipt to the end of an operation", secondBuckets),
		commit:            m.seconds("hierarchy.commit.duration", "time to store a commit", secondBuckets),
		labels:            map[label]metric.MeasurementOption{},
		ctx:               context.Background(), //nolint:forbidigo // figures belong to no request
	}
	var err error
	t.commitMessages, err = m.meter.Int64Histogram("hierarchy.commit.messages",
		metric.WithDescription("messages of a commit"), metric.WithUnit("{message}"), messageBuckets)
	m.keep(err)
	if m.err != nil {
		return nil, fmt.Errorf("making instruments: %w", m.err)
	}
	t.zero()
	return t, nil
}

// zero makes what may stay at nothing for long known: a rate can be taken of it then.
func (t *telemetry) zero() {
	for _, c := range []metric.Int64Counter{
		t.dead, t.duplicates, t.started, t.failed, t.retried, t.detected, t.resolvedConflicts,
		t.saves, t.protections, t.claims, t.fenced,
	} {
		c.Add(t.ctx, 0)
	}
	for _, kind := range []string{refusedCommit, busyBroker, tooLargeCommit, unknownCommit} {
		t.refusals.Add(t.ctx, 0, metric.WithAttributes(keyRefusal.String(kind)))
	}
	for _, kind := range operation.Kinds() {
		t.events.Add(t.ctx, 0, t.of(label{kind: kind}))
	}
	for _, priority := range operation.Priorities() {
		t.submitted.Add(t.ctx, 0, t.of(label{priority: priority}))
	}
}

// maker makes instruments and keeps the first error.
type maker struct {
	meter metric.Meter
	err   error
}

func (m *maker) keep(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *maker) counter(name, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithDescription(description))
	m.keep(err)
	return c
}

func (m *maker) seconds(name, description string, buckets metric.HistogramOption) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithDescription(description), metric.WithUnit("s"), buckets)
	m.keep(err)
	return h
}

// of returns the attributes of a label, made once.
func (t *telemetry) of(l label) metric.MeasurementOption {
	if set, ok := t.labels[l]; ok {
		return set
	}
	var attrs []attribute.KeyValue
	add := func(key attribute.Key, value string) {
		if value != "" {
			attrs = append(attrs, key.String(value))
		}
	}
	add(keyOutcome, string(l.status))
	add(keyReason, string(l.reason))
	add(keyType, string(l.opType))
	add(keyKind, string(l.kind))
	if l.priority != 0 {
		add(keyPriority, l.priority.String())
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	t.labels[l] = set
	return set
}

// decided tells of a stored draft.
func (t *telemetry) decided(d *draft) {
	w := &d.tally
	for priority, n := range w.submitted {
		t.submitted.Add(t.ctx, int64(n), t.of(label{priority: priority}))
	}
	for _, end := range w.endings {
		t.ended(end)
	}
	for _, c := range []struct {
		counter metric.Int64Counter
		n       int
	}{
		{t.dead, w.dead},
		{t.duplicates, w.duplicates},
		{t.started, w.started},
		{t.failed, w.failed},
		{t.retried, w.retried},
		{t.detected, w.conflicts},
		{t.resolvedConflicts, w.conflicts},
		{t.saves, w.saves},
		{t.protections, w.protections},
	} {
		if c.n > 0 {
			c.counter.Add(t.ctx, int64(c.n))
		}
	}
	for i := range d.part.Events {
		t.events.Add(t.ctx, 1, t.of(label{kind: d.part.Events[i].Kind}))
	}
	for _, took := range w.resolution {
		t.resolution.Record(t.ctx, took.Seconds())
	}
	for _, took := range w.execution {
		t.execution.Record(t.ctx, took.Seconds())
	}
}

func (t *telemetry) ended(end lifeEnd) {
	l := end.label
	t.latency.Record(t.ctx, end.took.Seconds(), t.of(label{status: l.status, priority: l.priority}))
	l.status = ""
	switch end.label.status {
	case operation.Succeeded:
		t.completed.Add(t.ctx, 1, t.of(l))
	case operation.Rejected:
		l.opType = ""
		t.rejected.Add(t.ctx, 1, t.of(l))
	case operation.Cancelled:
		t.cancelled.Add(t.ctx, 1, t.of(l))
	case operation.Pending, operation.Executing, operation.Failed:
	}
}

// committed tells of a stored commit.
func (t *telemetry) committed(messages int, took time.Duration) {
	t.commit.Record(t.ctx, took.Seconds())
	t.commitMessages.Record(t.ctx, int64(messages))
}

// refused tells of a commit that was not stored, or may not have been.
func (t *telemetry) refused(kind string) {
	t.refusals.Add(t.ctx, 1, metric.WithAttributes(keyRefusal.String(kind)))
}
