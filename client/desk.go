package client

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
)

// answers are the kinds of events that somebody can wait for.
var answers = []operation.Kind{
	operation.CompletedEvent, operation.RejectedEvent, operation.CancelledEvent, operation.CancelRefusedEvent,
}

// desk hands the answers about one entity to those who wait for them. It has one
// subscription, however many wait, and exists while anybody does. The client's
// mutex guards it.
type desk struct {
	sub     *nats.Subscription
	waiting map[uuid.UUID][]chan answer // by op_id, for a cancellation by cancel_id
	count   int
}

// answer is an event that somebody may wait for.
type answer struct {
	kind   operation.Kind
	event  operation.Event
	detail detail
}

// detail has what matters of every kind of answer.
type detail struct {
	OpID       uuid.UUID          `json:"op_id"`
	CancelID   uuid.UUID          `json:"cancel_id"`
	Reason     operation.Reason   `json:"reason"`
	Message    string             `json:"message"`
	WinnerOpID uuid.UUID          `json:"winner_op_id"`
	Status     operation.Status   `json:"status"`
	Version    uint64             `json:"version"`
	Revision   uint64             `json:"revision"`
	Changes    []operation.Change `json:"changes"`
	Attempt    int                `json:"attempt"`
}

func newAnswer(kind operation.Kind, event operation.Event) (answer, error) {
	out := answer{kind: kind, event: event}
	return out, event.Decode(&out.detail)
}

// is reports whether the answer ends a wait for id.
func (a *answer) is(id uuid.UUID) bool {
	if a.kind == operation.CancelledEvent || a.kind == operation.CancelRefusedEvent {
		return a.detail.CancelID == id || a.kind == operation.CancelledEvent && a.detail.OpID == id
	}
	return a.detail.OpID == id
}

// attend subscribes to the answers about an entity, if nobody has, and returns the
// channel on which the one for id will come. The subscription is made before attend
// returns: whatever is published afterwards over the connection is answered later.
func (c *Client) attend(entity, id uuid.UUID) (<-chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[entity]
	if d == nil {
		d = &desk{waiting: map[uuid.UUID][]chan answer{}}
		var err error
		d.sub, err = c.nc.Subscribe(c.space.EventsAbout(entity), func(msg *nats.Msg) { c.deliver(d, msg) })
		if err != nil {
			return nil, fmt.Errorf("subscribing to events about entity %s: %w", entity, err)
		}
		c.desks[entity] = d
	}
	ch := make(chan answer, 1) // one answer is all that is waited for
	d.waiting[id] = append(d.waiting[id], ch)
	d.count++
	return ch, nil
}

// leave ends a wait and with the last one the desk.
func (c *Client) leave(entity, id uuid.UUID, ch <-chan answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[entity]
	rest := slices.DeleteFunc(d.waiting[id], func(other chan answer) bool { return other == ch })
	d.waiting[id] = rest
	if len(rest) == 0 {
		delete(d.waiting, id)
	}
	if d.count--; d.count == 0 {
		_ = d.sub.Unsubscribe() // fails only on a connection that is closed
		delete(c.desks, entity)
	}
}

// deliver is called by the library for one message after the other.
func (c *Client) deliver(d *desk, msg *nats.Msg) {
	kind, _, err := c.space.ParseEvent(msg.Subject)
	if err != nil || !slices.Contains(answers, kind) {
		return
	}
	var event operation.Event
	if json.Unmarshal(msg.Data, &event) != nil {
		return // whoever waits will look into the stream and meet the error there
	}
	a, err := newAnswer(kind, event)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range []uuid.UUID{a.detail.OpID, a.detail.CancelID} {
		if id == uuid.Nil || !a.is(id) {
			continue
		}
		for _, ch := range d.waiting[id] {
			select {
			case ch <- a:
			default: // it has one
			}
		}
	}
}
