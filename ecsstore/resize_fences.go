package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// claims returns the steps that claim every fence there is or will be.
func (z *Resizing) claims(to int) []Step {
	z.fences = make([]Held, z.size())
	steps := make([]Step, 0, len(z.fences))
	for p := range z.fences {
		steps = append(steps, Step{fmt.Sprint("claim ", p), func(ctx context.Context) error { return z.claim(ctx, p, to) }})
	}
	return steps
}

// claimTries is how often a claim is tried against commits that come in between.
const claimTries = 10

// claim takes a partition from its owner, and keeps others from claiming it until it is
// of the new number.
func (z *Resizing) claim(ctx context.Context, partition, to int) error {
	for try := 1; ; try++ {
		var was operation.Fence
		expect, err := z.s.last(ctx, z.s.space.Fence(partition), &was)
		if err != nil {
			return err
		}
		next := was.Claimed(partition, z.want.Owner)
		next.Resizing, next.Crashes = to, 0
		if next.Partitions == 0 {
			next.Partitions = z.was.Partitions
		}
		held := &z.fences[partition]
		*held = Held{Fence: next, Expect: expect}
		err = z.s.writeFences(ctx, held)
		if errors.Is(err, ErrRefused) && try < claimTries {
			continue
		}
		return err
	}
}

// move returns the steps that give the claimed fences a number of partitions.
func (z *Resizing) move(to int) []Step {
	return []Step{
		{"remember", func(ctx context.Context) error { return z.remember(ctx, to) }},
		{"commit", func(ctx context.Context) error { return z.commit(ctx, to) }},
	}
}

// commit is the point of no return: one batch with the fences of all partitions, under
// the condition that they are still the claimed ones.
func (z *Resizing) commit(ctx context.Context, to int) error {
	b := &Batch{ID: uuid.NewString()}
	z.sum.Generation = 1
	for _, t := range z.fences {
		z.sum.Generation = max(z.sum.Generation, t.Fence.Generation+1)
	}
	now := time.Now().UTC()
	for p := range z.fences {
		b.Parts = append(b.Parts, z.part(p, to, now))
	}
	receipt, err := z.s.Commit(ctx, b)
	if err != nil {
		return err
	}
	for p := range z.fences {
		z.fences[p] = Held{Fence: b.Parts[p].Fence, Expect: receipt.Fences[p]}
	}
	z.committed = to == z.want.To
	return nil
}

// part is a partition's share of the commit: its fence, released, and a decision record
// that says what happened.
func (z *Resizing) part(p, to int, now time.Time) Part {
	f := z.fences[p].Fence
	w := operation.Window{
		ID: operation.WindowID(p, f.Windows+1), Partition: p, Number: f.Windows + 1, Owner: f.Owner, Epoch: f.Epoch,
		After: f.Cursor, Cursor: f.Cursor, Cause: operation.ClosedByResize, Opened: now, Closed: now, Partitions: to,
	}
	if to == z.want.To { // what was accepted has ended
		w.Cursor = z.end
	}
	f.Partitions, f.Resizing, f.Released = to, 0, true
	f.Generation = z.sum.Generation
	f.Windows, f.Cursor, f.Time = w.Number, w.Cursor, now
	return Part{Fence: f, Expect: z.fences[p].Expect, Windows: []operation.Window{w}}
}
