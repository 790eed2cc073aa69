package consumer

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Stats is what a worker has done since it started, and where its partitions stand.
type Stats struct {
	Submitted, Started, Failed, Retried, Duplicates int
	Succeeded, Cancelled, DeadLettered              int
	Rejected                                        map[operation.Reason]int
	Winners                                         map[operation.Priority]int
	Conflicts                                       int
	GracePeriodSaves, ExecutingProtections          int
	Commits, Messages                               int
	Refusals                                        map[string]int // refused, busy, unknown
	Fenced                                          int            // partitions found to be another's
	Claims                                          int
	Partitions                                      map[int]PartitionStats
}

// PartitionStats is where one partition of a worker stands.
type PartitionStats struct {
	Epoch      uint64
	Cursor     uint64
	Counts     operation.Counts
	LastCommit time.Time
	OldestWait time.Time // when the oldest live operation was received; zero if none is live
	MostLosses int       // of a carried operation, in a row
	Halted     string    // why the partition does not go on
}

// stats collects Stats. The engine writes, anybody reads.
type stats struct {
	mu  sync.Mutex // guards now
	now Stats

	telemetry *telemetry
}

func newStats(t *telemetry) *stats {
	return &stats{telemetry: t, now: Stats{
		Rejected: map[operation.Reason]int{}, Winners: map[operation.Priority]int{},
		Refusals: map[string]int{}, Partitions: map[int]PartitionStats{},
	}}
}

func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.now
	out.Rejected, out.Winners = maps.Clone(out.Rejected), maps.Clone(out.Winners)
	out.Refusals, out.Partitions = maps.Clone(out.Refusals), maps.Clone(out.Partitions)
	return out
}

func (s *stats) owned(partition int, f *operation.Fence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Claims++
	s.telemetry.claims.Add(s.telemetry.ctx, 1)
	s.now.Partitions[partition] = PartitionStats{Epoch: f.Epoch, Cursor: f.Cursor, Counts: f.Counts}
}

func (s *stats) disowned(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now.Partitions, partition)
}

// cursors returns the cursors of the partitions that the engine owns.
func (s *stats) cursors() map[int]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]uint64, len(s.now.Partitions))
	for id, p := range s.now.Partitions {
		if p.Halted == "" {
			out[id] = p.Cursor
		}
	}
	return out
}

// trouble notes why a partition could not be claimed.
func (s *stats) trouble(partition int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, ecsstore.ErrHalted) {
		s.now.Partitions[partition] = PartitionStats{Halted: err.Error()}
	}
	if errors.Is(err, ecsstore.ErrLost) {
		s.now.Fenced++
		s.telemetry.fenced.Add(s.telemetry.ctx, 1)
	}
}

func (s *stats) refusal(kind string) {
	s.mu.Lock()
	s.now.Refusals[kind]++
	s.mu.Unlock()
	s.telemetry.refused(kind)
}

func (s *stats) commit(out committed) {
	messages := len(out.round.batch.Writes)
	for i := range out.round.batch.Parts {
		messages += out.round.batch.Parts[i].Size()
	}
	s.mu.Lock()
	s.now.Commits++
	s.now.Messages += messages
	s.mu.Unlock()
	s.telemetry.committed(messages, out.took)
}

// decided adds what a stored draft came to.
func (s *stats) decided(partition int, d *draft, f *operation.Fence) {
	s.mu.Lock()
	t := &d.tally
	n := &s.now
	for _, count := range t.submitted {
		n.Submitted += count
	}
	n.DeadLettered += t.dead
	n.Started += t.started
	n.Failed += t.failed
	n.Retried += t.retried
	n.Duplicates += t.duplicates
	n.Conflicts += t.conflicts
	n.GracePeriodSaves += t.saves
	n.ExecutingProtections += t.protections
	for _, end := range t.endings {
		switch end.label.status {
		case operation.Succeeded:
			n.Succeeded++
		case operation.Rejected:
			n.Rejected[end.label.reason]++
		case operation.Cancelled:
			n.Cancelled++
		case operation.Pending, operation.Executing, operation.Failed:
		}
	}
	for priority, count := range t.winners {
		n.Winners[priority] += count
	}
	p := PartitionStats{Epoch: f.Epoch, Cursor: f.Cursor, Counts: f.Counts, LastCommit: f.Time}
	p.OldestWait, p.MostLosses = d.p.starvation()
	n.Partitions[partition] = p
	s.mu.Unlock()
	s.telemetry.decided(d)
}

// starvation returns when the oldest live operation was received and the most
// losses in a row of a carried one.
func (p *partition) starvation() (oldest time.Time, losses int) {
	for _, l := range p.lanes {
		for _, r := range l.records() {
			if oldest.IsZero() || r.ReceivedAt.Before(oldest) {
				oldest = r.ReceivedAt
			}
			losses = max(losses, r.Losses)
		}
	}
	return oldest, losses
}
