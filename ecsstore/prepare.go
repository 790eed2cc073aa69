package ecsstore

import (
	"context"
	"math"
	"sync"

	"github.com/hierarchy-events/hierarchy/operation"
)

// ahead is a ledger that is being read before the claim that needs it.
type ahead struct {
	claim Claim // its ledger
	book  ledger
	done  chan struct{} // closed when what there is has been read
	err   error
}

// prepared is what was read ahead for claims to come, by partition.
type prepared struct {
	mu sync.Mutex // guards of
	of map[int]*ahead
}

func (p *prepared) put(partition int, a *ahead) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[int]*ahead{}
	}
	p.of[partition] = a
}

// take returns what was read ahead for a partition, nil if nothing was, and forgets it.
func (p *prepared) take(partition int) *ahead {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of[partition]
	delete(p.of, partition)
	return a
}

// Prepare begins to read what a claim of the partition will need, of which there may be
// much, while it still has another owner. The claim should follow soon, with the same
// context.
func (s *JetStream) Prepare(ctx context.Context, fence operation.Fence) {
	s.prepared.put(fence.Partition, s.readAhead(ctx, fence))
}

// readAhead begins to read the checkpoints, and the decision records that there are so far.
func (s *JetStream) readAhead(ctx context.Context, fence operation.Fence) *ahead {
	a := &ahead{claim: Claim{Held: Held{Fence: fence}}, book: ledger{next: fence.Ledger}, done: make(chan struct{})}
	go func() { // ends with ctx
		defer close(a.done)
		a.err = s.sumUp(ctx, &a.claim, &a.book)
		for rest := uint64(1); rest > 0 && a.err == nil && fence.Chain != ""; {
			rest, a.err = s.readWindows(ctx, &a.claim, &a.book, math.MaxUint64)
		}
	}()
	return a
}
