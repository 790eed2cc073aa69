package ecsstore

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hierarchy-events/hierarchy/internal/traceheader"
)

// scope names this package to OpenTelemetry.
const scope = "github.com/hierarchy-events/hierarchy/ecsstore"

// Attribute keys of spans, beside those of the OpenTelemetry conventions.
const (
	keyCommit     = attribute.Key("hierarchy.commit.id")
	keyPartitions = attribute.Key("hierarchy.commit.partitions")
	keySequence   = attribute.Key("hierarchy.commit.sequence") // of its first message in the store
)

// Why a commit failed, as spans name it.
var errorTypes = map[error]string{
	ErrRefused: "refused", ErrBusy: "busy", ErrTooLarge: "too_large", ErrUnknown: "unknown",
}

// startCommit begins the span of a commit if ctx is within a span that is recorded.
// It is linked to the traces of all operations that the commit tells something of.
// Ended with [endCommit].
//
//nolint:spancheck // another function ends it
func startCommit(ctx context.Context, b *Batch, stream string, messages int) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, noop.Span{}
	}
	tracer := trace.SpanFromContext(ctx).TracerProvider().Tracer(scope)
	ctx, span := tracer.Start(ctx, "commit "+stream, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links(b)...),
		trace.WithAttributes(
			semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationName("commit"),
			semconv.MessagingOperationTypeSettle, semconv.MessagingDestinationName(stream),
			semconv.MessagingBatchMessageCount(messages), keyCommit.String(b.ID), keyPartitions.Int(len(b.Parts)),
		))
	return ctx, span
}

// links refers to every trace that is recorded and that an event of the batch belongs
// to.
func links(b *Batch) []trace.Link {
	var out []trace.Link
	seen := map[string]bool{}
	for i := range b.Parts {
		for j := range b.Parts[i].Events {
			e := &b.Parts[i].Events[j]
			if parent := e.Body.TraceParent; traceheader.Sampled(parent) && !seen[parent] {
				seen[parent] = true
				out = append(out, trace.Link{SpanContext: traceheader.SpanContext(parent, e.TraceState)})
			}
		}
	}
	return out
}

// endCommit ends the span of a commit whose first message was stored at first.
func endCommit(span trace.Span, first uint64, err error) {
	defer span.End()
	if err == nil {
		span.SetAttributes(keySequence.Int64(int64(first))) //nolint:gosec // a sequence
		return
	}
	for kind, name := range errorTypes {
		if errors.Is(err, kind) {
			span.SetAttributes(semconv.ErrorTypeKey.String(name))
		}
	}
	span.SetStatus(codes.Error, err.Error())
}

// traced gives an event's message the context of the operation's trace.
func (m *message) traced(e *Event) {
	if e.Body.TraceParent == "" {
		return
	}
	m.set(traceheader.Parent, e.Body.TraceParent)
	if e.TraceState != "" {
		m.set(traceheader.State, e.TraceState)
	}
}
