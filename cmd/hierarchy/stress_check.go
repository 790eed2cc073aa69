package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// storeCounts is what the store says of all operations there ever were.
type storeCounts struct {
	operation.Counts
	dead uint64 // dead letters in the stream
}

// storeCounts adds up the partitions' counts.
func (s *stressor) storeCounts(ctx context.Context) (storeCounts, error) {
	var sum storeCounts
	fences, err := s.read.Fences(ctx)
	if err != nil {
		return sum, err
	}
	for i := range fences {
		c := &fences[i].Counts
		sum.Submitted += c.Submitted
		sum.Succeeded += c.Succeeded
		sum.Rejected += c.Rejected
		sum.Cancelled += c.Cancelled
		sum.DeadLettered += c.DeadLettered
		sum.Live += c.Live
		sum.Versions += c.Versions
	}
	dead, err := s.messages(ctx, s.rig.space.DeadLetters())
	for _, n := range dead {
		sum.dead += n
	}
	return sum, err
}

// messages counts what the store's stream holds under each subject that matches.
func (s *stressor) messages(ctx context.Context, subject string) (map[string]uint64, error) {
	stream, err := s.js.Stream(ctx, s.rig.space.StoreStream())
	if err != nil {
		return nil, fmt.Errorf("counting %s: %w", subject, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return nil, fmt.Errorf("counting %s: %w", subject, err)
	}
	return info.State.Subjects, nil
}

// targetsHold compares every target with what the events said of it, and counts the
// versions that are there.
func (s *stressor) targetsHold(ctx context.Context, r *stressReport, c *bookCounts) error {
	for _, id := range s.maker.targets {
		want := c.targets[id.String()]
		r.VersionsExpected += want.versions
		r.CountersExpected += want.updates
		stored, err := s.messages(ctx, s.rig.space.Versions(id))
		if err != nil {
			return err
		}
		r.Versions += uint64(len(stored))
		head, err := s.read.Get(ctx, id)
		if err != nil {
			return err
		}
		counter := counterOf(head)
		r.Counters += counter
		switch {
		case uint64(len(stored)) != want.versions || head.VersionCount != want.versions:
			r.problem("entity %s has %d versions and counts %d, its events make it %d", head.Name, len(stored), head.VersionCount, want.versions)
		case counter != want.updates:
			r.problem("entity %s counts %d complex updates, its events make it %d", head.Name, counter, want.updates)
		}
		s.numbered(r, id, stored)
	}
	return nil
}

// numbered checks that versions are numbered from 1 on without a gap, each once.
func (s *stressor) numbered(r *stressReport, id uuid.UUID, stored map[string]uint64) {
	for n := uint64(1); n <= uint64(len(stored)); n++ {
		if times := stored[s.rig.space.Version(id, n)]; times != 1 {
			r.problem("version %d of entity %s is stored %d times", n, id, times)
		}
	}
}

func counterOf(head *ecsstore.Entity) int {
	path, err := operation.ParsePath(counterField)
	if err != nil {
		return -1
	}
	value, _ := ecsstore.Get(head, path)
	var n int
	if _, err := fmt.Sscan(fmt.Sprint(value), &n); err != nil {
		return -1
	}
	return n
}

// conserved checks that what was submitted is what has ended, that the partitions
// have counted the same, and that nothing impossible was seen.
func (r *stressReport) conserved(c *bookCounts, before, after storeCounts, others bool) {
	r.Problems = append(r.Problems, c.problems...)
	if r.Pending != 0 {
		r.problem("%d operations have no outcome", r.Pending)
	}
	if r.Unconfirmed != 0 {
		r.problem("nobody knows whether %d operations are stored", r.Unconfirmed)
	}
	if lost := c.rejected[operation.LostConflict]; c.losers != lost {
		r.problem("conflicts had %d losers, but %d operations were rejected for that", c.losers, lost)
	}
	if c.conflicts != c.resolved {
		r.problem("%d conflicts were seen, and %d of their winners' outcomes", c.conflicts, c.resolved)
	}
	if others {
		return // the partitions' counts have others' operations in them
	}
	for _, pair := range []struct {
		what         string
		seen, counts uint64
	}{
		{"submitted", count(r.Submitted), after.Submitted - before.Submitted},
		{"completed", count(r.Completed), after.Succeeded - before.Succeeded},
		{"rejected", count(r.Rejected), after.Rejected - before.Rejected},
		{"cancelled", count(r.Cancelled), after.Cancelled - before.Cancelled},
		{"dead", count(r.Dead), after.DeadLettered - before.DeadLettered},
		{"live", 0, after.Live},
		{"versions", r.VersionsExpected - count(r.Targets), after.Versions - before.Versions},
	} {
		if pair.seen != pair.counts {
			r.problem("%s: %d by the events, %d by the partitions' counts", pair.what, pair.seen, pair.counts)
		}
	}
}

func count(n int) uint64 { return uint64(max(n, 0)) }
