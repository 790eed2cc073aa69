package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Errors of a claim. ErrHalted means that the streams contradict each other: the
// partition must not go on until somebody has looked (rule R25). ErrResized means
// that the store has to be opened again, ErrResizing that this will be so in a moment.
var (
	ErrLost     = errors.New("another worker owns the partition")
	ErrHalted   = errors.New("partition halted")
	ErrResizing = errors.New("the number of partitions is being changed")
	ErrResized  = errors.New("the number of partitions has changed")
)

// Held is a partition as its owner holds it.
type Held struct {
	Fence  operation.Fence
	Expect uint64 // stream sequence of the fence
}

// Claim is a partition as its new owner finds it.
type Claim struct {
	Held

	Unclean bool               // the owner before did not let go in good order
	Records []operation.Record // operations that outlived their window, in the order of their sequence
	Ledger  []LedgerPage       // oldest first
	Tail    uint64             // sequence of the partition's last operation when it was claimed, 0 if there was none
}

// LedgerPage is what a decision record, or a page that stands in for some, says about the
// operations it took or ended. Of those that a checkpoint tells of no more is known than
// rule R9 needs.
type LedgerPage struct {
	Sequence uint64 // of the record in the store
	Taken    []operation.Taken
	Settled  []operation.Settled
	Handed   bool // a page that stands in for records of another number of partitions
}

// Claim makes owner the owner of a partition: from the moment it has written the
// fence, every commit of an earlier owner is refused. A positive epoch is the one
// the caller had: the claim fails with [ErrLost] if the partition has moved on.
func (s *JetStream) Claim(ctx context.Context, partition int, owner string, epoch uint64) (Claim, error) {
	var c Claim
	var err error
	if c.Expect, err = s.last(ctx, s.space.Fence(partition), &c.Fence); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := c.allowed(s.partitions, epoch); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if c.Tail, err = s.input(ctx, partition, c.Fence.Cursor); err != nil {
		return Claim{}, err
	}
	c.Unclean = c.Fence.Unclean()
	c.Fence = c.Fence.Claimed(partition, owner)
	c.Fence.Partitions = s.partitions
	if c.Tail <= c.Fence.Cursor {
		c.Fence.Crashes = 0 // whatever its owners died of, it was none of its operations
	}
	if err := s.seize(ctx, &c); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	return c, nil
}

// seize writes the claim's fence, and reads what the partition left in the store: most of
// the ledger before, or while the fence is on its way.
func (s *JetStream) seize(ctx context.Context, c *Claim) error {
	early := s.prepared.take(c.Fence.Partition)
	if early == nil {
		early = s.readAhead(ctx, c.Fence)
	}
	if err := s.writeFences(ctx, &c.Held); err != nil {
		return err
	}
	<-early.done // no later than its context is
	err := early.err
	if errors.Is(err, ErrHalted) {
		return s.broken(err)
	}
	if err == nil {
		c.Ledger = early.claim.Ledger
		err = s.replay(ctx, c, &early.book)
		if !errors.Is(err, errDisjoint) {
			return err
		}
	}
	c.Ledger = nil
	return s.replay(ctx, c, &ledger{next: c.Fence.Ledger})
}

// allowed reports why a worker that knows a number of partitions may not claim the
// one whose fence was just read.
func (c *Claim) allowed(partitions int, epoch uint64) error {
	switch f := &c.Fence; {
	case f.Resizing > 0:
		return fmt.Errorf("%w from %d to %d by %s", ErrResizing, partitions, f.Resizing, f.Owner)
	case f.Partitions > 0 && f.Partitions != partitions:
		return fmt.Errorf("%w from %d to %d", ErrResized, partitions, f.Partitions)
	case epoch > 0 && f.Epoch != epoch:
		return fmt.Errorf("%w: %s", ErrLost, f.Owner)
	}
	return nil
}

// Fence returns the fence of a partition, the zero fence if it was never claimed.
func (s *JetStream) Fence(ctx context.Context, partition int) (operation.Fence, error) {
	var f operation.Fence
	_, err := s.last(ctx, s.space.Fence(partition), &f)
	return f, err
}

// Release tells the next owners of partitions that this one let go in good order: of all
// or, if one of them has moved on, of none.
func (s *JetStream) Release(ctx context.Context, held ...Held) error {
	if err := s.writeFences(ctx, released(held)...); err != nil {
		return fmt.Errorf("releasing partitions %d: %w", partitions(held), err)
	}
	return nil
}

// released returns partitions as their owner leaves them.
func released(held []Held) []*Held {
	out := make([]*Held, len(held))
	for i, h := range held {
		h.Fence.Released = true
		out[i] = &h
	}
	return out
}

func partitions(held []Held) (out []int) {
	for _, h := range held {
		out = append(out, h.Fence.Partition)
	}
	return out
}

// writeFences replaces fences under compare-and-swap, all or none, by a batch of nothing else.
func (s *JetStream) writeFences(ctx context.Context, held ...*Held) error {
	id := uuid.NewString()
	batch, err := fencesAlone(s.space, id, held)
	if err != nil {
		return err
	}
	first, err := s.publish(ctx, id, batch)
	if err != nil {
		return err
	}
	stand(held, first)
	return nil
}

// fencesAlone dates fences and returns them as the messages of a batch.
func fencesAlone(space subjects.Space, id string, held []*Held) ([]message, error) {
	batch := make([]message, len(held))
	for i, h := range held {
		h.Fence.BatchID, h.Fence.Time = id, time.Now().UTC()
		data, err := json.Marshal(&h.Fence)
		if err != nil {
			return nil, fmt.Errorf("encoding the fence: %w", err)
		}
		batch[i] = message{subject: space.Fence(h.Fence.Partition), data: data}
		batch[i].expect(h.Expect)
		batch[i].rollup()
	}
	return batch, nil
}

// stand notes where fences are, of which the first was stored at first.
func stand(held []*Held, first uint64) {
	for i, h := range held {
		h.Expect = first + uint64(i) //nolint:gosec // an index
	}
}

// tail returns the sequence of a partition's last operation, 0 if there is none.
func (s *JetStream) tail(ctx context.Context, partition int) (uint64, error) {
	msg, err := s.leaderGet(ctx, s.space.OpsStream(), getRequest{LastFor: s.space.Submitted(partition)})
	if err != nil || msg == nil {
		return 0, err
	}
	return msg.Sequence, nil
}

// input compares the cursor with the operations stream: operations it has not passed
// must all be there. It returns the sequence of the partition's last one.
func (s *JetStream) input(ctx context.Context, partition int, cursor uint64) (tail uint64, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		info, err := s.ops.Info(ctx)
		if err != nil {
			return unreadable(s.space.OpsStream(), err)
		}
		return checkCursor(s.space.OpsStream(), partition, cursor, info.State)
	})
	group.Go(func() error {
		last, err := s.tail(ctx, partition)
		tail = last
		if err != nil {
			return fmt.Errorf("claiming partition %d: %w", partition, err)
		}
		return nil
	})
	return tail, group.Wait()
}

// unreadable says why a stream was not read. One that is gone halts the partition.
func unreadable(stream string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrNotInitialized) {
		return fmt.Errorf("%w: stream %s does not exist: restore it from a backup", ErrHalted, stream)
	}
	return fmt.Errorf("reading stream %s: %w", stream, err)
}

func checkCursor(stream string, partition int, cursor uint64, state jetstream.StreamState) error {
	switch {
	case state.LastSeq < cursor:
		return fmt.Errorf("%w: partition %d has resolved stream %s up to %d, but the stream ends at %d: it has rewound; restore it from a backup",
			ErrHalted, partition, stream, cursor, state.LastSeq)
	case state.FirstSeq > cursor+1:
		return fmt.Errorf("%w: partition %d has resolved stream %s up to %d, but the stream begins at %d: operations are missing; restore it from a backup",
			ErrHalted, partition, stream, cursor, state.FirstSeq)
	case state.NumDeleted > 0:
		return fmt.Errorf("%w: stream %s has %d holes: operations are missing; restore it from a backup",
			ErrHalted, stream, state.NumDeleted)
	}
	return nil
}
