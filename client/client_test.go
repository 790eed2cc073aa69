package client

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// plant is a broker with streams, a client of it, and a worker once one is hired.
type plant struct {
	t      *testing.T
	broker *natstest.Server
	js     jetstream.JetStream
	c      *Client
}

func setup(t *testing.T, options ...natstest.Option) *plant {
	t.Helper()
	return setupWith(t, ecsstore.DefaultSettings(), options...)
}

func setupWith(t *testing.T, settings ecsstore.Settings, options ...natstest.Option) *plant {
	t.Helper()
	broker := natstest.Start(t, options...)
	p := &plant{t: t, broker: broker, js: broker.JetStream(t, nats.UserInfo("admin", "admin"))}
	p.c = p.client(p.js.Conn())
	settings.Partitions = 4
	if err := ecsstore.Init(t.Context(), p.js, p.c.space, settings); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plant) client(nc *nats.Conn) *Client {
	p.t.Helper()
	c, err := New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// hire starts a worker that ends with the test; change may alter its settings.
func (p *plant) hire(change ...func(*consumer.Config)) {
	p.t.Helper()
	cfg := consumer.DefaultConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(p.t.Output(), nil))
	for _, c := range change {
		c(&cfg)
	}
	worker, err := consumer.New(p.broker.Connect(p.t, nats.UserInfo("admin", "admin")), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("worker: %v", err)
		}
	})
}

// op makes an operation of a request that must be right.
func (p *plant) op(r Request) *operation.Operation {
	p.t.Helper()
	op, err := r.Operation()
	if err != nil {
		p.t.Fatal(err)
	}
	return op
}

func (p *plant) create(name string) *operation.Operation {
	return p.op(Request{
		Type: operation.CreateEntity, Target: name,
		Params: map[string]any{"type": "valve", "components": map[string]any{"position": 0}},
	})
}

func (p *plant) modify(name string, position any) *operation.Operation {
	return p.op(Request{
		Type: operation.ModifyField, Target: name, Params: map[string]any{"field": "position", "value": position},
	})
}

// end submits an operation and waits for its end.
func (p *plant) end(op *operation.Operation) Outcome {
	p.t.Helper()
	outcome, err := p.c.SubmitAndWait(p.t.Context(), op)
	if err != nil {
		p.t.Fatal(err)
	}
	return outcome
}

func TestSubmitFillsInWhatIsMissing(t *testing.T) {
	p := setup(t)
	op := p.create("valve-7")
	receipt, err := p.c.Submit(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	if op.ID == uuid.Nil || op.CreatedAt.IsZero() || op.Priority != operation.Normal {
		t.Errorf("id %s, created %s, priority %s", op.ID, op.CreatedAt, op.Priority)
	}
	if want := (Receipt{OpID: op.ID, Target: op.Target, Sequence: 1}); receipt != want {
		t.Errorf("receipt %+v, want %+v", receipt, want)
	}
	named := p.create("valve-8")
	named.ID = uuid.New()
	if _, err := p.c.Submit(t.Context(), named); err != nil || !named.CreatedAt.IsZero() {
		t.Errorf("an operation with its id got created_at %s (%v), and could not be repeated", named.CreatedAt, err)
	}
}

func TestR9_TheSameOperationAgainIsTheSame(t *testing.T) {
	p := setup(t)
	op := p.create("valve-7")
	first, err := p.c.Submit(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.c.Submit(t.Context(), op)
	if err != nil || !again.Duplicate || again.Sequence != first.Sequence {
		t.Errorf("again: %+v, %v; want a duplicate of %+v", again, err, first)
	}
	other := *op
	other.Params = p.create("valve-8").Params
	if _, err := p.c.Submit(t.Context(), &other); !errors.Is(err, ErrOpIDConflict) {
		t.Errorf("with other content: %v, want ErrOpIDConflict", err)
	}
	if _, err := p.c.SubmitAndWait(t.Context(), &other); !errors.Is(err, ErrOpIDConflict) {
		t.Errorf("waiting, with other content: %v, want ErrOpIDConflict", err)
	}
}

func TestR9_AnOperationThatEndedIsNotExecutedAgain(t *testing.T) {
	p := setup(t)
	p.hire()
	op := p.create("valve-7")
	first, again := p.end(op), p.end(op)
	if !first.Succeeded() || again.Event.ID != first.Event.ID {
		t.Errorf("ended %s by %s, then %s by %s", first.Status, first.Event.ID, again.Status, again.Event.ID)
	}
	other := *op
	other.Params = p.create("valve-8").Params
	if _, err := p.c.SubmitAndWait(t.Context(), &other); !errors.Is(err, ErrOpIDConflict) {
		t.Errorf("with other content: %v, want ErrOpIDConflict", err)
	}
}

func TestR14_SubmitRefusesWhatCannotBeRight(t *testing.T) {
	p := setup(t)
	for field, change := range map[string]func(*operation.Operation){
		"op_type":      func(op *operation.Operation) { op.Type = "unheard_of" },
		"params.field": func(op *operation.Operation) { op.Params = json.RawMessage(`{"value":1}`) },
		"max_retries":  func(op *operation.Operation) { n := 1000; op.MaxRetries = &n },
	} {
		op := p.modify("valve-7", 1)
		change(op)
		_, err := p.c.Submit(t.Context(), op)
		if invalid, ok := errors.AsType[*operation.InvalidError](err); !ok || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestWithTypesLetsOtherTypesThrough(t *testing.T) {
	p := setup(t)
	c, err := New(p.js.Conn(), WithTypes(func(name operation.Type) bool { return name == "calibrate" }))
	if err != nil {
		t.Fatal(err)
	}
	op := p.op(Request{Type: "calibrate", Target: "valve-7"})
	if _, err := c.Submit(t.Context(), op); err != nil {
		t.Error(err)
	}
}

func TestR24_AFullStreamRefusesAtOnce(t *testing.T) {
	settings := ecsstore.DefaultSettings()
	settings.QueueSize = 2
	p := setupWith(t, settings)
	for range 2 {
		if _, err := p.c.Submit(t.Context(), p.create("valve-7")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.c.Submit(t.Context(), p.create("valve-7")); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Submit: %v, want ErrQueueFull", err)
	}
	if _, err := p.c.SubmitAndWait(t.Context(), p.create("valve-7")); !errors.Is(err, ErrQueueFull) {
		t.Errorf("SubmitAndWait: %v, want ErrQueueFull", err)
	}
}

func TestNoStreamsAndNoBrokerAreUnavailable(t *testing.T) {
	broker := natstest.Start(t)
	p := &plant{t: t, broker: broker}
	p.c = p.client(broker.Connect(t))
	if _, err := p.c.Submit(t.Context(), p.create("valve-7")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without streams: %v, want ErrUnavailable", err)
	}
	broker.Stop(t)
	natstest.Await(t, "the connection to break", func(context.Context) bool { return !p.c.nc.IsConnected() })
	if _, err := p.c.Submit(t.Context(), p.create("valve-7")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without broker: %v, want ErrUnavailable", err)
	}
	p.c.nc.Close()
	if _, err := p.c.SubmitAndWait(t.Context(), p.create("valve-7")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("with a closed connection: %v, want ErrUnavailable", err)
	}
}

func TestADenialIsNoTimeOut(t *testing.T) {
	p := setup(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "admin"},
			{Username: "low", Password: "low", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"hierarchy.ops.low.*"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	})
	c := p.client(p.broker.Connect(t, nats.UserInfo("low", "low"), nats.ErrorHandler(logAsync)))
	op := p.create("valve-7")
	op.Priority = operation.Low
	if _, err := c.Submit(t.Context(), op); err != nil {
		t.Errorf("what is allowed: %v", err)
	}
	calls := map[string]func(context.Context) error{
		"another priority": func(ctx context.Context) error { _, err := c.Submit(ctx, p.create("valve-8")); return err },
		"waiting":          func(ctx context.Context) error { _, err := c.SubmitAndWait(ctx, op); return err },
		"cancelling":       func(ctx context.Context) error { _, err := c.Cancel(ctx, op.Target, op.ID, ""); return err },
		"reading":          func(ctx context.Context) error { _, err := c.Get(ctx, "valve-7"); return err },
		"watching": func(ctx context.Context) (err error) {
			for _, err = range c.Watch(ctx, Filter{}) {
			}
			return err
		},
	}
	for name, call := range calls {
		if err := call(t.Context()); !errors.Is(err, ErrPermissionDenied) {
			t.Errorf("%s: %v, want ErrPermissionDenied", name, err)
		}
	}
}

func TestTraceContextTravelsInLowerCase(t *testing.T) {
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	c := &Client{}
	op := (&plant{t: t}).create("valve-7")
	msg, err := c.Message(trace.ContextWithSpanContext(t.Context(), parent), op)
	if err != nil {
		t.Fatal(err)
	}
	got := msg.Header["traceparent"]
	if want := "00-" + parent.TraceID().String() + "-" + parent.SpanID().String() + "-00"; !slices.Equal(got, []string{want}) {
		t.Errorf("traceparent %q, want %q", got, want)
	}
	if id := msg.Header["Nats-Msg-Id"]; !slices.Equal(id, []string{op.Target.String() + "/" + op.ID.String()}) {
		t.Errorf("Nats-Msg-Id %q", id)
	}
}

func TestConnectOptionsRefuseToBuffer(t *testing.T) {
	broker := natstest.Start(t)
	nc, err := Connect(broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if nc.Opts.ReconnectBufSize != -1 || nc.Opts.MaxReconnect != -1 {
		t.Errorf("buffers %d bytes, reconnects %d times", nc.Opts.ReconnectBufSize, nc.Opts.MaxReconnect)
	}
	if _, err := Connect("nats://127.0.0.1:1", nats.Timeout(time.Second)); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("connecting to nobody: %v, want an error with the address", err)
	}
}

// gate is a dialer that can be shut, so that a connection which breaks stays broken.
type gate struct {
	mu   sync.Mutex // guards shut
	shut bool
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.New("the gate is shut")
	}
	return new(net.Dialer).DialContext(context.Background(), network, address)
}
