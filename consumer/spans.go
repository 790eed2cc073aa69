package consumer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// tracing tells OpenTelemetry the traces of operations and rounds. A nil one tells
// nothing. The spans:
//
//   - receive, in the operation's trace: from the broker's receipt to the worker's. It
//     begins the trace where the publisher has none.
//   - process, in the operation's trace, for each commit that changed how the operation
//     stands: from the window, or the round, to the commit. It is linked to the window
//     and, if the operation gave way to another, to that one's process.
//   - execute, for each attempt: below process if it was made within the commit, else
//     live, below the operation's origin and linked to the round that announced it.
//   - resolve, a trace of its own for each round with traced operations: a batch has no
//     parent, it is linked to everybody in it. Below it are its windows and the store's
//     commit.
type tracing struct {
	tracer      trace.Tracer
	destination string // that operations are published to
	common      []attribute.KeyValue
	ctx         context.Context //nolint:containedctx // what is told afterwards belongs to no request
}

func newTracing(cfg *Config) *tracing {
	if cfg.Tracer == nil {
		return nil
	}
	t := &tracing{
		tracer: cfg.Tracer.Tracer(scope), destination: cfg.Space.Prefix() + ".ops",
		ctx: context.Background(), //nolint:forbidigo // what is told afterwards belongs to no request
	}
	t.common = []attribute.KeyValue{
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingDestinationName(t.destination),
	}
	return t
}

// below returns ctx with an operation's origin as the span that others nest in.
func (o origin) below(ctx context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, traceheader.SpanContext(o.parent, o.state))
}

// received tells that the worker has received an operation. The origin of one that
// comes without is this reception, if the sampler wants it.
func (t *tracing) received(it *item, now time.Time) {
	if t == nil || it.origin.parent != "" && !it.origin.sampled() {
		return
	}
	began := it.received
	if began.After(now) { // the broker's clock is ahead
		began = now
	}
	ctx := t.ctx
	if it.origin.parent != "" {
		ctx = it.origin.below(ctx)
	}
	_, span := t.tracer.Start(ctx, "receive "+t.destination, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(began))
	defer span.End(trace.WithTimestamp(now))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(t.common...)
	span.SetAttributes(
		semconv.MessagingOperationName("receive"), semconv.MessagingOperationTypeReceive,
		semconv.MessagingDestinationPartitionID(strconv.Itoa(it.sub.Partition)),
		semconv.MessagingMessageID(it.messageID()), semconv.MessagingMessageBodySize(len(it.raw)),
		keySequence.Int64(int64(it.sequence)), keyEntity.String(it.sub.Target), //nolint:gosec // a sequence
	)
	if it.origin.parent == "" && span.SpanContext().IsSampled() {
		it.origin.parent, it.origin.state = traceheader.Format(span.SpanContext())
	}
}

// resolve begins the trace of a round. Ended with [tracing.resolved].
func (t *tracing) resolve(ctx context.Context, r *round) (context.Context, trace.Span) {
	if t == nil || !r.tales() {
		return ctx, noop.Span{}
	}
	var links []trace.Link
	began, messages := r.now, 0
	for _, d := range r.drafts {
		messages += d.took
		if d.window.Opened.Before(began) {
			began = d.window.Opened
		}
		for _, tale := range d.told() {
			links = append(links, tale.link())
		}
	}
	ctx, span := t.tracer.Start(ctx, "resolve "+t.destination,
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began), trace.WithLinks(links...),
		trace.WithAttributes(t.common...),
		trace.WithAttributes(
			semconv.MessagingOperationName("resolve"), semconv.MessagingOperationTypeProcess,
			keyWindows.Int(len(r.drafts)), keyCommit.String(r.batch.ID),
		))
	if messages > 0 {
		span.SetAttributes(semconv.MessagingBatchMessageCount(messages))
	}
	return ctx, span
}

// resolved ends the trace of a round.
func (*tracing) resolved(span trace.Span, at time.Time, err error) {
	if err != nil {
		span.SetAttributes(semconv.ErrorTypeKey.String(kindOf(err)))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(at))
}

// kindOf returns how a commit that failed is counted.
func kindOf(err error) string {
	switch {
	case errors.Is(err, ecsstore.ErrTooLarge):
		return tooLargeCommit
	case errors.Is(err, ecsstore.ErrRefused):
		return refusedCommit
	case errors.Is(err, ecsstore.ErrBusy):
		return busyBroker
	}
	return unknownCommit
}

// tell tells what was stored of a round.
func (t *tracing) tell(ctx context.Context, r *round, at time.Time) {
	below := trace.ContextWithSpanContext(ctx, r.span.SpanContext())
	for _, d := range r.drafts {
		if len(d.tales) == 0 {
			continue
		}
		tales := d.told()
		window := t.window(below, d, tales)
		spans := make(map[uuid.UUID]trace.SpanContext, len(tales))
		for _, tale := range tales {
			links := []trace.Link{{SpanContext: window, Attributes: []attribute.KeyValue{keyRole.String("window")}}}
			if winner, ok := spans[tale.winner()]; ok {
				links = append(links, trace.Link{SpanContext: winner, Attributes: []attribute.KeyValue{keyRole.String("winner")}})
			}
			spans[tale.about.OpID] = t.process(ctx, d, tale, links, at)
		}
	}
}

func (t *tracing) window(ctx context.Context, d *draft, tales []*tale) trace.SpanContext {
	links := make([]trace.Link, len(tales))
	for i, tale := range tales {
		links[i] = tale.link()
		if tale.verdict != nil {
			links[i].Attributes = append(links[i].Attributes, tale.verdictAttributes()...)
		}
	}
	_, span := t.tracer.Start(ctx, "window "+t.destination, trace.WithTimestamp(d.window.Opened), trace.WithLinks(links...),
		trace.WithAttributes(t.common...),
		trace.WithAttributes(
			semconv.MessagingDestinationPartitionID(strconv.Itoa(d.p.id)), keyWindow.String(d.window.ID),
			keyCause.String(string(d.window.Cause)), keyOperations.Int(len(d.window.Taken)), keyConflicts.Int(d.tally.conflicts),
		))
	span.End(trace.WithTimestamp(d.window.Closed))
	return span.SpanContext()
}

// process tells what a commit has made of an operation.
func (t *tracing) process(ctx context.Context, d *draft, of *tale, links []trace.Link, at time.Time) trace.SpanContext {
	began := of.staged
	if began.IsZero() {
		began = d.round.now
	}
	ctx, span := t.tracer.Start(of.origin.below(ctx), "process "+t.destination,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began), trace.WithLinks(links...),
		trace.WithAttributes(t.common...), trace.WithAttributes(of.attributes()...),
		trace.WithAttributes(
			semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationPartitionID(strconv.Itoa(d.p.id)), keyWindow.String(d.window.ID),
		))
	if of.verdict != nil {
		span.SetAttributes(of.verdictAttributes()...)
	}
	if end, ok := d.known[of.about.OpID]; ok {
		span.SetAttributes(keyStatus.String(string(end.status)))
	}
	for _, s := range of.steps {
		if !s.ran.ended.IsZero() {
			t.executed(ctx, of, s)
		}
		span.AddEvent(string(s.kind), trace.WithTimestamp(d.round.now), trace.WithAttributes(s.attributes()...))
	}
	span.End(trace.WithTimestamp(at))
	return span.SpanContext()
}

// executed tells of an attempt that was made within the commit.
func (t *tracing) executed(ctx context.Context, of *tale, s note) {
	_, span := t.tracer.Start(ctx, "execute "+string(of.about.OpType), trace.WithTimestamp(s.ran.began),
		trace.WithAttributes(of.attributes()...), trace.WithAttributes(s.attributes()...))
	if failed, ok := s.detail.(*operation.FailedDetail); ok {
		span.SetAttributes(semconv.ErrorTypeKey.String(string(failed.Reason)))
		span.SetStatus(codes.Error, failed.Error)
	}
	span.End(trace.WithTimestamp(s.ran.ended))
}

// attempt begins the span of an attempt outside the commit, in which whatever the
// system opens nests. Ended with [tracing.attempted].
//
//nolint:spancheck // another function ends it
func (t *tracing) attempt(ctx context.Context, r *operation.Record, announced trace.Span) (context.Context, trace.Span) {
	from := originOf(r)
	if t == nil || from.parent == "" {
		return ctx, noop.Span{}
	}
	var links []trace.Link
	if round := announced.SpanContext(); round.IsValid() {
		links = []trace.Link{{SpanContext: round, Attributes: []attribute.KeyValue{keyRole.String("round")}}}
	}
	ctx, span := t.tracer.Start(from.below(ctx), "execute "+string(r.Operation.Type), trace.WithLinks(links...), trace.WithAttributes(
		semconv.MessagingMessageID(r.OpID.String()), keyOpType.String(string(r.Operation.Type)),
		keyEntity.String(r.Operation.Target.String()), keyAttempt.Int(r.Attempt),
	))
	return ctx, span
}

// attempted ends the span of an attempt with what became of it.
func (*tracing) attempted(span trace.Span, err error) {
	if err != nil {
		f := operation.AsFailure(err)
		span.SetAttributes(semconv.ErrorTypeKey.String(string(f.Reason)))
		span.SetStatus(codes.Error, f.Message)
	}
	span.End()
}

// link refers to an operation's origin.
func (t *tale) link() trace.Link {
	return trace.Link{
		SpanContext: traceheader.SpanContext(t.origin.parent, t.origin.state),
		Attributes: []attribute.KeyValue{
			semconv.MessagingMessageID(t.about.OpID.String()), keyOpPriority.String(t.about.Priority.String()),
		},
	}
}

func (t *tale) attributes() []attribute.KeyValue {
	a := &t.about
	out := []attribute.KeyValue{semconv.MessagingMessageID(a.OpID.String()), keyEntity.String(a.Target)}
	if a.OpType != "" {
		out = append(out, keyOpType.String(string(a.OpType)))
	}
	if a.Priority != 0 {
		out = append(out, keyOpPriority.String(a.Priority.String()), keyEffective.String(a.EffectivePriority.String()))
	}
	return out
}

func (t *tale) verdictAttributes() []attribute.KeyValue {
	out := []attribute.KeyValue{keyVerdict.String(string(t.verdict.Verdict))}
	if t.verdict.Separator != "" {
		out = append(out, keySeparator.String(string(t.verdict.Separator)))
	}
	return out
}

// attributes returns what distinguishes an event of its kind.
func (s note) attributes() []attribute.KeyValue {
	switch d := s.detail.(type) {
	case *operation.StartedDetail:
		return []attribute.KeyValue{keyAttempt.Int(d.Attempt)}
	case *operation.CompletedDetail:
		return []attribute.KeyValue{keyAttempt.Int(d.Attempt)}
	case *operation.FailedDetail:
		return []attribute.KeyValue{keyAttempt.Int(d.Attempt), keyRejection.String(string(d.Reason))}
	case *operation.RetryDetail:
		return []attribute.KeyValue{keyRetry.Int(d.RetryCount), keyBackoff.Float64(d.BackoffMS), keyRejection.String(string(d.Reason))}
	case *operation.RejectedDetail:
		out := []attribute.KeyValue{keyRejection.String(string(d.Reason))}
		if d.WinnerOpID != uuid.Nil {
			out = append(out, keyWinner.String(d.WinnerOpID.String()))
		}
		return out
	case *operation.CancelDetail:
		return []attribute.KeyValue{keyCancellation.String(d.CancelID.String())}
	}
	return nil
}
