package consumer

import (
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// LedgerSize is how many operations of a partition are remembered after they were
// taken, so that the same op_id again is recognised (rule R9).
const LedgerSize = ecsstore.LedgerSize

// entry is what the ledger knows of an operation.
type entry struct {
	digest string
	status operation.Status
}

// ledger remembers the latest operations a partition has taken. It is rebuilt from
// checkpoints and the decision records behind them. The oldest decision record that it needs is
// noted in the fence.
type ledger struct {
	known map[uuid.UUID]entry
	pages []page

	latest  uint64 // store sequence of the latest decision record
	summed  uint64 // store sequence up to which the partition's checkpoints go
	behind  int    // decision records after that,
	more    int    // and what a checkpoint would have to tell of them
	settled []operation.Settled
}

// page is what one decision record added to the ledger.
type page struct {
	sequence uint64
	ids      []uuid.UUID
}

// newLedger returns the ledger of a partition whose checkpoints go up to a sequence.
func newLedger(pages []ecsstore.LedgerPage, checkpoint uint64) *ledger {
	l := &ledger{known: make(map[uuid.UUID]entry), summed: checkpoint}
	for _, p := range pages {
		if p.Handed { // it is as good as a checkpoint
			l.summed = max(l.summed, p.Sequence)
		}
	}
	for _, p := range pages {
		l.add(p.Sequence, p.Taken, p.Settled)
	}
	return l
}

// add enters a decision record stored at sequence.
func (l *ledger) add(sequence uint64, taken []operation.Taken, settled []operation.Settled) {
	var ids []uuid.UUID
	for _, t := range taken {
		if !t.Fate.Counted() || t.OpID == uuid.Nil {
			continue
		}
		ids = append(ids, t.OpID)
		l.known[t.OpID] = entry{digest: t.Digest, status: t.Status}
	}
	l.latest = max(l.latest, sequence)
	fresh := sequence > l.summed
	for _, s := range settled {
		if e, ok := l.known[s.OpID]; ok {
			l.known[s.OpID] = entry{digest: e.digest, status: s.Status}
			if fresh {
				l.settled = append(l.settled, operation.Settled{OpID: s.OpID, Status: s.Status})
			}
		}
	}
	if fresh {
		l.behind++
		l.more += len(ids) + len(settled)
	}
	if len(ids) > 0 {
		l.pages = append(l.pages, page{sequence: sequence, ids: ids})
	}
	for len(l.known) > LedgerSize && len(l.pages) > 1 {
		for _, id := range l.pages[0].ids {
			delete(l.known, id)
		}
		l.pages = l.pages[1:]
	}
}

// oldest returns the store sequence of the oldest decision record needed, or 0.
func (l *ledger) oldest() uint64 {
	if len(l.pages) == 0 {
		return 0
	}
	return l.pages[0].sequence
}
