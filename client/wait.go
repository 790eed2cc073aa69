package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Outcome is how an operation ended.
type Outcome struct {
	OpID     uuid.UUID          `json:"op_id"`
	Target   uuid.UUID          `json:"target_entity_id"`
	Status   operation.Status   `json:"status"`
	Reason   operation.Reason   `json:"reason,omitempty"`  // why it was rejected
	Message  string             `json:"message,omitempty"` // the same for people
	Winner   uuid.UUID          `json:"winner_op_id,omitzero"`
	Attempt  int                `json:"attempt,omitempty"`  // that succeeded, counted from 1
	Version  uint64             `json:"version,omitempty"`  // the entity's latest
	Revision uint64             `json:"revision,omitempty"` // the head's
	Changes  []operation.Change `json:"changes,omitempty"`
	Event    operation.Event    `json:"event"` // that said so
}

// Succeeded reports whether the operation was executed.
func (o *Outcome) Succeeded() bool { return o.Status == operation.Succeeded }

// SubmitAndWait submits an operation and returns how it ended. A rejected operation
// is an outcome and no error. When ctx ends first the operation goes on without its
// publisher; [Client.Wait] finds it again.
func (c *Client) SubmitAndWait(ctx context.Context, op *operation.Operation) (Outcome, error) {
	p, err := c.Start(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	defer p.Stop()
	return p.Outcome(ctx)
}

// Wait returns how an operation that was submitted before ended, or will end.
func (c *Client) Wait(ctx context.Context, target, op uuid.UUID) (Outcome, error) {
	w, err := c.wait(target, op)
	if err != nil {
		return Outcome{}, fmt.Errorf("waiting for operation %s: %w", op, explain(ctx, err))
	}
	defer w.stop()
	return w.outcome(ctx, true)
}

// How often a wait that hears nothing looks into the stream: first soon, then less
// and less.
const (
	patienceFirst = 2 * time.Second
	patienceMost  = 30 * time.Second
	lookTimeout   = 10 * time.Second
)

// wait is one call that waits for the answer to an operation or a cancellation.
type wait struct {
	c          *Client
	entity, id uuid.UUID
	answers    <-chan answer
	status     chan nats.Status
	denied     chan error // holds the first denial
	undeny     func()
	began      time.Time
	looked     bool // from the beginning of the stream
}

// wait subscribes to the answer for id, which is about entity. The uses are what the
// caller publishes to besides. Its stop must be called.
func (c *Client) wait(entity, id uuid.UUID, uses ...string) (*wait, error) {
	answers, err := c.attend(entity, id)
	if err != nil {
		return nil, err
	}
	w := &wait{
		c: c, entity: entity, id: id, answers: answers, denied: make(chan error, 1), began: time.Now(),
		status: c.nc.StatusChanged(nats.CONNECTED, nats.CLOSED),
	}
	w.undeny = c.denials.add(func(err error) {
		select {
		case w.denied <- err:
		default:
		}
	}, append(uses, c.space.EventsAbout(entity)))
	return w, nil
}

func (w *wait) stop() {
	w.undeny()
	w.c.nc.RemoveStatusListener(w.status)
	w.c.leave(w.entity, w.id, w.answers)
}

// outcome waits for the operation's end. One that is repeated may have ended
// before the wait began.
func (w *wait) outcome(ctx context.Context, repeated bool) (Outcome, error) {
	a, err := w.answer(ctx, repeated)
	if err != nil {
		return Outcome{}, fmt.Errorf("waiting for operation %s: %w", w.id, explain(ctx, err))
	}
	status, _ := a.kind.Outcome()
	return Outcome{
		OpID: w.id, Target: w.entity, Status: status, Event: a.event,
		Reason: a.detail.Reason, Message: a.detail.Message, Winner: a.detail.WinnerOpID,
		Attempt: a.detail.Attempt, Version: a.detail.Version, Revision: a.detail.Revision, Changes: a.detail.Changes,
	}, nil
}

// answer waits for the answer. It hears it live, and looks into the stream where it
// may have missed it: at once for a repeated operation, after each reconnection, and
// now and then in case it was told while nobody noticed.
func (w *wait) answer(ctx context.Context, repeated bool) (answer, error) {
	patience := patienceFirst
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for look := repeated; ; look = true {
		if look {
			if a, found, err := w.look(ctx); found || err != nil {
				return a, err
			}
			timer.Reset(patience)
		}
		select {
		case a := <-w.answers:
			return a, nil
		case err := <-w.denied:
			return answer{}, err
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case status := <-w.status:
			if status == nats.CLOSED {
				return answer{}, nats.ErrConnectionClosed
			}
			patience = patienceFirst
		case <-timer.C:
			patience = min(2*patience, patienceMost)
		}
	}
}

// look searches the stream for the answer: the first time from its beginning, for
// the operation may be one of long ago, and from shortly before the wait afterwards.
// A stream that cannot be read now is no error: the next look may have more luck.
func (w *wait) look(ctx context.Context) (answer, bool, error) {
	guarded, stop := w.c.reading(ctx)
	defer stop()
	short, cancel := context.WithTimeout(guarded, lookTimeout)
	defer cancel()
	filter := ecsstore.EventFilter{Kinds: answers, Entity: w.entity}
	if w.looked {
		filter.Since = w.c.brokerTime(short, w.began)
	}
	for stored, err := range w.c.read.Events(short, filter) {
		if err != nil {
			return answer{}, false, hopeless(guarded, err)
		}
		if a, err := newAnswer(stored.Kind, stored.Body); err == nil && a.is(w.id) {
			return a, true, nil
		}
	}
	w.looked = true
	return answer{}, false, nil
}

// hopeless returns the error of a look after which another one makes no sense.
func hopeless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, ecsstore.ErrNotInitialized) {
		return err
	}
	return nil
}

// clockMargin is added to the age of what is looked for.
const clockMargin = 10 * time.Second

// brokerTime translates a time of the local clock to the broker's, some seconds
// early. It returns the zero time, the beginning, where the broker does not tell.
func (c *Client) brokerTime(ctx context.Context, local time.Time) time.Time {
	stream, err := c.js.Stream(ctx, c.space.StoreStream())
	if err != nil || stream.CachedInfo().TimeStamp.IsZero() {
		return time.Time{}
	}
	return stream.CachedInfo().TimeStamp.Add(-time.Since(local) - clockMargin)
}
