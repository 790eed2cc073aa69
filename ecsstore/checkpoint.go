package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/hierarchy-events/hierarchy/operation"
)

// checkpoints gathers what the checkpoints of a partition tell of its ledger.
type checkpoints struct {
	next    uint64 // sequence in the store from which they are yet to be read
	until   uint64 // that they are read up to: what the fence names
	after   uint64 // that those read go from,
	through uint64 // and up to
	chain   string
	pages   []LedgerPage
}

// read adds a checkpoint. What came before one that does not follow from it is of no use.
func (k *checkpoints) read(data []byte) error {
	if k.complete() {
		return nil // written since the fence was read
	}
	var c operation.Checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%w: %w", errDisjoint, err) // decision records tell the same
	}
	if c.After != k.through {
		k.after, k.pages = c.After, nil
	}
	for _, w := range c.Windows {
		page := LedgerPage{Sequence: w.Sequence, Taken: make([]operation.Taken, len(w.Taken))}
		for i, t := range w.Taken {
			page.Taken[i] = operation.Taken{OpID: t.OpID, Digest: t.Digest, Fate: operation.Contended, Status: t.Status}
		}
		k.pages = append(k.pages, page)
	}
	if len(c.Settled) > 0 {
		k.pages = append(k.pages, LedgerPage{Sequence: c.Through, Settled: c.Settled})
	}
	k.through, k.chain = c.Through, c.Chain
	return nil
}

// complete reports whether all up to what the fence names has been read.
func (k *checkpoints) complete() bool { return k.through == k.until && k.chain != "" }

// errDisjoint means that checkpoints are of no use, as where decision records behind them
// have expired meanwhile. The decision records alone tell all there is.
var errDisjoint = errors.New("decision records do not follow from the checkpoints")

// windowUpTo reports whether the ledger needs a decision record up to a sequence. There are
// none if they have expired, as have the checkpoints about them then.
func (s *JetStream) windowUpTo(ctx context.Context, c *Claim, end uint64) (bool, error) {
	if end == 0 || end < c.Fence.Ledger {
		return false, nil
	}
	first, err := s.leaderGet(ctx, s.space.StoreStream(), getRequest{Sequence: max(c.Fence.Ledger, 1), NextFor: s.space.Window(c.Fence.Partition)})
	if err != nil {
		return false, err
	}
	return first != nil && first.Sequence <= end, nil
}

// sumUp reads the checkpoints that the fence names into an empty ledger. If they are there,
// the decision records they sum up need not be read. They expire after those.
func (s *JetStream) sumUp(ctx context.Context, c *Claim, book *ledger) error {
	subject := s.space.Checkpoint(c.Fence.Partition)
	k := checkpoints{next: max(c.Fence.Ledger, 1), until: c.Fence.Checkpoint}
	for k.until > 0 && !k.complete() && k.through <= k.until {
		before := k.next
		if _, err := s.read(ctx, subject, &k.next, math.MaxUint64, func(m stored) error { return k.read(m.Data) }); err != nil {
			return err
		}
		if k.next > before {
			continue
		}
		more, err := s.leaderGet(ctx, s.space.StoreStream(), getRequest{Sequence: k.next, NextFor: subject})
		if err != nil || more == nil {
			return err
		}
		if err := pause(ctx, replayPause); err != nil { // the replica has yet to catch up
			return err
		}
	}
	if !k.complete() {
		return nil
	}
	older, err := s.windowUpTo(ctx, c, k.after)
	if err == nil && !older {
		c.Ledger = k.pages
		*book = ledger{next: k.through + 1, last: k.chain}
	}
	return err
}
