package main

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// startWorker starts a worker as a process of its own, for a broker that is there. What is
// charged it has executed by whoever answers on bank.charge.
func startWorker(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	worker := command(t, "run", "--server", url, "--system", "charge=bank.charge,1m")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	return worker
}

// stop tells a worker to end, and wants it to do so soon and in good order.
func stop(t *testing.T, worker *exec.Cmd) {
	t.Helper()
	told := time.Now()
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("told to end, the worker ended with %v", err)
	}
	if took := time.Since(told); took > 5*time.Second {
		t.Errorf("it took the worker %v to end", took)
	}
}

// TestR23_RunStoppedUnderStress tells a worker to end in the middle of a stress run and of
// an attempt of a slow system that does not answer. It ends in good order. Another one does
// the rest, the attempt once more, and nothing is lost or done twice.
func TestR23_RunStoppedUnderStress(t *testing.T) {
	const targets = 20
	broker := natstest.Start(t)
	if err := ecsstore.Init(t.Context(), broker.JetStream(t), subjects.Space{}, ecsstore.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	first := startWorker(t, broker.URL())
	js := dialed(t, broker.URL())
	bank := make(chan *nats.Msg, 10)
	if _, err := js.Conn().ChanSubscribe("bank.charge", bank); err != nil {
		t.Fatal(err)
	}
	done := make(chan stressReport, 1)
	go func() {
		_, out := stressed(t.Context(), t, "stress", "--server", broker.URL(), "--for", "4s", "--rate", "500",
			"--targets", "20", "--json")
		done <- decodeReport(t, out)
	}()
	awaitOperations(t, js, 300)
	c, err := client.New(js.Conn(), client.WithTypes(anyType))
	if err != nil {
		t.Fatal(err)
	}
	_, created := submitted(t, c, client.Request{Type: operation.CreateEntity, Target: "account-1", Params: map[string]any{"type": "account", "components": map[string]any{"charged": 0}}})
	succeeds(t, created, 1)
	_, charge := submitted(t, c, client.Request{Type: "charge", Target: "account-1"})
	charged(t, bank) // and never answered
	awaitOperations(t, js, 800)
	stop(t, first)

	second := startWorker(t, broker.URL())
	if err := charged(t, bank).Respond([]byte(`{"set":{"charged":40}}`)); err != nil {
		t.Fatal(err)
	}
	succeeds(t, charge, 2)
	r := <-done
	if !r.OK || r.Submitted < 1500 {
		t.Errorf("report: %+v", r)
	}
	outcomes := terminalEvents(t, js)
	for id, n := range outcomes {
		if n != 1 {
			t.Errorf("operation %s has %d terminal events", id, n)
		}
	}
	if want := r.Submitted + targets + 2; len(outcomes) != want {
		t.Errorf("%d operations have an outcome, %d were accepted", len(outcomes), want)
	}
	stop(t, second)
}

// submitted submits an operation and returns when it is stored.
func submitted(t *testing.T, c *client.Client, r client.Request) (*operation.Operation, *client.Pending) {
	t.Helper()
	op, err := r.Operation()
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.Start(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	return op, pending
}

// succeeds waits for an operation to succeed at an attempt.
func succeeds(t *testing.T, p *client.Pending, attempt int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := p.Outcome(ctx); err != nil || !got.Succeeded() || got.Attempt != attempt {
		t.Errorf("outcome %+v, %v, want success at attempt %d", got, err, attempt)
	}
}

// charged returns the next request to the bank.
func charged(t *testing.T, requests <-chan *nats.Msg) (request *nats.Msg) {
	t.Helper()
	natstest.Await(t, "a request", func(ctx context.Context) bool {
		select {
		case request = <-requests:
		case <-ctx.Done():
		}
		return request != nil
	})
	return request
}
