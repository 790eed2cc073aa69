// Package traceheader carries W3C trace context in the headers of NATS messages.
//
// Header names are case-sensitive in NATS, and the carrier of OpenTelemetry's own
// library writes Traceparent where W3C, other clients and the broker itself say
// traceparent. This package writes lower case and reads any: [Inject] puts the trace
// context of a ctx into headers, [Get] reads a header, and [SpanContext] turns what
// was read into the span it names.
//
// It starts no spans and decides nothing of sampling: [Sampled] tells what the one who
// began the trace has decided.
package traceheader

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context.
const (
	Parent = "traceparent"
	State  = "tracestate"
)

// The longest headers that are taken, in bytes.
const (
	parentSize   = 55
	maxStateSize = 512
)

// Carrier is headers as OpenTelemetry's propagators see them.
type Carrier nats.Header

// Get implements [propagation.TextMapCarrier]. The name may be in any case.
func (c Carrier) Get(name string) string { return Get(nats.Header(c), name) }

// Set implements [propagation.TextMapCarrier]. The name is written in lower case.
func (c Carrier) Set(name, value string) { c[strings.ToLower(name)] = []string{value} }

// Keys implements [propagation.TextMapCarrier].
func (c Carrier) Keys() []string {
	out := make([]string, 0, len(c))
	for name := range c {
		out = append(out, name)
	}
	return out
}

// Get returns a header whose name may be in any case, "" if there is none. Where
// there are several the one in lower case counts.
func Get(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Inject writes the trace context of ctx, and what else the program's own propagator
// has to say.
func Inject(ctx context.Context, h nats.Header) {
	otel.GetTextMapPropagator().Inject(ctx, Carrier(h))
	propagation.TraceContext{}.Inject(ctx, Carrier(h))
}

// Extract reads the trace context of headers, "" for what is not there or malformed.
func Extract(h nats.Header) (parent, state string) {
	if len(h) == 0 {
		return "", ""
	}
	if parent = Get(h, Parent); !wellFormed(parent) {
		return "", ""
	}
	if state = Get(h, State); len(state) > maxStateSize {
		state = ""
	}
	return parent, state
}

// wellFormed reports whether text is a traceparent of the version that is known.
func wellFormed(text string) bool {
	if len(text) != parentSize || text[:3] != "00-" {
		return false
	}
	for i := 3; i < len(text); i++ {
		if dash := i == 35 || i == 52; dash != (text[i] == '-') || !dash && digit(text[i]) < 0 {
			return false
		}
	}
	return strings.Trim(text[3:35], "0") != "" && strings.Trim(text[36:52], "0") != ""
}

// digit returns the value of a hexadecimal digit in lower case, or -1.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// Sampled reports whether a well-formed traceparent says that its trace is recorded.
func Sampled(parent string) bool {
	return len(parent) == parentSize && digit(parent[parentSize-1])&1 == 1
}

// SpanContext returns the span that headers name, the zero one if they name none.
func SpanContext(parent, state string) trace.SpanContext {
	if !wellFormed(parent) {
		return trace.SpanContext{}
	}
	config := trace.SpanContextConfig{Remote: true, TraceFlags: trace.TraceFlags(digit(parent[53])<<4 | digit(parent[54]))} //nolint:gosec // digits are well formed
	config.TraceID, _ = trace.TraceIDFromHex(parent[3:35])
	config.SpanID, _ = trace.SpanIDFromHex(parent[36:52])
	config.TraceState, _ = trace.ParseTraceState(state) // none if it is malformed
	return trace.NewSpanContext(config)
}

// Format returns the headers that name a span.
func Format(span trace.SpanContext) (parent, state string) {
	if !span.IsValid() {
		return "", ""
	}
	parent = "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String()
	return parent, span.TraceState().String()
}
