package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// system starts a broker and a worker in this process, as "hierarchy run" does, and
// connects to them.
func system() (nc *nats.Conn, stop func()) {
	dir, err := os.MkdirTemp("", "hierarchy-example")
	check(err)
	broker, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true})
	check(err)
	broker.Start()
	nc, err = client.Connect("", nats.InProcessServer(broker))
	check(err)
	js, err := jetstream.New(nc)
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	check(ecsstore.Init(ctx, js, subjects.Space{}, ecsstore.DefaultSettings()))
	cfg := consumer.DefaultConfig()
	cfg.Window = 50 * time.Millisecond // so that even a busy machine shows the same
	worker, err := consumer.New(nc, cfg)
	check(err)
	var running sync.WaitGroup
	running.Go(func() { check(worker.Run(ctx)) })
	return nc, func() {
		cancel()
		running.Wait()
		nc.Close()
		broker.Shutdown()
		broker.WaitForShutdown()
		check(os.RemoveAll(dir))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// ask is an operation that is known to be right.
func ask(r client.Request) *operation.Operation {
	op, err := r.Operation()
	check(err)
	return op
}

func valve() client.Request {
	return client.Request{
		Type: operation.CreateEntity, Target: "valve-7",
		Params: map[string]any{"type": "valve", "components": map[string]any{"position": 0}},
	}
}

func position(value any) client.Request {
	return client.Request{
		Type: operation.ModifyField, Target: "valve-7", Params: map[string]any{"field": "position", "value": value},
	}
}

// Make a valve, set it, and look at it.
func Example() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	for _, request := range []client.Request{valve(), position(40)} {
		outcome, err := c.SubmitAndWait(ctx, ask(request))
		check(err)
		fmt.Println(request.Type, outcome.Status)
	}
	head, err := c.Get(ctx, "valve-7")
	check(err)
	fmt.Println(head.Name, "is at", head.Components["position"])
	// Output:
	// create_entity succeeded
	// modify_field succeeded
	// valve-7 is at 40
}

// Submitting is enough where nobody waits: what is stored will end. The same
// operation may be submitted again whenever an error leaves open whether it was.
func ExampleClient_Submit() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	op := ask(valve())
	for range 2 {
		receipt, err := c.Submit(ctx, op)
		switch {
		case errors.Is(err, client.ErrQueueFull):
			fmt.Println("nothing was stored, try later")
		case err != nil:
			fmt.Println("it may have been stored, submit it again:", err)
		default:
			fmt.Println("stored at", receipt.Sequence, "duplicate:", receipt.Duplicate)
		}
	}
	// Output:
	// stored at 1 duplicate: false
	// stored at 1 duplicate: true
}

// An outcome other than success is no error: it says why.
func ExampleClient_SubmitAndWait() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	_, err = c.SubmitAndWait(ctx, ask(valve()))
	check(err)
	outcome, err := c.SubmitAndWait(ctx, ask(position("half open")))
	check(err)
	fmt.Println(outcome.Status, outcome.Reason)
	// Output: rejected type_mismatch
}

// Operations that reach an entity at the same time contend. Start sends them without
// waiting for anything in between.
func ExampleClient_Start() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	_, err = c.SubmitAndWait(ctx, ask(valve()))
	check(err)
	scheduler, interlock := position(80), position(0)
	interlock.Priority = operation.Critical
	var sent []*client.Pending
	for _, request := range []client.Request{scheduler, interlock} {
		pending, err := c.Start(ctx, ask(request))
		check(err)
		defer pending.Stop()
		sent = append(sent, pending)
	}
	for _, pending := range sent {
		outcome, err := pending.Outcome(ctx)
		check(err)
		fmt.Println(outcome.Status, outcome.Reason)
	}
	// Output:
	// rejected lost_conflict
	// succeeded
}

// An operation that waits can be cancelled; one that has ended stays as it is.
func ExampleClient_Cancel() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	op := ask(valve())
	_, err = c.SubmitAndWait(ctx, op)
	check(err)
	answer, err := c.Cancel(ctx, op.Target, op.ID, "too late")
	check(err)
	fmt.Println(answer.Cancelled, answer.Status)
	// Output: false succeeded
}

// Watch goes on until its context is done or the loop is left.
func ExampleClient_Watch() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	c, err := client.New(nc)
	check(err)
	before := ask(valve())
	_, err = c.SubmitAndWait(ctx, before)
	check(err)
	for event, err := range c.Watch(ctx, client.Filter{Entity: "valve-7", Since: before.CreatedAt}) {
		check(err)
		fmt.Println(event.Kind())
		if _, ended := event.Kind().Outcome(); ended {
			break
		}
	}
	// Output:
	// started
	// completed
}
