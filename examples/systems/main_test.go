package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// scales stands in for the plant's scales: tank-1 stands on one, which is out of order
// at first.
type scales struct {
	mu   sync.Mutex // guards keys
	keys []string
}

func (s *scales) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/tank-1" {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	first := len(s.keys) == 1
	s.mu.Unlock()
	if first {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(w, "812.5")
}

// plant is the example at work.
type plant struct {
	t *testing.T
	c *client.Client
	*scales
}

func setup(t *testing.T) *plant {
	t.Helper()
	js := natstest.Start(t).JetStream(t)
	settings := ecsstore.DefaultSettings()
	settings.Storage = jetstream.MemoryStorage
	if err := ecsstore.Init(t.Context(), js, subjects.Space{}, settings); err != nil {
		t.Fatal(err)
	}
	scales := &scales{}
	server := httptest.NewServer(scales)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, js.Conn().ConnectedUrl(), server.URL, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	c, err := client.New(js.Conn(), client.WithTypes(func(name operation.Type) bool { return name == "fill" || name == "weigh" }))
	if err != nil {
		t.Fatal(err)
	}
	return &plant{t, c, scales}
}

// end submits an operation and returns how it ended.
func (p *plant) end(name operation.Type, target string, params map[string]any) client.Outcome {
	p.t.Helper()
	op, err := client.Request{Type: name, Target: target, Params: params}.Operation()
	if err != nil {
		p.t.Fatal(err)
	}
	outcome, err := p.c.SubmitAndWait(p.t.Context(), op)
	if err != nil {
		p.t.Fatal(err)
	}
	return outcome
}

func TestR19_SystemsOfTheUsersOwn(t *testing.T) {
	p := setup(t)
	for _, tank := range []string{"tank-1", "tank-2"} {
		p.end(operation.CreateEntity, tank, map[string]any{"type": "tank", "components": map[string]any{"level": 0, "capacity": 100}})
	}
	for _, step := range []struct {
		name   operation.Type
		tank   string
		litres any
		reason operation.Reason
	}{
		{"fill", "tank-1", 60.5, ""},
		{"fill", "tank-1", 39.6, tankFull},
		{"fill", "tank-1", "much", operation.Invalid},
		{"fill", "tank-1", 39.5, ""},
		{"weigh", "tank-1", nil, ""},
		{"weigh", "tank-2", nil, "no_scale"},
	} {
		params := map[string]any{}
		if step.litres != nil {
			params["litres"] = step.litres
		}
		outcome := p.end(step.name, step.tank, params)
		if outcome.Reason != step.reason || outcome.Succeeded() != (step.reason == "") {
			t.Errorf("%s %s %v: %s %s %s, want %q", step.name, step.tank, step.litres, outcome.Status, outcome.Reason, outcome.Message, step.reason)
		}
	}
	tank, err := p.c.Get(t.Context(), "tank-1")
	if err != nil {
		t.Fatal(err)
	}
	if tank.Components["level"] != json.Number("100") || tank.Components["weight"] != json.Number("812.5") || tank.VersionCount != 2 {
		t.Errorf("the tank has %v and %d versions", tank.Components, tank.VersionCount)
	}
	if n := len(p.keys); n != 2 || p.keys[0] != p.keys[1] {
		t.Errorf("the scale was asked with the keys %q, want the same twice", p.keys)
	}
}
