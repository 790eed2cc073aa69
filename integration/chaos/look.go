package chaos

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// settleTimeout bounds how long what is left to do may take when nothing is broken any
// more.
const settleTimeout = 2 * time.Minute

// settle waits until nothing is left to do, and reports whether that was in time.
func (s *scenario) settle(ctx context.Context) bool {
	began := time.Now()
	err := s.idle(ctx)
	if err != nil {
		s.report.problem("%v after the last fault: %v; the logs of the workers say what their goroutines did", settleTimeout, err)
		s.fleet.dump()
	}
	s.report.SettleMS = time.Since(began).Milliseconds()
	return err == nil
}

// idle waits until every letter is acknowledged and every operation has ended.
func (s *scenario) idle(ctx context.Context) error { return s.await(ctx, unfinished) }

// await waits until every letter is acknowledged and nothing is left of the fences and
// the last acknowledged sequence of each partition.
func (s *scenario) await(ctx context.Context, rest func([]operation.Fence, map[int]uint64) string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	js, err := jetstream.New(s.eye)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	reader := ecsstore.NewReader(js, subjects.Space{})
	left := "acknowledgements"
	err = poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		if !s.load.room.TryAcquire(roomCount) {
			return false, nil
		}
		s.load.room.Release(roomCount)
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		fences, err := reader.Fences(once)
		if err != nil {
			if ctx.Err() == nil {
				left = err.Error()
			}
			return false, nil
		}
		_, ends := s.load.progress()
		left = rest(fences, ends)
		return left == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w, still waiting for %s", err, left)
	}
	return nil
}

// unfinished says what is left to do, nothing if every partition has passed its last
// operation and has none under way.
func unfinished(fences []operation.Fence, ends map[int]uint64) (left string) {
	left = untaken(fences, ends)
	for _, f := range fences {
		if f.Counts.Live > 0 {
			left += fmt.Sprintf("partition %d of %s with %d live; ", f.Partition, f.Owner, f.Counts.Live)
		}
	}
	return left
}

// untaken says what is left to decide, nothing if every partition has passed its last
// operation.
func untaken(fences []operation.Fence, ends map[int]uint64) (left string) {
	if want := ecsstore.DefaultSettings().Partitions; len(fences) < want {
		return fmt.Sprintf("%d partitions without an owner; ", want-len(fences))
	}
	for _, f := range fences {
		if end := ends[f.Partition]; f.Cursor < end {
			left += fmt.Sprintf("partition %d of %s at %d of %d; ", f.Partition, f.Owner, f.Cursor, end)
		}
	}
	return left
}

// look weighs what is stored against what was acknowledged and tried.
func (s *scenario) look(ctx context.Context) error {
	if err := s.load.close(); err != nil {
		return fmt.Errorf("logging acknowledgements: %w", err)
	}
	js, err := jetstream.New(s.eye)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	found, err := gather(ctx, js)
	if err != nil {
		return err
	}
	r := s.report
	for _, id := range s.registers.sent {
		s.load.known[id] = true
	}
	found.weigh(s.load.notes, s.load.known)
	s.registers.close(found.ends)
	if err := s.registers.check(filepath.Join(s.Folder, "logs", "registers.html")); err != nil {
		r.problem("%v", err)
	}
	r.Reads, r.Writes, r.WritesLost, r.CallsRepeated = s.registers.reads, s.registers.writes, s.registers.rejected, s.registers.gaps
	r.Problems = append(r.Problems, found.problems...)
	r.Acknowledged, r.Doubted, r.GivenUp = len(s.load.notes), s.load.doubt, s.load.lost
	r.Windows, r.Commits, r.Attempts = found.windows, len(found.batches), s.attempts.count()
	for _, try := range s.attempts.fenced(found.batches) {
		r.Fenced++
		if s.fleet.zombie(try.owner, try.at) {
			r.FencedZombies++
		}
	}
	n := s.fleet.tally()
	r.WorkerKills, r.WorkerStops, r.WorkersAdded, r.WorkersDrained = n.Kills, n.Stops, n.Adds, n.Drains
	r.Problems = slices.Concat(r.Problems, n.Ended, n.Stubborn)
	if r.Said, err = listen(filepath.Join(s.Folder, "logs")); err != nil {
		return err
	}
	if r.Said.Panics > 0 || r.Said.Halted > 0 {
		r.problem("workers panicked %d times and found partitions halted %d times", r.Said.Panics, r.Said.Halted)
	}
	return nil
}
