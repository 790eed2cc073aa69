package consumer

import (
	"slices"

	"github.com/hierarchy-events/hierarchy/operation"
)

// When a partition gets a checkpoint: a worker that claims it has not many more decision
// records to read than this, or operations in them.
const (
	checkpointEvery = 128   // decision records
	checkpointMore  = 2_048 // operations
)

// checkpointPage is how many operations one checkpoint tells of, about: a message stays
// small that way.
const checkpointPage = 500

// due reports whether it is time for a checkpoint.
func (l *ledger) due(every int) bool { return l.behind >= every || l.more >= checkpointMore }

// checkpoints sums up the decision records after the latest checkpoint. The fence is as
// it was committed with the last of them.
func (l *ledger) checkpoints(fence *operation.Fence) []operation.Checkpoint {
	out := []operation.Checkpoint{{Partition: fence.Partition, After: fence.Checkpoint}}
	last, room := &out[0], checkpointPage
	next := func() {
		out = append(out, operation.Checkpoint{Partition: fence.Partition, After: last.Through, Through: last.Through})
		last, room = &out[len(out)-1], checkpointPage
	}
	for _, p := range l.pages {
		if p.sequence <= l.summed {
			continue
		}
		if room <= 0 {
			next()
		}
		w := operation.CheckpointWindow{Sequence: p.sequence}
		for _, id := range p.ids {
			e := l.known[id]
			w.Taken = append(w.Taken, operation.Remembered{OpID: id, Digest: e.digest, Status: e.status})
		}
		last.Windows, last.Through = append(last.Windows, w), p.sequence
		room -= len(w.Taken)
	}
	last.Through = l.latest
	for settled := range slices.Chunk(l.settled, checkpointPage) {
		if len(settled) > room {
			next()
		}
		last.Settled = settled
		room = 0
	}
	last.Chain = fence.Chain
	return out
}

// checkpointed notes that the checkpoints were stored.
func (l *ledger) checkpointed() {
	l.summed, l.behind, l.more, l.settled = l.latest, 0, 0, nil
}
