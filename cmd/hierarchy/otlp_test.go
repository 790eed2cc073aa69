package main

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
)

// collector receives what OpenTelemetry sends.
type collector struct {
	t       *testing.T
	mu      sync.Mutex // guards what follows
	spans   []*tracepb.Span
	metrics []string          // names
	about   map[string]string // the resource that spans belong to
}

func newCollector(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{t: t, about: map[string]string{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, server.URL
}

func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		err = c.addTraces(body)
	case "/v1/metrics":
		err = c.addMetrics(body)
	default:
		c.t.Errorf("sent to %s", r.URL.Path)
	}
	if err != nil {
		c.t.Error(err)
	}
}

func (c *collector) addTraces(body []byte) error {
	var request collectortrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, of := range request.ResourceSpans {
		for _, a := range of.Resource.Attributes {
			c.about[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range of.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return nil
}

func (c *collector) addMetrics(body []byte) error {
	var request collectormetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, of := range request.ResourceMetrics {
		for _, scope := range of.ScopeMetrics {
			for _, m := range scope.Metrics {
				c.metrics = append(c.metrics, m.Name)
			}
		}
	}
	return nil
}

// await waits for n spans of a name and returns them.
func (c *collector) await(name string, n int) []*tracepb.Span {
	c.t.Helper()
	var found []*tracepb.Span
	natstest.Await(c.t, name, func(context.Context) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		found = nil
		for _, s := range c.spans {
			if s.Name == name {
				found = append(found, s)
			}
		}
		return len(found) >= n
	})
	return found
}

func attributeOf(attrs []*commonpb.KeyValue, key string) string {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

const (
	scriptTrace = "0af7651916cd43dd8448eb211c80319c"
	scriptSpan  = "b7ad6b7169203331"
)

// TestTracesAndMetricsGoWhereTheEnvironmentSays runs a worker and a publisher as
// processes of their own. The publisher was started within a trace; the worker sends
// what it made of the operation, and its figures, to a collector.
func TestTracesAndMetricsGoWhereTheEnvironmentSays(t *testing.T) {
	collected, url := newCollector(t)
	addresses, err := freeAddresses(2)
	if err != nil {
		t.Fatal(err)
	}
	broker := "nats://" + addresses[0]
	worker := command(t, "run", "--listen", addresses[0], "--http", addresses[1], "--name", "traced")
	worker.Env = append(worker.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+url, "OTEL_BSP_SCHEDULE_DELAY=50",
		"OTEL_METRIC_EXPORT_INTERVAL=100", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test",
		"OTEL_TRACES_SAMPLER=parentbased_always_off")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the worker", func(context.Context) bool { return owned(broker) == nil })
	submit := func(env ...string) {
		t.Helper()
		cmd := command(t, "submit", "--server", broker, "--type", "create_entity", "--target", "valve-7", "--param", "type=valve")
		cmd.Env = append(cmd.Env, env...)
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
	}
	submit() // belongs to no trace: not sampled
	submit("TRACEPARENT=00-"+scriptTrace+"-"+scriptSpan+"-01", "TRACESTATE=vendor=1")
	process := collected.await("process hierarchy.ops", 1)
	rounds := collected.await("resolve hierarchy.ops", 1)
	natstest.Await(t, "metrics", func(context.Context) bool {
		collected.mu.Lock()
		defer collected.mu.Unlock()
		return slices.Contains(collected.metrics, "hierarchy.operations.submitted")
	})
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
	if len(process) != 1 || hex.EncodeToString(process[0].TraceId) != scriptTrace ||
		hex.EncodeToString(process[0].ParentSpanId) != scriptSpan || process[0].TraceState != "vendor=1" {
		t.Errorf("told of %v, want one operation of the script", process)
	}
	if got := attributeOf(process[0].Attributes, "hierarchy.operation.type"); got != "create_entity" {
		t.Errorf("of type %q", got)
	}
	if links := rounds[0].Links; len(rounds) != 1 || len(links) != 1 || hex.EncodeToString(links[0].TraceId) != scriptTrace || len(rounds[0].ParentSpanId) > 0 {
		t.Errorf("rounds %v, want one without parent that is linked to the script", rounds)
	}
	collected.mu.Lock()
	defer collected.mu.Unlock()
	about := map[string]string{}
	for _, key := range []string{"service.name", "service.instance.id", "deployment.environment.name"} {
		about[key] = collected.about[key]
	}
	want := map[string]string{"service.name": "hierarchy", "service.instance.id": "traced", "deployment.environment.name": "test"}
	if diff := cmp.Diff(want, about); diff != "" {
		t.Errorf("resource (- want, + got):\n%s", diff)
	}
	for _, name := range []string{"process_cpu_seconds_total", "go.memory.used", "hierarchy.ready"} {
		if !slices.Contains(collected.metrics, name) {
			t.Errorf("metric %s was not sent", name)
		}
	}
}

// command returns a command of the program that logs to the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("hierarchy") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir(), "NATS_URL=", "HIERARCHY_HTTP=off")
	cmd.Stderr = t.Output()
	return cmd
}

func TestSamplersAreThoseOfTheEnvironment(t *testing.T) {
	for name, want := range map[string]string{
		"":                         "ByLinks{ParentBased{root:AlwaysOnSampler,",
		"always_on":                "ByLinks{AlwaysOnSampler}",
		"always_off":               "AlwaysOffSampler",
		"traceidratio":             "ByLinks{TraceIDRatioBased{0.25}}",
		"parentbased_always_on":    "ByLinks{ParentBased{root:AlwaysOnSampler,",
		"parentbased_always_off":   "ByLinks{ParentBased{root:AlwaysOffSampler,",
		"ParentBased_TraceIDRatio": "ByLinks{ParentBased{root:TraceIDRatioBased{0.25},",
	} {
		sampler, err := samplerOf(name, "0.25")
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := sampler.Description(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	for name, arg := range map[string]string{"sometimes": "", "traceidratio": "2", "always_on": "NaN"} {
		if _, err := samplerOf(name, arg); err == nil {
			t.Errorf("%s, %s: no error", name, arg)
		}
	}
}

func TestARoundIsSampledWithItsOperations(t *testing.T) {
	sampler, err := samplerOf("parentbased_always_off", "")
	if err != nil {
		t.Fatal(err)
	}
	span := func(flags trace.TraceFlags) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags})
	}
	for name, c := range map[string]struct {
		parent trace.SpanContext
		links  []trace.SpanContext
		want   sdktrace.SamplingDecision
	}{
		"alone":                   {want: sdktrace.Drop},
		"of unsampled operations": {links: []trace.SpanContext{span(0)}, want: sdktrace.Drop},
		"of a sampled one":        {links: []trace.SpanContext{span(0), span(1)}, want: sdktrace.RecordAndSample},
		"below an unsampled one":  {parent: span(0), links: []trace.SpanContext{span(1)}, want: sdktrace.Drop},
		"below a sampled one":     {parent: span(1), want: sdktrace.RecordAndSample},
	} {
		p := sdktrace.SamplingParameters{ParentContext: trace.ContextWithRemoteSpanContext(t.Context(), c.parent)}
		for _, l := range c.links {
			p.Links = append(p.Links, trace.Link{SpanContext: l})
		}
		if got := sampler.ShouldSample(p).Decision; got != c.want {
			t.Errorf("%s: decision %v, want %v", name, got, c.want)
		}
	}
}
