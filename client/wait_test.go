package client

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

func TestSubmitAndWaitTellsTheOutcome(t *testing.T) {
	p := setup(t)
	p.hire()
	created := p.end(p.create("valve-7"))
	if !created.Succeeded() || created.Version != 1 || created.Revision != 1 || len(created.Changes) == 0 || created.Attempt != 1 {
		t.Errorf("created: %+v", created)
	}
	refused := p.end(p.modify("valve-7", "open"))
	if refused.Status != operation.Rejected || refused.Reason != operation.TypeMismatch || refused.Message == "" {
		t.Errorf("refused: %+v", refused)
	}
	if refused.Event.Kind() != operation.RejectedEvent {
		t.Errorf("told by a %s event", refused.Event.Kind())
	}
}

func TestR5_TheLoserLearnsWhoWon(t *testing.T) {
	p := setup(t)
	var pending []*Pending
	for _, priority := range []operation.Priority{operation.Low, operation.Critical} {
		op := p.create("valve-7")
		op.Priority = priority
		sent, err := p.c.Start(t.Context(), op)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sent.Stop)
		if _, err := sent.Stored(t.Context()); err != nil {
			t.Fatal(err)
		}
		pending = append(pending, sent)
	}
	p.hire() // finds both in one window
	loser, err := pending[0].Outcome(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	winner, err := pending[1].Outcome(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !winner.Succeeded() || loser.Reason != operation.LostConflict || loser.Winner != winner.OpID {
		t.Errorf("winner %+v, loser %+v", winner, loser)
	}
}

// The answer is told while the client is disconnected.
func TestSubmitAndWaitLooksIntoTheStreamAfterAReconnection(t *testing.T) {
	p := setup(t)
	g := &gate{}
	c := p.client(p.broker.Connect(t, nats.SetCustomDialer(g)))
	op := p.create("valve-7")
	pending, err := c.Start(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Stop()
	if _, err := pending.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.set(true)
	if err := c.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the connection to break", func(context.Context) bool { return !c.nc.IsConnected() })
	p.hire()
	if _, err := p.c.Wait(t.Context(), op.Target, op.ID); err != nil { // over another connection
		t.Fatal(err)
	}
	g.set(false)
	outcome, err := pending.Outcome(t.Context())
	if err != nil || !outcome.Succeeded() {
		t.Errorf("outcome %+v, %v", outcome, err)
	}
}

// lost is an acknowledgement that a broken connection has swallowed.
type lost struct{ jetstream.PubAckFuture }

func (lost) Ok() <-chan *jetstream.PubAck { return nil }

func (lost) Err() <-chan error {
	ch := make(chan error, 1)
	ch <- nats.ErrDisconnected
	return ch
}

func TestALostAcknowledgementIsAskedForAgain(t *testing.T) {
	p := setup(t)
	pending, err := p.c.Start(t.Context(), p.create("valve-7"))
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Stop()
	first, err := pending.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pending.ack, pending.acked, pending.known = lost{}, nil, nil
	again, err := pending.Stored(t.Context())
	if err != nil || again.Sequence != first.Sequence || !again.Duplicate {
		t.Errorf("again %+v, %v; want a duplicate of %+v", again, err, first)
	}
}

func TestALostAcknowledgementWaitsForTheConnection(t *testing.T) {
	p := setup(t)
	g := &gate{}
	c := p.client(p.broker.Connect(t, nats.SetCustomDialer(g)))
	pending, err := c.Start(t.Context(), p.create("valve-7"))
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Stop()
	if _, err := pending.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.set(true)
	if err := c.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the connection to break", func(context.Context) bool { return !c.nc.IsConnected() })
	pending.ack, pending.acked, pending.known = lost{}, nil, nil
	stored := make(chan error, 1)
	go func() {
		_, err := pending.Stored(t.Context())
		stored <- err
	}()
	g.set(false)
	if err := <-stored; err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsContextAndTheConnection(t *testing.T) {
	p := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.c.Wait(ctx, uuid.New(), uuid.New()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a done context: %v", err)
	}
	op := p.create("valve-7")
	pending, err := p.c.Start(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Stop()
	if _, err := pending.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.c.nc.Close()
	if _, err := pending.Outcome(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("with a closed connection: %v, want ErrUnavailable", err)
	}
}

// Two of the client's calls wait for the same operation: both are answered, and the
// subscription ends with the last.
func TestWaitsForOneEntityShareASubscription(t *testing.T) {
	p := setup(t)
	op := p.create("valve-7")
	first, err := p.c.Start(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.c.Start(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.c.desks); n != 1 || p.c.desks[op.Target].count != 2 {
		t.Errorf("%d desks, the entity's for %d", n, p.c.desks[op.Target].count)
	}
	p.hire()
	for _, pending := range []*Pending{first, second} {
		if outcome, err := pending.Outcome(t.Context()); err != nil || !outcome.Succeeded() {
			t.Errorf("outcome %+v, %v", outcome, err)
		}
		pending.Stop()
	}
	if n := len(p.c.desks); n != 0 {
		t.Errorf("%d desks are left", n)
	}
}

func TestR17_CancelIsAnswered(t *testing.T) {
	p := setup(t)
	op := p.create("valve-7")
	if _, err := p.c.Submit(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	type result struct {
		Cancellation
		err error
	}
	answered := make(chan result, 1)
	go func() {
		answer, err := p.c.Cancel(t.Context(), op.Target, op.ID, "changed my mind")
		answered <- result{answer, err}
	}()
	natstest.Await(t, "the cancellation to be stored", func(ctx context.Context) bool {
		stream, err := p.js.Stream(ctx, p.c.space.OpsStream())
		return err == nil && stream.CachedInfo().State.LastSeq == 2
	})
	p.hire() // finds both
	if got := <-answered; got.err != nil || !got.Cancelled {
		t.Errorf("%+v", got)
	}
	if outcome, err := p.c.Wait(t.Context(), op.Target, op.ID); err != nil || outcome.Status != operation.Cancelled {
		t.Errorf("the operation: %+v, %v", outcome, err)
	}
	late, err := p.c.Cancel(t.Context(), op.Target, op.ID, "")
	if err != nil || late.Cancelled || late.Status != operation.Cancelled {
		t.Errorf("too late: %+v, %v", late, err)
	}
	unknown, err := p.c.Cancel(t.Context(), op.Target, uuid.New(), "")
	if err != nil || unknown.Cancelled || unknown.Status != "" {
		t.Errorf("an unknown one: %+v, %v", unknown, err)
	}
}

func TestWatchFilters(t *testing.T) {
	p := setup(t)
	p.hire()
	p.end(p.create("valve-7"))
	lost := p.end(p.modify("valve-7", "open"))
	p.end(p.create("valve-8"))
	completed := []operation.Kind{operation.CompletedEvent}
	for name, c := range map[string]struct {
		filter Filter
		want   []operation.Kind
	}{
		"entity": {Filter{Entity: "valve-8"}, []operation.Kind{operation.StartedEvent, operation.CompletedEvent}},
		"kinds":  {Filter{Kinds: completed}, []operation.Kind{operation.CompletedEvent, operation.CompletedEvent}},
		"op":     {Filter{OpID: lost.OpID}, []operation.Kind{operation.StartedEvent, operation.RejectedEvent}},
	} {
		c.filter.Since = time.Unix(0, 0)
		var got []operation.Kind
		for event, err := range p.c.Watch(t.Context(), c.filter) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, event.Kind()); len(got) == len(c.want) {
				break
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	p := setup(t)
	p.hire()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.end(p.create("valve-7"))
	for _, err := range p.c.Watch(ctx, Filter{Since: time.Unix(0, 0)}) {
		if err != nil {
			t.Errorf("ended with %v", err)
		}
		cancel()
	}
}

func TestConcernsCountsContenders(t *testing.T) {
	first, second, other := uuid.New(), uuid.New(), uuid.New()
	contender := func(id uuid.UUID) operation.Contender {
		return operation.Contender{OpID: id, Priority: operation.Low, EffectivePriority: operation.Low}
	}
	event, err := operation.NewEvent(operation.ConflictEvent, "1", 0, "e", time.Now(), "", operation.ConflictDetail{
		Detail: operation.Detail{OpID: first}, Contenders: []operation.Contender{contender(first), contender(second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uuid.UUID]bool{first: true, second: true, other: false} {
		if got := Concerns(&event, id); got != want {
			t.Errorf("concerns %s: %t", id, got)
		}
	}
}

func TestReadingByName(t *testing.T) {
	p := setup(t)
	p.hire()
	p.end(p.create("plant-1"))
	child := p.create("valve-7")
	child.Params = p.op(Request{Type: operation.CreateEntity, Target: "valve-7", Params: map[string]any{
		"type": "valve", "components": map[string]any{"position": 0}, "parent_id": "plant-1",
	}}).Params
	p.end(child)
	p.end(p.op(Request{Type: operation.VersionEntity, Target: "valve-7"}))
	head, err := p.c.Get(t.Context(), "valve-7")
	if err != nil || head.Name != "valve-7" || head.VersionCount != 2 {
		t.Errorf("head %+v, %v", head, err)
	}
	tree, err := p.c.Tree(t.Context(), "plant-1")
	if err != nil || len(tree.Children) != 1 || tree.Children[0].Entity.Name != "valve-7" {
		t.Errorf("tree %+v, %v", tree, err)
	}
	var versions []uint64
	for version, err := range p.c.History(t.Context(), "valve-7") {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, version.Number)
	}
	if !slices.Equal(versions, []uint64{1, 2}) {
		t.Errorf("versions %v", versions)
	}
	if version, err := p.c.Version(t.Context(), "valve-7", 2); err != nil || version.Number != 2 {
		t.Errorf("version %+v, %v", version, err)
	}
	if version, err := p.c.At(t.Context(), "valve-7", time.Now()); err != nil || version.Number != 2 {
		t.Errorf("now: %+v, %v", version, err)
	}
	if _, err := p.c.Get(t.Context(), "valve-9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	if fences, err := p.c.Reader().Fences(t.Context()); err != nil || len(fences) == 0 {
		t.Errorf("fences %v, %v", fences, err)
	}
	if _, err := ecsstore.NewReader(p.js, p.c.space).Get(t.Context(), head.ID); err != nil {
		t.Error(err)
	}
}
