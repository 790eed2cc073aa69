package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/traceheader"
)

// startTracers starts traces if the environment asks for them.
func (t *telemetry) startTracers(ctx context.Context, about *resource.Resource) error {
	if !asked("TRACES") {
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return fmt.Errorf("exporting traces as OTEL_* says: %w", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil
	}
	sampler, err := samplerOf(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sampler), sdktrace.WithRawSpanLimits(limits()),
	)
	t.tracers = provider
	t.ends = append(t.ends, provider.Shutdown)
	return nil
}

// limits are those of the environment, with room for a link to every operation that a
// commit can hold.
func limits() sdktrace.SpanLimits {
	l := sdktrace.NewSpanLimits()
	if os.Getenv("OTEL_SPAN_LINK_COUNT_LIMIT") == "" {
		l.LinkCountLimit = ecsstore.MaxBatch
	}
	return l
}

// samplerOf returns the sampler that OpenTelemetry's environment variables name, such
// that a round is sampled whenever one of its operations is. The SDK does not offer its
// own reading of them to be wrapped.
func samplerOf(name, arg string) (sdktrace.Sampler, error) {
	ratio, err := ratioOf(arg)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "", "parentbased_always_on":
		return byLinks{sdktrace.ParentBased(sdktrace.AlwaysSample())}, nil
	case "parentbased_always_off":
		return byLinks{sdktrace.ParentBased(sdktrace.NeverSample())}, nil
	case "parentbased_traceidratio":
		return byLinks{sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))}, nil
	case "always_on":
		return byLinks{sdktrace.AlwaysSample()}, nil
	case "traceidratio":
		return byLinks{sdktrace.TraceIDRatioBased(ratio)}, nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q: want always_on, always_off, traceidratio, or one of them after parentbased_", name)
}

func ratioOf(arg string) (float64, error) {
	if arg = strings.TrimSpace(arg); arg == "" {
		return 1, nil
	}
	ratio, err := strconv.ParseFloat(arg, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: want a number from 0 to 1", arg)
	}
	return ratio, nil
}

// byLinks samples what begins a trace and is linked to one that is sampled: a round
// belongs to the traces of its operations, none of which is its parent. All else is up
// to the sampler in it.
type byLinks struct{ sdktrace.Sampler }

// ShouldSample implements [sdktrace.Sampler].
func (s byLinks) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	root := !trace.SpanContextFromContext(p.ParentContext).IsValid()
	sampled := func(l trace.Link) bool { return l.SpanContext.IsSampled() }
	if root && slices.ContainsFunc(p.Links, sampled) {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return s.Sampler.ShouldSample(p)
}

// Description implements [sdktrace.Sampler].
func (s byLinks) Description() string { return "ByLinks{" + s.Sampler.Description() + "}" }

// inherited returns ctx within the span that the environment variable TRACEPARENT
// names, as whoever traces a script leaves it there: what the command publishes belongs
// to that trace.
func inherited(ctx context.Context) context.Context {
	parent, state := traceheader.Extract(nats.Header{
		traceheader.Parent: {os.Getenv("TRACEPARENT")}, traceheader.State: {os.Getenv("TRACESTATE")},
	})
	if parent == "" {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, traceheader.SpanContext(parent, state))
}
