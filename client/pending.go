package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Pending is an operation on its way. It is for one goroutine.
type Pending struct {
	c   *Client
	op  *operation.Operation
	w   *wait
	msg *nats.Msg
	ack jetstream.PubAckFuture

	acked *jetstream.PubAck // once the acknowledgement has come, which it does once
	known *stored
}

// stored is what became of a message: the broker's receipt or why there is none.
type stored struct {
	receipt Receipt
	err     error
}

// stallWait is how long Start waits while too many acknowledgements are outstanding.
const stallWait = 5 * time.Second

// Start publishes an operation as [Client.Submit] does, but without waiting for
// anything, so that many can be sent in order one after the other. The result's Stop
// must be called.
func (c *Client) Start(ctx context.Context, op *operation.Operation) (*Pending, error) {
	msg, err := c.Message(ctx, op)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("submitting operation %s: %w", op.ID, context.Cause(ctx))
	}
	w, err := c.wait(op.Target, op.ID, msg.Subject)
	if err != nil {
		return nil, fmt.Errorf("submitting operation %s: %w", op.ID, explain(ctx, err))
	}
	p := &Pending{c: c, op: op, w: w, msg: msg}
	if err := p.publish(); err != nil {
		w.stop()
		return nil, fmt.Errorf("submitting operation %s: %w", op.ID, publishError(ctx, err))
	}
	return p, nil
}

func (p *Pending) publish() (err error) {
	msg := &nats.Msg{Subject: p.msg.Subject, Header: p.msg.Header, Data: p.msg.Data} // the library changes it
	p.ack, err = p.c.js.PublishMsgAsync(msg, jetstream.WithStallWait(stallWait))
	return err
}

// Stop ends the waiting. The operation goes on.
func (p *Pending) Stop() { p.w.stop() }

// Stored returns when the broker has stored the operation.
func (p *Pending) Stored(ctx context.Context) (Receipt, error) {
	if p.known != nil {
		return p.known.receipt, p.known.err
	}
	receipt, err := p.acknowledged(ctx)
	if err != nil {
		err = fmt.Errorf("submitting operation %s: %w", p.op.ID, publishError(ctx, err))
	}
	if ctx.Err() == nil {
		p.known = &stored{receipt, err}
	}
	return receipt, err
}

// acknowledged waits for the acknowledgement. If the connection breaks it cannot
// come any more; the operation is then sent again, which is harmless if it was
// stored. It also is while nothing takes operations, since then nothing was.
func (p *Pending) acknowledged(ctx context.Context) (Receipt, error) {
	intake := intake{c: p.c}
	for p.acked == nil {
		select {
		case p.acked = <-p.ack.Ok():
		case err := <-p.ack.Err():
			if !errors.Is(err, nats.ErrDisconnected) {
				if err := intake.reopened(ctx, err); err != nil {
					return Receipt{}, err
				}
			}
			if err := p.again(ctx); err != nil {
				return Receipt{}, err
			}
		case err := <-p.w.denied:
			return Receipt{}, err
		case <-ctx.Done():
			return Receipt{}, ctx.Err()
		}
	}
	return p.c.receipt(ctx, p.op, p.acked)
}

// again waits for the connection and publishes once more.
func (p *Pending) again(ctx context.Context) error {
	for !p.c.nc.IsConnected() {
		select {
		case status := <-p.w.status:
			if status == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.publish()
}

// Outcome returns how the operation ended. A rejected operation is an outcome and
// no error.
func (p *Pending) Outcome(ctx context.Context) (Outcome, error) {
	receipt, err := p.Stored(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return p.w.outcome(ctx, receipt.Duplicate)
}
