package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// shown are the attributes that a graph shows: what is the same in every run.
var shown = []string{
	"messaging.message.id", "hierarchy.operation.type", "hierarchy.operation.priority", "hierarchy.operation.status",
	"hierarchy.operation.attempt", "hierarchy.operation.retry", "hierarchy.verdict", "hierarchy.separator",
	"hierarchy.reason", "hierarchy.winner.id", "hierarchy.window.cause", "hierarchy.window.operations",
	"hierarchy.window.conflicts", "hierarchy.round.windows", "hierarchy.link", "error.type",
}

// graph tells the spans that a collector received as text.
type graph struct {
	spans    []*tracepb.Span
	names    map[string]string // of operations, by id
	labels   map[string]string // of spans, by id
	numbered int               // spans labelled by a number
	out      strings.Builder
}

// text tells the traces of the publishers, in the order of their operations, and then
// those of the worker. Spans that began earlier stand first.
func (g *graph) text(publishers []string) string {
	slices.SortFunc(g.spans, func(a, b *tracepb.Span) int {
		return cmp.Or(cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano), cmp.Compare(a.EndTimeUnixNano, b.EndTimeUnixNano))
	})
	var roots []string // the worker's own
	for _, s := range g.spans {
		if len(s.ParentSpanId) == 0 {
			roots = append(roots, hex.EncodeToString(s.SpanId))
		}
	}
	for _, id := range append(slices.Clone(publishers), roots...) {
		g.number(id)
	}
	for _, id := range publishers {
		fmt.Fprintf(&g.out, "trace of the %s\n", g.labels[id])
		g.below(id, 1)
	}
	for _, id := range roots {
		fmt.Fprintf(&g.out, "trace of the worker\n")
		g.span(g.spans[slices.IndexFunc(g.spans, func(s *tracepb.Span) bool { return hex.EncodeToString(s.SpanId) == id })], 1)
	}
	return g.out.String()
}

// number labels a span, unless it is a publisher's, and those below it.
func (g *graph) number(id string) {
	if g.labels[id] == "" {
		g.numbered++
		g.labels[id] = "(" + strconv.Itoa(g.numbered) + ")"
	}
	for _, s := range g.spans {
		if hex.EncodeToString(s.ParentSpanId) == id {
			g.number(hex.EncodeToString(s.SpanId))
		}
	}
}

func (g *graph) below(id string, depth int) {
	for _, s := range g.spans {
		if hex.EncodeToString(s.ParentSpanId) == id {
			g.span(s, depth)
		}
	}
}

func (g *graph) span(s *tracepb.Span, depth int) {
	indent := strings.Repeat("    ", depth)
	id := hex.EncodeToString(s.SpanId)
	kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
	g.line(indent, g.labels[id]+" "+s.Name+" ["+kind+"]", s.Attributes)
	if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		fmt.Fprintf(&g.out, "%s    error: %s\n", indent, s.Status.Message)
	}
	for _, e := range s.Events {
		g.line(indent, "    event "+e.Name, e.Attributes)
	}
	for _, l := range s.Links {
		g.line(indent, "    link to "+g.labels[hex.EncodeToString(l.SpanId)], l.Attributes)
	}
	g.below(id, depth+1)
}

func (g *graph) line(indent, text string, attrs []*commonpb.KeyValue) {
	out := []string{indent + text}
	for _, a := range attrs {
		if !slices.Contains(shown, a.Key) {
			continue
		}
		value := a.Value.GetStringValue()
		if n, number := a.Value.Value.(*commonpb.AnyValue_IntValue); number {
			value = strconv.FormatInt(n.IntValue, 10)
		}
		if name := g.names[value]; name != "" {
			value = name
		}
		out = append(out, a.Key+"="+value)
	}
	fmt.Fprintln(&g.out, strings.Join(out, " "))
}

// traced is a publisher each of whose operations belongs to a trace of its own.
type traced struct {
	t          *testing.T
	c          *client.Client
	graph      *graph
	publishers []string
}

// start publishes an operation.
func (p *traced) start(name string, r client.Request) *client.Pending {
	p.t.Helper()
	op, err := r.Operation()
	if err != nil {
		p.t.Fatal(err)
	}
	n := byte(len(p.publishers) + 1)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
	pending, err := p.c.Start(trace.ContextWithSpanContext(p.t.Context(), span), op)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := pending.Stored(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.publishers = append(p.publishers, span.SpanID().String())
	p.graph.labels[span.SpanID().String()] = "publisher of " + name
	p.graph.names[op.ID.String()] = name
	return pending
}

func (p *traced) outcome(of *client.Pending, want operation.Status) {
	p.t.Helper()
	if got, err := of.Outcome(p.t.Context()); err != nil || got.Status != want {
		p.t.Errorf("outcome %+v, %v, want %s", got, err, want)
	}
}

// TestTheGraphOfAConflictARetryAndASlowSystem runs a worker as a process of its own,
// receives what it exports, and tells it as text.
func TestTheGraphOfAConflictARetryAndASlowSystem(t *testing.T) {
	collected, url := newCollector(t)
	listen, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	broker := "nats://" + listen
	worker := command(t, "run", "--listen", listen, "--window", "1s", "--retry-base", "50ms", "--system", "inspect=plant.inspect")
	worker.Env = append(worker.Env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+url+"/v1/traces", "OTEL_TRACES_SAMPLER=parentbased_always_off")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the worker", func(context.Context) bool { return owned(broker) == nil })
	nc, err := client.Connect(broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	asked := inspector(t, nc)
	c, err := client.New(nc, client.WithTypes(func(name operation.Type) bool { return name == "inspect" }))
	if err != nil {
		t.Fatal(err)
	}
	p := &traced{t: t, c: c, graph: &graph{names: map[string]string{}, labels: map[string]string{}}}
	p.publishAll()
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
	p.graph.spans = collected.spans
	text := p.graph.text(p.publishers)
	for attempt := range 2 {
		span := traceheader.SpanContext(<-asked, "").SpanID().String()
		text += fmt.Sprintf("request %d of the slow system is below %s\n", attempt+1, p.graph.labels[span])
	}
	golden(t, "traces", text)
}

// publishAll publishes a conflict of three, an operation that fails twice, and one for a
// slow system that fails once.
func (p *traced) publishAll() {
	set := func(field string, value any) map[string]any { return map[string]any{"field": field, "value": value} }
	create := p.start("create", client.Request{Type: operation.CreateEntity, Target: "valve-7", Params: map[string]any{"type": "valve", "components": map[string]any{"position": 0}}})
	p.outcome(create, operation.Succeeded)
	low := p.start("low", client.Request{Type: operation.ModifyField, Target: "valve-7", Priority: operation.Low, Params: set("position", 1)})
	critical := p.start("critical", client.Request{Type: operation.ModifyField, Target: "valve-7", Priority: operation.Critical, Params: set("position", 2)})
	normal := p.start("normal", client.Request{Type: operation.ModifyField, Target: "valve-7", Params: set("position", 3)})
	p.outcome(critical, operation.Succeeded)
	p.outcome(low, operation.Rejected)
	p.outcome(normal, operation.Rejected)
	once := 1
	missing := p.start("retried", client.Request{Type: operation.ModifyField, Target: "nothing", MaxRetries: &once, Params: set("position", 1)})
	p.outcome(missing, operation.Rejected)
	slow := p.start("slow", client.Request{Type: "inspect", Target: "valve-7"})
	p.outcome(slow, operation.Succeeded)
}

// inspector answers as the slow system inspect: busy at first, then well. It sends the
// trace context of each request.
func inspector(t *testing.T, nc *nats.Conn) <-chan string {
	t.Helper()
	asked := make(chan string, 2)
	busy := true
	if _, err := nc.Subscribe("plant.inspect", func(msg *nats.Msg) {
		asked <- msg.Header.Get(traceheader.Parent)
		reply := map[string]any{}
		if busy {
			reply["error"] = "the inspector is busy"
		}
		busy = false
		body, err := json.Marshal(reply)
		if err == nil {
			err = msg.Respond(body)
		}
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return asked
}

// golden compares text with testdata/<name>.golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *updateScripts {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // as other files of the tree
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", path, diff)
	}
}
