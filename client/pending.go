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

	known *stored // once the acknowledgement has come, which it does once
}

// stored is what became of a message: the broker's receipt or why there is none.
type stored struct {
	receipt Receipt
	err     error
}

// stallWait is how long Start waits while too many acknowledgements are outstanding.
const stallWait = 5 * time.Second

// Start publishes an operation as [Client.Submit] does, but without waiting for
// anything, so that many can be sent in order one after the other. The context bounds
// all that is done with the result, whose Stop must be called.
func (c *Client) Start(ctx context.Context, op *operation.Operation) (*Pending, error) {
	msg, err := c.Message(ctx, op)
	if err != nil {
		return nil, err
	}
	w, err := c.wait(ctx, op.Target, op.ID, msg.Subject)
	if err != nil {
		return nil, fmt.Errorf("submitting operation %s: %w", op.ID, err)
	}
	p := &Pending{c: c, op: op, w: w, msg: msg}
	if err := p.publish(); err != nil {
		w.stop()
		return nil, fmt.Errorf("submitting operation %s: %w", op.ID, publishError(w.ctx, err))
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
func (p *Pending) Stored() (Receipt, error) {
	if p.known == nil {
		p.known = new(stored)
		p.known.receipt, p.known.err = p.acknowledged()
	}
	if err := p.known.err; err != nil {
		return Receipt{}, fmt.Errorf("submitting operation %s: %w", p.op.ID, err)
	}
	return p.known.receipt, nil
}

// acknowledged waits for the acknowledgement. If the connection breaks it cannot come any
// more; the operation is then sent again, which is harmless if it was stored.
func (p *Pending) acknowledged() (Receipt, error) {
	for {
		select {
		case ack := <-p.ack.Ok():
			return p.c.receipt(p.w.ctx, p.op, ack)
		case err := <-p.ack.Err():
			if !errors.Is(err, nats.ErrDisconnected) {
				return Receipt{}, publishError(p.w.ctx, err)
			}
			if err := p.again(); err != nil {
				return Receipt{}, publishError(p.w.ctx, err)
			}
		case <-p.w.ctx.Done():
			return Receipt{}, context.Cause(p.w.ctx)
		}
	}
}

// again waits for the connection and publishes once more.
func (p *Pending) again() error {
	for !p.c.nc.IsConnected() {
		select {
		case status := <-p.w.status:
			if status == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
		case <-p.w.ctx.Done():
			return context.Cause(p.w.ctx)
		}
	}
	return p.publish()
}

// Outcome returns how the operation ended. A rejected operation is an outcome and
// no error.
func (p *Pending) Outcome() (Outcome, error) {
	receipt, err := p.Stored()
	if err != nil {
		return Outcome{}, err
	}
	return p.w.outcome(receipt.Duplicate)
}
