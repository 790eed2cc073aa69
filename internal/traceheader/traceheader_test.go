package traceheader

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func TestHeadersAreReadInAnyCase(t *testing.T) {
	for _, name := range []string{"traceparent", "Traceparent", "TRACEPARENT"} {
		parent, state := Extract(nats.Header{name: {sampled}, "TraceState": {"a=1"}})
		if parent != sampled || state != "a=1" {
			t.Errorf("%s: %q, %q", name, parent, state)
		}
	}
	both := nats.Header{"Traceparent": {unsampled}, "traceparent": {sampled}}
	if parent, _ := Extract(both); parent != sampled {
		t.Errorf("of two: %q", parent)
	}
}

func TestMalformedHeadersAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": sampled[:54], "long": sampled + "0", "version": "01" + sampled[2:],
		"upper case": strings.ToUpper(sampled), "dash": strings.Replace(sampled, "-b7", "0b7", 1),
		"no trace": "00-" + strings.Repeat("0", 32) + sampled[35:], "no span": sampled[:36] + strings.Repeat("0", 16) + "-01",
		"letters": strings.Replace(sampled, "0af", "xyz", 1),
	} {
		if parent, state := Extract(nats.Header{"traceparent": {text}, "tracestate": {"a=1"}}); parent != "" || state != "" {
			t.Errorf("%s: %q, %q", name, parent, state)
		}
		if text != "" && SpanContext(text, "").IsValid() && name != "long" && name != "version" {
			t.Errorf("%s: OpenTelemetry takes %q", name, text)
		}
	}
	if parent, state := Extract(nats.Header{"traceparent": {sampled}, "tracestate": {strings.Repeat("a", 513)}}); parent != sampled || state != "" {
		t.Errorf("long state: %q, %q", parent, state)
	}
}

func TestSampledIsTheLastBit(t *testing.T) {
	for flags, want := range map[string]bool{"00": false, "01": true, "02": false, "03": true, "0a": false, "0b": true, "ff": true} {
		if got := Sampled(sampled[:53] + flags); got != want {
			t.Errorf("flags %s: %t", flags, got)
		}
	}
	if Sampled("") {
		t.Error("none is sampled")
	}
}

func TestASpanIsWrittenAsItWasRead(t *testing.T) {
	span := SpanContext(sampled, "a=1")
	h := nats.Header{}
	Inject(trace.ContextWithSpanContext(t.Context(), span), h)
	if h["traceparent"][0] != sampled || h["tracestate"][0] != "a=1" || len(h) != 2 {
		t.Errorf("headers %v", h)
	}
	if keys := Carrier(h).Keys(); len(keys) != 2 || Carrier(h).Get("Traceparent") != sampled {
		t.Errorf("the carrier has %q and does not find it among them", keys)
	}
	if parent, state := Format(span); parent != sampled || state != "a=1" {
		t.Errorf("%q, %q", parent, state)
	}
	if parent, state := Format(trace.SpanContext{}); parent != "" || state != "" {
		t.Errorf("of none: %q, %q", parent, state)
	}
	if SpanContext("", "").IsValid() {
		t.Error("no header names a span")
	}
}

func BenchmarkExtract(b *testing.B) {
	for name, h := range map[string]nats.Header{
		"none": {"Nats-Msg-Id": {"x"}}, "lower": {"Nats-Msg-Id": {"x"}, "traceparent": {sampled}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Extract(h)
			}
		})
	}
}
