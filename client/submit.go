package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Receipt tells where the broker has stored an operation.
type Receipt struct {
	OpID      uuid.UUID `json:"op_id"`
	Target    uuid.UUID `json:"target_entity_id"`
	Sequence  uint64    `json:"sequence"`            // in the operations stream
	Duplicate bool      `json:"duplicate,omitempty"` // it was there already
}

// Submit publishes an operation and returns when the broker has stored it. It fills
// in what op lacks: a missing priority is normal; an operation without op_id gets a
// new one and, if it has none, the present time as created_at. One that comes with
// its op_id is published as it is, so that submitting it again repeats it exactly.
//
// An error may leave open whether the operation was stored: a time-out or a broken
// connection does, [ErrQueueFull], [ErrIntakeClosed] and a failed check do not. Submit
// it again then. While the number of partitions is being changed Submit waits, as long as
// ctx allows; for half a minute if ctx has no deadline.
func (c *Client) Submit(ctx context.Context, op *operation.Operation) (Receipt, error) {
	msg, err := c.Message(ctx, op)
	if err != nil {
		return Receipt{}, err
	}
	ctx, stop := c.denials.guard(ctx, msg.Subject)
	defer stop()
	ack, err := c.publish(ctx, msg)
	if err != nil {
		return Receipt{}, fmt.Errorf("submitting operation %s: %w", op.ID, err)
	}
	receipt, err := c.receipt(ctx, op, ack)
	if err != nil {
		return Receipt{}, fmt.Errorf("submitting operation %s: %w", op.ID, err)
	}
	return receipt, nil
}

// publish publishes a message and returns the broker's acknowledgement.
func (c *Client) publish(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	intake := intake{c: c}
	for {
		ack, err := c.js.PublishMsg(ctx, msg)
		if err == nil {
			return ack, nil
		}
		if err := intake.reopened(ctx, err); err != nil {
			return nil, publishError(ctx, err)
		}
	}
}

// receipt turns the broker's acknowledgement into ours.
func (c *Client) receipt(ctx context.Context, op *operation.Operation, ack *jetstream.PubAck) (Receipt, error) {
	if ack.Duplicate {
		if err := c.compare(ctx, op, ack.Sequence); err != nil {
			return Receipt{}, err
		}
	}
	return Receipt{OpID: op.ID, Target: op.Target, Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// Message returns the message that [Client.Submit] publishes, after the same checks,
// for whoever publishes in another way: many at once, for example.
func (c *Client) Message(ctx context.Context, op *operation.Operation) (*nats.Msg, error) {
	fill(op)
	body, err := op.Encode()
	if err != nil {
		return nil, err
	}
	if _, err := operation.Decode(body, op.Priority.String(), op.Target.String(), c.custom); err != nil {
		return nil, fmt.Errorf("checking operation %s: %w", op.ID, err)
	}
	msg := &nats.Msg{Subject: c.space.Submit(op.Priority, op.Target), Data: body, Header: traced(ctx)}
	msg.Header[jetstream.MsgIDHeader] = []string{messageID(op.Target, op.ID)}
	return msg, nil
}

// digest is of the operation as others read it.
func (c *Client) digest(op *operation.Operation) (string, error) {
	body, err := op.Encode()
	if err != nil {
		return "", err
	}
	read, err := operation.Decode(body, op.Priority.String(), op.Target.String(), c.custom)
	if err != nil {
		return "", err
	}
	return read.Digest(), nil
}

// messageID is what the broker recognises a repeated message by. The entity is part
// of it so that nobody without access to the entity can take an operation's id.
func messageID(target, id uuid.UUID) string { return target.String() + "/" + id.String() }

func fill(op *operation.Operation) {
	if op.Priority == 0 {
		op.Priority = operation.Normal
	}
	if op.ID != uuid.Nil {
		return
	}
	op.ID = uuid.Must(uuid.NewV7())
	if op.CreatedAt.IsZero() {
		op.CreatedAt = time.Now().UTC()
	}
}

// publishError names what the broker's refusal means.
func publishError(ctx context.Context, err error) error {
	var refusal *jetstream.APIError
	switch {
	case errors.Is(err, ErrIntakeClosed):
		return err
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !errors.As(err, &refusal):
		return explain(ctx, err)
	case strings.HasPrefix(refusal.Description, "maximum "):
		return fmt.Errorf("%w (%s)", ErrQueueFull, refusal.Description)
	case refusal.Code == unavailableCode:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// unavailableCode is what the broker answers while a stream cannot take messages.
const unavailableCode = 503

// compare finds out whether a message that the broker took for a repetition is one
// (rule R9). The operations stream forgets what is resolved; then the decision
// record knows the content's digest.
func (c *Client) compare(ctx context.Context, op *operation.Operation, sequence uint64) error {
	ctx, stop := c.reading(ctx)
	defer stop()
	digest, err := c.read.Submitted(ctx, op.Target, sequence, c.custom)
	if errors.Is(err, ErrNotFound) {
		return nil // resolved so long ago that only the worker's own ledger may tell
	}
	if err != nil {
		return fmt.Errorf("comparing with the operation stored before: %w", explain(ctx, err))
	}
	ours, err := c.digest(op)
	if err == nil && digest != ours {
		return ErrOpIDConflict
	}
	return err
}
