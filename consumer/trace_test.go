package consumer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// gallery collects spans and tells them as text.
type gallery struct {
	w        *world
	recorder *tracetest.SpanRecorder
	origins  map[trace.SpanID]uuid.UUID // of publishers, by operation
	timed    bool                       // tell when spans began and ended
}

// traced has the world's next worker record spans.
func (w *world) traced(sampler sdktrace.Sampler) *gallery {
	g := &gallery{w: w, recorder: tracetest.NewSpanRecorder(), origins: map[trace.SpanID]uuid.UUID{}}
	w.cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(g.recorder), sdktrace.WithSampler(sampler))
	return g
}

// submit publishes operations, each within a span of its publisher.
func (g *gallery) submit(flags trace.TraceFlags, ops ...operation.Operation) {
	g.w.t.Helper()
	for _, o := range ops {
		g.w.count[o.Priority]++
		g.w.names[o.ID] = fmt.Sprintf("%s#%d", o.Priority, g.w.count[o.Priority])
		span := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(o.ID), SpanID: trace.SpanID(o.ID[8:]), TraceFlags: flags,
		})
		g.origins[span.SpanID()] = o.ID
		body, err := json.Marshal(o)
		if err != nil {
			g.w.t.Fatal(err)
		}
		g.w.ops[o.ID] = o
		parent, _ := traceheader.Format(span)
		g.w.post(&nats.Msg{
			Subject: g.w.space.Submit(o.Priority, o.Target), Data: body, Header: nats.Header{"TraceParent": {parent}, "tracestate": {"vendor=1"}},
		})
	}
}

// golden compares all traces with testdata/<name>.golden.
func (g *gallery) golden(name string) {
	g.w.t.Helper()
	g.w.compare(name, g.text())
}

// text tells each trace, the spans of one below each other in the order in which they
// began, with attributes, events and links.
func (g *gallery) text() string {
	spans := g.recorder.Ended()
	slices.SortFunc(spans, func(a, b sdktrace.ReadOnlySpan) int {
		return cmp.Or(a.StartTime().Compare(b.StartTime()), a.EndTime().Compare(b.EndTime()),
			cmp.Compare(a.Name(), b.Name()), cmp.Compare(g.attributes(a.Attributes()), g.attributes(b.Attributes())))
	})
	labels := map[trace.SpanID]string{}
	for id, op := range g.origins {
		labels[id] = "publisher of " + g.w.name(op)
	}
	for i, s := range spans {
		labels[s.SpanContext().SpanID()] = fmt.Sprintf("(%d)", i+1)
	}
	var out strings.Builder
	seen := map[trace.TraceID]bool{}
	for _, s := range spans {
		if id := s.SpanContext().TraceID(); !seen[id] {
			seen[id] = true
			g.trace(&out, spans, labels, id)
		}
	}
	return out.String()
}

func (g *gallery) trace(out *strings.Builder, spans []sdktrace.ReadOnlySpan, labels map[trace.SpanID]string, id trace.TraceID) {
	of := "a worker"
	for span, op := range g.origins {
		if trace.TraceID(op) == id && span.IsValid() {
			of = labels[span]
		}
	}
	fmt.Fprintf(out, "trace of %s\n", of)
	for _, s := range spans {
		if s.SpanContext().TraceID() != id {
			continue
		}
		if _, known := labels[s.Parent().SpanID()]; !known {
			g.below(out, spans, labels, s, 1)
		} else if _, remote := g.origins[s.Parent().SpanID()]; remote {
			g.below(out, spans, labels, s, 1)
		}
	}
}

func (g *gallery) below(out *strings.Builder, spans []sdktrace.ReadOnlySpan, labels map[trace.SpanID]string, s sdktrace.ReadOnlySpan, depth int) {
	indent := strings.Repeat("    ", depth)
	fmt.Fprintf(out, "%s%s %s [%s]%s%s\n", indent, labels[s.SpanContext().SpanID()], s.Name(), s.SpanKind(), g.times(s), status(s))
	fmt.Fprintf(out, "%s    %s\n", indent, g.attributes(s.Attributes()))
	for _, e := range s.Events() {
		fmt.Fprintf(out, "%s    event %s %s\n", indent, e.Name, g.attributes(e.Attributes))
	}
	for _, l := range s.Links() {
		fmt.Fprintf(out, "%s    link to %s %s\n", indent, labels[l.SpanContext.SpanID()], g.attributes(l.Attributes))
	}
	for _, child := range spans {
		if child.Parent().SpanID() == s.SpanContext().SpanID() {
			g.below(out, spans, labels, child, depth+1)
		}
	}
}

func (g *gallery) times(s sdktrace.ReadOnlySpan) string {
	if !g.timed {
		return ""
	}
	return fmt.Sprintf(" +%v to +%v", s.StartTime().Sub(g.w.zero), s.EndTime().Sub(g.w.zero))
}

func status(s sdktrace.ReadOnlySpan) string {
	if s.Status().Code == codes.Unset {
		return ""
	}
	return fmt.Sprintf(" %s: %s", s.Status().Code, s.Status().Description)
}

// attributes tells attributes, with names in place of ids.
func (g *gallery) attributes(attrs []attribute.KeyValue) string {
	var out []string
	for _, a := range attrs {
		text := a.Value.String()
		if id, err := uuid.Parse(text); err == nil {
			text = "?"
			if name, ok := g.w.names[id]; ok {
				text = name
			}
		}
		if a.Key == keyBackoff {
			text = "?"
		}
		out = append(out, fmt.Sprintf("%s=%s", a.Key, text))
	}
	return strings.Join(out, " ")
}

func TestTheTraceOfAConflict(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.AlwaysSample())
		g.timed = true
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		g.submit(trace.FlagsSampled, modify(valve, operation.Low, "1"), modify(valve, operation.Critical, "2"), modify(valve, operation.Normal, "3"))
		after(time.Second)
		g.golden("trace_conflict")
	})
}

func TestTheTraceOfARetry(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.AlwaysSample())
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		o := pure(valve, operation.Normal, script{Until: time.Now().Add(50 * time.Millisecond), Set: json.RawMessage("1")})
		g.submit(trace.FlagsSampled, o)
		after(time.Second)
		w.wants(completed, o)
		g.golden("trace_retry")
	})
}

func TestTheTraceOfASlowSystem(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.AlwaysSample())
		w.cfg.Slow = map[operation.Type]ecsstore.SlowSystem{move: ecsstore.SlowFunc(
			func(ctx context.Context, task ecsstore.Task) (ecsstore.Patch, error) {
				ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("user").Start(ctx, "the user's own") //nolint:spancheck // what becomes of it is not the test's
				defer span.End()
				return w.lab.move(ctx, task) //nolint:spancheck // as above
			})}
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		holder := slow(valve, operation.Normal, script{Take: "50ms", Fail: 1})
		g.submit(trace.FlagsSampled, holder)
		after(30 * time.Millisecond)
		next := modify(valve, operation.Low, "1")
		g.submit(trace.FlagsSampled, next)
		after(time.Second)
		w.wants(completed, holder, next)
		g.golden("trace_slow")
	})
}

// TestARefusedRoundTellsNothingOfItsOperations has a round refused once. What it decided
// never happened; the round itself did.
func TestARefusedRoundTellsNothingOfItsOperations(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.AlwaysSample())
		m := &moody{}
		w.wrap = m.wrap
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		m.fail(nil, fmt.Errorf("as told: %w", ecsstore.ErrRefused))
		o := modify(valve, operation.Normal, "1")
		g.submit(trace.FlagsSampled, o)
		after(time.Second)
		w.wants(completed, o)
		g.golden("trace_refused")
	})
}

func TestWhatIsNotSampledIsNotTold(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.ParentBased(sdktrace.NeverSample()))
		w.ready()
		valve := w.made("valve-1")[0]
		w.submit(modify(valve, operation.Low, "1"))
		g.submit(0, slow(valve, operation.Normal, script{Take: "10ms"}))
		after(time.Second)
		if got := g.text(); got != "" {
			t.Errorf("told:\n%s", got)
		}
	})
}

// TestWithoutTracesNothingIsAllocated calls what is called of each operation.
func TestWithoutTracesNothingIsAllocated(t *testing.T) {
	var none *tracing
	d, it, detail := &draft{round: &round{}}, &item{}, &operation.StartedDetail{}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		none.received(it, now)
		d.noteArrival(uuid.Nil, it)
		d.noteStep(operation.StartedEvent, it.origin, detail)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestEventsCarryTheTraceOfTheirOperation looks at the events as a subscriber does.
func TestEventsCarryTheTraceOfTheirOperation(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.ParentBased(sdktrace.AlwaysSample()))
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		known, unsampled, without := modify(valve, operation.Low, "1"), modify(valve, operation.Low, "2"), modify(valve, operation.High, "3")
		g.submit(trace.FlagsSampled, known)
		g.submit(0, unsampled)
		w.submit(without)
		after(time.Second)
		began := map[trace.TraceID]bool{}
		for _, s := range g.recorder.Ended() {
			if !s.Parent().IsValid() && strings.HasPrefix(s.Name(), "receive ") {
				began[s.SpanContext().TraceID()] = true
			}
		}
		seen := map[uuid.UUID]bool{}
		for _, msg := range w.stored(w.space.EventsAbout(valve)) {
			e := w.decode(msg)
			seen[e.detail.OpID] = true
			parent, state := traceheader.Extract(nats.Header{"traceparent": msg.Headers()["traceparent"], "tracestate": msg.Headers()["tracestate"]})
			if parent != e.TraceParent {
				t.Errorf("%s of %s: the header says %q, the event %q", e.kind, w.name(e.detail.OpID), parent, e.TraceParent)
			}
			span := traceheader.SpanContext(parent, state)
			switch e.detail.OpID {
			case known.ID, unsampled.ID:
				if span.TraceID() != trace.TraceID(e.detail.OpID) || state != "vendor=1" || span.IsSampled() != (e.detail.OpID == known.ID) {
					t.Errorf("%s of %s: %s, %s", e.kind, w.name(e.detail.OpID), parent, state)
				}
			case without.ID:
				if !began[span.TraceID()] {
					t.Errorf("%s of %s: %s is no trace that its reception began", e.kind, w.name(e.detail.OpID), parent)
				}
			}
		}
		for _, o := range []operation.Operation{known, unsampled, without} {
			if !seen[o.ID] {
				t.Errorf("no event tells of %s", w.name(o.ID))
			}
		}
	})
}

// TestARemoteSystemGoesOnWithTheTrace has somebody answer who looks at the headers.
func TestARemoteSystemGoesOnWithTheTrace(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.AlwaysSample())
		nc := w.s.Connect(w.t)
		var asked []string
		if _, err := nc.Subscribe("plant.move", func(msg *nats.Msg) {
			asked = append(asked, msg.Header["traceparent"]...)
			_ = msg.Respond([]byte("{}"))
		}); err != nil {
			t.Fatal(err)
		}
		w.cfg.Slow = map[operation.Type]ecsstore.SlowSystem{move: Remote(w.s.Connect(w.t), "plant.move")}
		w.ready()
		valve := w.made("valve-1")[0]
		g.recorder.Reset()
		o := slow(valve, operation.Normal, script{})
		g.submit(trace.FlagsSampled, o)
		after(time.Second)
		w.wants(completed, o)
		i := slices.IndexFunc(g.recorder.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() == "execute move" })
		want, _ := traceheader.Format(g.recorder.Ended()[i].SpanContext())
		if !slices.Equal(asked, []string{want}) {
			t.Errorf("asked with %q, want %q", asked, want)
		}
	})
}
