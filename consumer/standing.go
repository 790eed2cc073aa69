package consumer

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Standing is what a partition has before it.
type Standing struct {
	Lag        int       // operations that were stored and are not decided
	Waiting    int       // operations that were decided to wait: for a holder, a retry, another window
	Executing  int       // operations that are being executed outside the commit
	Oldest     time.Time // when the oldest of all these was received; zero if there is none
	Since      time.Time // when the oldest was received that is not executing; zero if there is none
	MostLosses int       // windows that one of them has lost in a row
}

// standings returns where the engine's partitions stand, without what it has not
// read yet.
func (e *engine) standings() map[int]Standing {
	out := make(map[int]Standing, len(e.parts))
	for id, p := range e.parts {
		out[id] = p.standing()
	}
	return out
}

func (p *partition) standing() Standing {
	s := Standing{Lag: len(p.queue)}
	if len(p.queue) > 0 {
		s.Oldest = p.queue[0].received
		s.Since = s.Oldest
	}
	for _, l := range p.lanes {
		for _, r := range l.records() {
			s.Oldest = earlier(s.Oldest, r.ReceivedAt)
			s.MostLosses = max(s.MostLosses, r.Losses)
			if r.Status == operation.Executing {
				s.Executing++
				continue
			}
			s.Waiting++
			s.Since = earlier(s.Since, r.ReceivedAt)
		}
	}
	return s
}

// earlier returns the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// look finds out where the partitions stand, for figures and health.
func (j *janitor) look(ctx context.Context, fill float64) error {
	reply := make(chan map[int]Standing, 1)
	select {
	case j.engine.looks <- reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	var standings map[int]Standing
	select {
	case standings = <-reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	unread, err := j.unread(ctx, standings)
	if err != nil {
		return err
	}
	for p, n := range unread {
		s := standings[p]
		s.Lag += n
		standings[p] = s
	}
	j.engine.stats.looked(standings, fill)
	return nil
}

// unreadAtOnce bounds the questions under way to the broker.
const unreadAtOnce = 8

// unread counts the operations that the broker has yet to deliver.
func (j *janitor) unread(ctx context.Context, of map[int]Standing) (map[int]int, error) {
	if j.pending == nil {
		return nil, nil
	}
	type count struct{ partition, n int }
	counts := make(chan count, len(of))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(unreadAtOnce)
	for p := range of {
		group.Go(func() error {
			n, err := j.pending(ctx, p)
			counts <- count{p, n}
			return err
		})
	}
	err := group.Wait()
	close(counts)
	out := make(map[int]int, len(of))
	for c := range counts {
		out[c.partition] = c.n
	}
	return out, err
}
