package client

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Cancellation is the answer to a request to cancel an operation (rule R17).
type Cancellation struct {
	CancelID  uuid.UUID        `json:"cancel_id"`
	OpID      uuid.UUID        `json:"op_id"`
	Cancelled bool             `json:"cancelled"`
	Status    operation.Status `json:"status,omitempty"` // of the operation, if it was too late; empty if it is unknown
	Event     operation.Event  `json:"event"`            // that said so
}

// Cancel asks that an operation on target be given up and returns the answer. It
// works on an operation that waits; one that runs or has ended stays as it is, and
// the answer says so.
func (c *Client) Cancel(ctx context.Context, target, op uuid.UUID, reason string) (Cancellation, error) {
	request := operation.Cancel{ID: uuid.Must(uuid.NewV7()), OpID: op, Reason: reason}
	w, err := c.wait(target, request.ID)
	if err != nil {
		return Cancellation{}, fmt.Errorf("cancelling operation %s: %w", op, explain(ctx, err))
	}
	defer w.stop()
	if err := c.publishCancel(ctx, target, request); err != nil {
		return Cancellation{}, fmt.Errorf("cancelling operation %s: %w", op, err)
	}
	a, err := w.answer(ctx, false)
	if err != nil {
		return Cancellation{}, fmt.Errorf("waiting for the answer to cancelling operation %s: %w", op, explain(ctx, err))
	}
	return Cancellation{
		CancelID: request.ID, OpID: op, Event: a.event,
		Cancelled: a.kind == operation.CancelledEvent, Status: a.detail.Status,
	}, nil
}

func (c *Client) publishCancel(ctx context.Context, target uuid.UUID, request operation.Cancel) error {
	body, err := request.Encode()
	if err != nil {
		return err
	}
	if _, err := operation.DecodeCancel(body); err != nil {
		return err
	}
	msg := &nats.Msg{Subject: c.space.Cancel(target), Data: body, Header: traced(ctx)}
	msg.Header[jetstream.MsgIDHeader] = []string{messageID(target, request.ID)}
	ctx, stop := c.denials.guard(ctx, msg.Subject)
	defer stop()
	_, err = c.publish(ctx, msg)
	return err
}
