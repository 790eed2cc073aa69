package consumer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/operation"
)

// diary is what a worker has logged, as JSON.
type diary struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (p *diary) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(data)
}

// logged has the world's next worker log to a diary, from a level on.
func (w *world) logged(level slog.Level) *diary {
	p := &diary{}
	w.cfg.Logger = slog.New(slog.NewJSONHandler(p, &slog.HandlerOptions{Level: level}))
	return p
}

// about tells the lines that are about a window, names in place of ids.
func (p *diary) about(g *gallery) string {
	g.w.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out strings.Builder
	for text := range strings.Lines(p.buf.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			g.w.t.Fatal(err)
		}
		if fields[logWindow] == nil {
			continue
		}
		fmt.Fprintf(&out, "%s %s\n", fields[slog.LevelKey], fields[slog.MessageKey])
		delete(fields, slog.TimeKey)
		delete(fields, slog.LevelKey)
		delete(fields, slog.MessageKey)
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			value := g.w.plain(fmt.Sprint(fields[key]))
			switch key {
			case logTrace:
				value = "that of " + g.w.name(uuid.MustParse(value))
			case logSpan:
				span, err := trace.SpanIDFromHex(value)
				value = fmt.Sprintf("the publisher's of %s, %v", g.w.name(g.origins[span]), err)
			}
			fmt.Fprintf(&out, "    %s=%s\n", key, value)
		}
	}
	return out.String()
}

// TestLogsNameOperationWindowAndTrace logs in full a conflict, a message that is none, and
// a failure.
func TestLogsNameOperationWindowAndTrace(t *testing.T) {
	bubble(t, func(w *world) {
		g := w.traced(sdktrace.ParentBased(sdktrace.NeverSample()))
		p := w.logged(slog.LevelDebug)
		w.ready()
		valve := w.made("valve-1")[0]
		p.buf.Reset()
		g.submit(trace.FlagsSampled, modify(valve, operation.Low, "4711001"), modify(valve, operation.Critical, "4711002"))
		after(time.Second)
		w.publish(w.space.Submit(operation.Low, valve), []byte("4711003"))
		w.submit(retries(0, modify(w.entity("nothing"), operation.High, "1")))
		after(time.Second)
		w.compare("logs", p.about(g))
		if strings.Contains(p.buf.String(), "4711") {
			t.Error("a value was logged")
		}
	})
}
