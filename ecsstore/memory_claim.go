package ecsstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Prepare does nothing: all is at hand.
func (*Memory) Prepare(context.Context, operation.Fence) {}

// Claim makes owner the owner of a partition, as [JetStream.Claim] does.
func (m *Memory) Claim(ctx context.Context, partition int, owner string, epoch uint64) (Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var c Claim
	var err error
	if c.Expect, err = m.last(m.space.Fence(partition), &c.Fence); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := c.allowed(m.partitions, epoch); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := checkCursor(m.space.OpsStream(), partition, c.Fence.Cursor, m.ops.state()); err != nil {
		return Claim{}, err
	}
	c.Unclean = c.Fence.Unclean()
	if waiting := m.ops.list(m.space.Submitted(partition), c.Fence.Cursor+1); len(waiting) > 0 {
		c.Tail = waiting[len(waiting)-1].Sequence
	}
	c.Fence = c.Fence.Claimed(partition, owner)
	c.Fence.Partitions = m.partitions
	if c.Tail <= c.Fence.Cursor {
		c.Fence.Crashes = 0
	}
	if err = m.writeFences(ctx, CallClaim, &c.Held); err == nil {
		err = m.replay(&c)
	}
	if err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	return c, nil
}

// Release lets go of partitions, as [JetStream.Release] does.
func (m *Memory) Release(ctx context.Context, held ...Held) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writeFences(ctx, CallRelease, released(held)...); err != nil {
		return fmt.Errorf("releasing partitions %d: %w", partitions(held), err)
	}
	return nil
}

func (m *Memory) writeFences(ctx context.Context, call Call, held ...*Held) error {
	batch, err := fencesAlone(m.space, uuid.NewString(), held)
	if err != nil {
		return err
	}
	first, err := m.publish(ctx, call, batch)
	if err != nil {
		return err
	}
	stand(held, first)
	return nil
}

// replay reads what the partition left in the store.
func (m *Memory) replay(c *Claim) error {
	for _, msg := range m.store.list(m.space.Records(c.Fence.Partition), 0) {
		if err := c.remember(msg.Data); err != nil {
			return err
		}
	}
	if c.Fence.Chain == "" {
		return nil
	}
	for _, msg := range m.store.list(m.space.Ledger(c.Fence.Partition), c.Fence.Ledger) {
		if err := c.recall(msg.Data, msg.Sequence); err != nil {
			return err
		}
	}
	var book ledger
	for _, msg := range m.store.list(m.space.Window(c.Fence.Partition), c.Fence.Ledger) {
		if err := book.read(c, msg.Data, msg.Sequence); err != nil {
			return err
		}
	}
	return book.end(c)
}

// Find looks an operation up, as [JetStream.Find] does.
func (m *Memory) Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.read(ctx, CallFind); err != nil {
		return Found{}, fmt.Errorf("looking up operation %s: %w", ref.ID, err)
	}
	partition := subjects.Partition(ref.Target, m.partitions)
	fence, err := m.fence(partition)
	if err != nil {
		return Found{}, err
	}
	var r operation.Record
	if sequence, err := m.last(m.space.Record(partition, ref.ID), &r); err != nil || sequence > 0 {
		return recorded(&r), err
	}
	var waiting Found
	for _, msg := range m.ops.list(m.space.SubmittedTo(partition, ref.Target), fence.Cursor+1) {
		if waiting = pending(m.space, msg.Subject, msg.Data, ref, custom); waiting.Status != "" {
			break
		}
	}
	found, err := m.findDone(ref, waiting.Operation)
	if err != nil || found.Status != "" {
		return found, err
	}
	return waiting, nil
}

// findDone looks for the end of an operation in the target's history and events.
func (m *Memory) findDone(ref operation.Ref, waiting *operation.Operation) (Found, error) {
	head, err := m.head(ref.Target)
	if err != nil {
		return Found{}, err
	}
	if head.Entity != nil {
		if found := remembered(head.Entity, ref); found.Status != "" {
			return found, nil
		}
	}
	for _, kind := range endings(waiting) {
		for _, msg := range m.store.list(m.space.Event(kind, ref.Target), 0) {
			if found, err := ended(m.space, msg.Subject, msg.Data, ref); err != nil || found.Status != "" {
				return found, err
			}
		}
	}
	return Found{}, nil
}
