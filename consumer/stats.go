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
	Submitted, Failed, Retried, Duplicates int
	Succeeded, Cancelled, DeadLettered     int
	Rejected                               map[operation.Reason]int
	Conflicts                              int
	GracePeriodSaves, ExecutingProtections int
	Commits, Messages                      int
	Refusals                               map[string]int // refused, busy, too_large, unknown
	Fenced                                 int            // partitions found to be another's
	Claims                                 int
	Events                                 map[operation.Kind]int
	ResolutionTime                         time.Duration // of all conflicts together
	Fill                                   float64       // how much of its bound the operations stream has used, 0 to 1
	Partitions                             map[int]PartitionStats
}

// PartitionStats is where one partition of a worker stands.
type PartitionStats struct {
	Epoch    uint64
	Cursor   uint64
	Counts   operation.Counts
	Halted   string // why the partition does not go on
	Standing        // as of the last second
}

// stats collects Stats. The engine writes most of it, anybody reads.
type stats struct {
	mu  sync.Mutex // guards now
	now Stats

	telemetry *telemetry
}

func newStats(t *telemetry) *stats {
	return &stats{telemetry: t, now: Stats{
		Rejected: map[operation.Reason]int{},
		Refusals: map[string]int{}, Partitions: map[int]PartitionStats{}, Events: map[operation.Kind]int{},
	}}
}

func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.now
	out.Rejected = maps.Clone(out.Rejected)
	out.Refusals, out.Partitions = maps.Clone(out.Refusals), maps.Clone(out.Partitions)
	out.Events = maps.Clone(out.Events)
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

// forget forgets all partitions, those that are halted too.
func (s *stats) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.now.Partitions)
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

// epochs returns the epochs of the partitions that the engine owns.
func (s *stats) epochs() map[int]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]uint64, len(s.now.Partitions))
	for id, p := range s.now.Partitions {
		if p.Halted == "" {
			out[id] = p.Epoch
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
	for i := range d.part.Events {
		n.Events[d.part.Events[i].Kind]++
	}
	for _, took := range t.resolution {
		n.ResolutionTime += took
	}
	n.Partitions[partition] = PartitionStats{
		Epoch: f.Epoch, Cursor: f.Cursor, Counts: f.Counts,
		Standing: n.Partitions[partition].Standing,
	}
	s.mu.Unlock()
	s.telemetry.decided(d)
}

// looked notes where the partitions stand, and the operations stream.
func (s *stats) looked(standings map[int]Standing, fill float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Fill = fill
	for id, standing := range standings {
		if p, owned := s.now.Partitions[id]; owned {
			p.Standing = standing
			s.now.Partitions[id] = p
		}
	}
}
