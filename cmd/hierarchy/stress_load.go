package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// load publishes the operations of a run, many at a time, and knows what the broker
// answered to each. What may or may not have been stored is published again: the
// broker and the worker recognise an operation they have.
type load struct {
	js    jetstream.JetStream
	space subjects.Space
	maker *maker
	book  *book
	acked atomic.Int64
	room  *semaphore.Weighted // for operations on their way
	short bool                // the way ends with the acknowledgement, not with the outcome
	most  int                 // operations to publish in a run; 0 for any number

	mu     sync.Mutex  // guards those below
	again  []*nats.Msg // nobody knows whether it is stored
	resent int
}

// How operations are published again.
const (
	ackTimeout = 10 * time.Second
	againEvery = 100 * time.Millisecond
)

// newLoad returns a load with room for some operations on their way. Open makes the
// JetStream context that has the load's handlers.
func newLoad(m *maker, b *book, room int, open func(...jetstream.JetStreamOpt) (jetstream.JetStream, error)) (*load, error) {
	l := &load{maker: m, book: b, room: semaphore.NewWeighted(int64(room))}
	js, err := open(
		jetstream.WithPublishAsyncMaxPending(room+maxBatch),
		jetstream.WithPublishAsyncTimeout(ackTimeout),
		jetstream.WithPublishAsyncAckHandler(l.ack),
		jetstream.WithPublishAsyncErrHandler(l.fail),
	)
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	l.js = js
	return l, nil
}

func (l *load) ack(jetstream.JetStream, *nats.Msg, *jetstream.PubAck) {
	l.acked.Add(1)
	if l.short {
		l.room.Release(1)
	}
}

// ended gives room back for operations whose outcome was seen.
func (l *load) ended(n int) {
	if !l.short && n > 0 {
		l.room.Release(int64(n))
	}
}

// fail sorts out a publish that was not acknowledged. At its bound the operations
// stream refuses; of anything else nobody knows how it ended.
func (l *load) fail(_ jetstream.JetStream, msg *nats.Msg, err error) {
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) && strings.HasPrefix(refusal.Description, "maximum ") {
		l.book.refuse(l.number(msg))
		l.room.Release(1)
		return
	}
	l.mu.Lock()
	l.again = append(l.again, msg)
	l.mu.Unlock()
}

// number returns which operation a message carries.
func (l *load) number(msg *nats.Msg) int {
	_, id, _ := strings.Cut(msg.Header.Get(jetstream.MsgIDHeader), "/")
	op, err := uuid.Parse(id)
	if err != nil {
		return -1
	}
	n, _ := l.maker.series.number(op)
	return n
}

// send publishes operations back to back, so that they are likely to meet in one
// window.
func (l *load) send(batch []*operation.Operation) error {
	for _, op := range batch {
		body, err := op.Encode()
		if err != nil {
			return err
		}
		msg := &nats.Msg{Subject: l.space.Submit(op.Priority, op.Target), Data: body, Header: nats.Header{
			jetstream.MsgIDHeader: {op.Target.String() + "/" + op.ID.String()},
		}}
		l.book.submit(time.Now())
		l.publish(msg)
	}
	return nil
}

func (l *load) publish(msg *nats.Msg) {
	if _, err := l.js.PublishMsgAsync(msg); err != nil {
		l.fail(l.js, msg, err)
	}
}

// create publishes the operations that create the targets.
func (l *load) create(ctx context.Context) error {
	for target := range l.maker.targets {
		op, err := l.maker.create(target)
		if err != nil {
			return err
		}
		if err := l.room.Acquire(ctx, 1); err != nil {
			return fmt.Errorf("creating the targets: %w", context.Cause(ctx))
		}
		if err := l.send([]*operation.Operation{op}); err != nil {
			return err
		}
	}
	return nil
}

// run publishes batches until ctx is done or there are enough: at a rate, or at rate 0
// as fast as there is room.
func (l *load) run(ctx context.Context, rate float64) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	sent := 0
	for due := time.Now(); l.most == 0 || sent < l.most; {
		batch := l.maker.next()
		sent += len(batch)
		if rate > 0 {
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
			due = due.Add(time.Duration(float64(len(batch)) / rate * float64(time.Second)))
		}
		if l.room.Acquire(ctx, int64(len(batch))) != nil || ctx.Err() != nil {
			return nil // the time is over
		}
		if err := l.send(batch); err != nil {
			return err
		}
	}
	return nil
}

// repeat publishes again what may not have been stored, until ctx is done.
func (l *load) repeat(ctx context.Context) {
	ticker := time.NewTicker(againEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if l.js.Conn().IsConnected() {
				l.repeatOnce()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) repeatOnce() {
	l.mu.Lock()
	doubtful := l.again
	l.again = nil
	l.resent += len(doubtful)
	l.mu.Unlock()
	for _, msg := range doubtful {
		l.publish(msg)
	}
}

// inDoubt returns how many operations there are of which nobody knows whether they
// are stored: neither an acknowledgement nor an outcome was seen.
func (l *load) inDoubt() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	doubtful := l.js.PublishAsyncPending()
	for _, msg := range l.again {
		if !l.book.over(l.number(msg)) {
			doubtful++
		}
	}
	return doubtful
}

// repeated returns how often an operation was published again.
func (l *load) repeated() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resent
}
