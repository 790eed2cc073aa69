package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// TakeOvers says how long partitions went without a commit because their worker was
// taken away: after a kill from the signal until every partition that it had was committed
// to by another worker; after a drain, during which the worker goes on for a while, the
// longest time between its last commit to a partition and the first of another.
type TakeOvers struct {
	Kills  []time.Duration `json:"kills"`
	Drains []time.Duration `json:"drains"`
}

// TakeOver takes workers away, one after the other, so often, and measures.
func (r *Run) TakeOver(ctx context.Context, times int) (TakeOvers, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scenario{Run: r, report: &Report{Seed: r.Plan.Seed}}
	defer s.close()
	if err := s.open(ctx); err != nil {
		return TakeOvers{}, err
	}
	births, err := s.load.mixer.births(ctx, s.load.mixer.targets)
	if err != nil {
		return TakeOvers{}, err
	}
	if err := errors.Join(s.load.send(ctx, ctx, births), s.idle(ctx)); err != nil {
		return TakeOvers{}, err
	}
	o := &owners{of: map[int]commit{}, changed: make(chan struct{}, 1)}
	if err := o.watch(s.eye); err != nil {
		return TakeOvers{}, err
	}
	s.load.mixer.only = o.focus.play
	loading := make(chan error, 1)
	go func() { loading <- s.load.run(ctx, ctx, s.Rate, math.MaxInt) }() // ends with ctx
	out, err := s.takeOvers(ctx, o, times)
	cancel()
	return out, errors.Join(err, <-loading)
}

// takeOvers takes workers away so often each way.
func (s *scenario) takeOvers(ctx context.Context, o *owners, times int) (out TakeOvers, err error) {
	random := rand.New(rand.NewPCG(s.Plan.Seed, 4)) //nolint:gosec // reproducible, not secret
	for range times {
		for _, how := range []struct {
			away func(context.Context, *worker) error
			took *[]time.Duration
			last func(began time.Time, c commit) time.Duration
		}{
			{s.fleet.lose, &out.Kills, func(began time.Time, c commit) time.Duration { return c.since.Sub(began) }},
			{s.fleet.dismiss, &out.Drains, func(_ time.Time, c commit) time.Duration { return c.gap }},
		} {
			took, err := s.takeOver(ctx, o, random, how.away, how.last)
			if err != nil {
				return out, err
			}
			*how.took = append(*how.took, took)
		}
	}
	return out, nil
}

// takeOver takes one worker away, measures, and replaces it.
func (s *scenario) takeOver(ctx context.Context, o *owners, random *rand.Rand,
	away func(context.Context, *worker) error, took func(time.Time, commit) time.Duration,
) (time.Duration, error) {
	if err := o.await(ctx, s.fleet.calm); err != nil {
		return 0, fmt.Errorf("waiting for the workers to share the partitions: %w", err)
	}
	w, name := s.fleet.any(random)
	had := o.partitions(name)
	o.focus.set(had)
	if err := o.await(ctx, func(now map[int]commit) bool { return busy(now, had) }); err != nil {
		return 0, fmt.Errorf("waiting for operations on the partitions of %s: %w", name, err)
	}
	began := time.Now()
	if err := away(ctx, w); err != nil {
		return 0, err
	}
	var longest time.Duration
	err := o.await(ctx, func(now map[int]commit) bool {
		longest = 0
		for _, p := range had {
			if now[p].worker == name || now[p].at.Before(began) {
				return false
			}
			longest = max(longest, took(began, now[p]))
		}
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for others to take over from %s: %w", name, err)
	}
	s.fleet.busy.Wait()
	return longest, s.fleet.add(ctx)
}

// busy reports whether each of some partitions was committed to just now.
func busy(now map[int]commit, partitions []int) bool {
	return !slices.ContainsFunc(partitions, func(p int) bool { return time.Since(now[p].at) > 100*time.Millisecond })
}

// names lists the workers.
func (f *fleet) names() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.members {
		out = append(out, w.name)
	}
	return out
}

// any returns one of the workers, and its name.
func (f *fleet) any(random *rand.Rand) (w *worker, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w = f.members[random.IntN(len(f.members))]
	return w, w.name
}

// lose kills a worker for good.
func (f *fleet) lose(_ context.Context, w *worker) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.leaving = true
	f.members = slices.DeleteFunc(f.members, func(other *worker) bool { return other == w })
	return w.process.kill()
}

// dismiss has a worker end in good order, and does not wait for that.
func (f *fleet) dismiss(ctx context.Context, w *worker) error {
	f.busy.Go(func() { f.drain(ctx, w) })
	return nil
}

// calm reports whether every partition was lately committed to by the worker that
// should have it.
func (f *fleet) calm(now map[int]commit) bool {
	names := f.names()
	for p := range ecsstore.DefaultSettings().Partitions {
		if now[p].worker != consumer.Owner(p, names) || time.Since(now[p].at) > time.Second {
			return false
		}
	}
	return true
}

// owners is who committed to each partition last, by the events.
type owners struct {
	changed chan struct{} // of capacity 1
	focus   focus         // on the partitions of the worker that is taken away

	mu sync.Mutex // guards of
	of map[int]commit
}

// commit is the latest commit to a partition.
type commit struct {
	worker string
	since  time.Time     // of the first of this worker's
	gap    time.Duration // between the last one of the worker before and that
	at     time.Time
}

// watch follows the events from now on.
func (o *owners) watch(nc *nats.Conn) error {
	_, err := nc.Subscribe(subjects.Space{}.Events(), func(msg *nats.Msg) {
		var event struct {
			Data operation.Detail `json:"data"`
		}
		if json.Unmarshal(msg.Data, &event) == nil {
			o.note(event.Data.Partition, event.Data.Worker, time.Now())
		}
	})
	if err != nil {
		return fmt.Errorf("watching events: %w", err)
	}
	return nil
}

func (o *owners) note(partition int, worker string, now time.Time) {
	o.mu.Lock()
	c := o.of[partition]
	if c.worker != worker {
		c = commit{worker: worker, since: now, gap: now.Sub(c.at)}
	}
	c.at = now
	o.of[partition] = c
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// partitions lists those that a worker committed to last.
func (o *owners) partitions(worker string) (out []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, c := range o.of {
		if c.worker == worker {
			out = append(out, p)
		}
	}
	return out
}

// ownersTimeout bounds a wait for partitions to change hands.
const ownersTimeout = time.Minute

// await waits until done returns true, asking after each commit.
func (o *owners) await(ctx context.Context, done func(map[int]commit) bool) error {
	ctx, cancel := context.WithTimeout(ctx, ownersTimeout)
	defer cancel()
	for {
		o.mu.Lock()
		ok := done(o.of)
		o.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Quantile returns the time that a share of takeovers needed at most.
func Quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
