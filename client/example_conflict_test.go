package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// conflicts returns a durable consumer of the conflict events. It keeps its place while
// nobody listens, and several handlers of one name share the work.
func conflicts(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Consumer, error) {
	space := subjects.Space{}
	return js.CreateOrUpdateConsumer(ctx, space.StoreStream(), jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: space.EventsOf(operation.ConflictEvent), // hierarchy.events.conflict.*
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       30 * time.Second, // after which another handler gets the event
	})
}

// secondChance decides of a conflict after the fact: whoever of ours lost to an
// operation of critical priority is submitted once more. The new operation has a name
// that follows from the old one's, so that an event that is handled twice asks twice
// for the same operation, which is harmless (rule R9). The event is acknowledged when
// what follows from it is stored.
func secondChance(ctx context.Context, c *client.Client, ours map[uuid.UUID]client.Request, msg jetstream.Msg) error {
	var event operation.Event
	var conflict operation.ConflictDetail
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return msg.TermWithReason(err.Error()) // it will not become readable
	}
	if err := event.Decode(&conflict); err != nil {
		return msg.TermWithReason(err.Error())
	}
	for _, loser := range conflict.Contenders[1:] {
		request, known := ours[loser.OpID]
		if !known || loser.Verdict != operation.Loses || conflict.Contenders[0].EffectivePriority != operation.Critical {
			continue
		}
		request.ID = "second chance of " + loser.OpID.String()
		again, err := request.Operation()
		if err != nil {
			return err
		}
		if _, err := c.Submit(ctx, again); err != nil {
			return err // not acknowledged: the event comes again
		}
		fmt.Println(request.Type, "gets a second chance after", conflict.Contenders[0].EffectivePriority)
	}
	return msg.Ack()
}

// Handle conflicts after the fact: the scheduler wants a valve at 80 and loses to the
// interlock, which closes it. A handler gives the scheduler another chance.
func Example_conflictHandler() {
	nc, stop := system()
	defer stop()
	ctx := context.Background()

	js, err := jetstream.New(nc)
	check(err)
	c, err := client.New(nc)
	check(err)
	handler, err := conflicts(ctx, js, "second-chance")
	check(err)
	_, err = c.SubmitAndWait(ctx, ask(valve()))
	check(err)

	scheduler, interlock := position(80), position(0)
	scheduler.ID, interlock.Priority = "shift 7", operation.Critical
	lost, err := c.Start(ctx, ask(scheduler))
	check(err)
	defer lost.Stop()
	_, err = c.SubmitAndWait(ctx, ask(interlock))
	check(err)

	ours := map[uuid.UUID]client.Request{client.OperationID("shift 7"): scheduler}
	msg, err := handler.Next(jetstream.FetchMaxWait(10 * time.Second))
	check(err)
	check(secondChance(ctx, c, ours, msg))
	check(secondChance(ctx, c, ours, again{msg})) // as after a lost acknowledgement

	id := client.OperationID("second chance of " + client.OperationID("shift 7").String())
	outcome, err := c.Wait(ctx, operation.EntityID("valve-7"), id)
	check(err)
	head, err := c.Get(ctx, "valve-7")
	check(err)
	fmt.Println(outcome.Status, "valve-7 is at", head.Components["position"])
	// Output:
	// modify_field gets a second chance after critical
	// modify_field gets a second chance after critical
	// succeeded valve-7 is at 80
}

// again is a message that is delivered a second time.
type again struct{ jetstream.Msg }

func (again) Ack() error { return nil }

// TestConflictHandlersAsDocumented looks for the code of docs/conflict-handlers.md here.
func TestConflictHandlersAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/conflict-handlers.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_conflict_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Error("no code is shown")
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(string(code), block) {
			t.Errorf("no such code was run:\n%s", block)
		}
	}
}
