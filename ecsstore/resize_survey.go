package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// ErrUnsafe says that the number of partitions must not be changed as things are.
var ErrUnsafe = errors.New("it would not be safe now")

// Member is what a worker says of itself in the bucket of members.
type Member struct {
	Name string `json:"name"`
	// Partitions is how many the worker knows. Workers of builds that cannot follow a
	// change of the number do not say it.
	Partitions int `json:"partitions"`
}

// Survey is how things stand before a change.
type Survey struct {
	From       int      `json:"from"`
	To         int      `json:"to"`
	Generation uint64   `json:"generation"`
	Resumed    bool     `json:"resumed,omitempty"` // it was begun before
	Workers    []Member `json:"workers"`
	Drain               // what has to end first
	Unsafe     []string `json:"unsafe,omitempty"` // why it would be refused
}

// Survey looks at the workers and the partitions, and changes nothing.
func (z *Resizing) Survey(ctx context.Context) (Survey, error) {
	s := Survey{From: z.was.Partitions, To: z.want.To, Resumed: z.was.Resizing > 0}
	fences, err := z.s.Fences(ctx)
	if err != nil {
		return s, err
	}
	for _, f := range fences {
		s.Generation = max(s.Generation, f.Generation)
	}
	if s.Workers, err = z.lock.members(ctx); err != nil {
		return s, err
	}
	for _, m := range s.Workers {
		if m.Partitions == 0 {
			s.Unsafe = append(s.Unsafe, fmt.Sprintf("worker %s is of a build that cannot follow a change; replace it first", m.Name))
		}
	}
	if s.Resumed && z.was.Resizing != z.want.To {
		s.Unsafe = append(s.Unsafe, z.other().Error())
	}
	if s.Drain, err = z.Left(ctx, fences); err != nil || z.committed {
		return s, err // it has only to be finished
	}
	info, err := z.s.ops.Info(ctx)
	if err != nil {
		return s, fmt.Errorf("reading stream %s: %w", z.s.space.OpsStream(), err)
	}
	for _, f := range fences {
		why, err := z.obstacles(ctx, f, s.Workers, info.State)
		if err != nil {
			return s, err
		}
		s.Unsafe = append(s.Unsafe, why...)
	}
	return s, nil
}

// obstacles returns why what a partition has accepted would not come to an end.
func (z *Resizing) obstacles(ctx context.Context, f operation.Fence, workers []Member, ops jetstream.StreamState) ([]string, error) {
	if f.Epoch > 0 {
		if halted := checkCursor(z.s.space.OpsStream(), f.Partition, f.Cursor, ops); halted != nil {
			return []string{halted.Error()}, nil //nolint:nilerr // that is the answer
		}
	}
	if f.Resizing > 0 { // claimed by an earlier run, after it had come to its end
		return nil, nil
	}
	tail, err := z.s.tail(ctx, f.Partition)
	if err != nil || tail <= f.Cursor && f.Counts.Live == 0 {
		return nil, err
	}
	owned := f.Unclean() && slices.ContainsFunc(workers, func(m Member) bool { return m.Name == f.Owner })
	if !owned {
		return []string{fmt.Sprintf("partition %d has work to do and no worker owns it; start one, or see: hierarchy status", f.Partition)}, nil
	}
	return z.late(ctx, f)
}

// late returns the operations of a partition whose next attempt is later than anybody
// is prepared to wait for.
func (z *Resizing) late(ctx context.Context, f operation.Fence) (why []string, err error) {
	if f.Counts.Live == 0 {
		return nil, nil
	}
	until := time.Now().Add(z.want.Patience)
	for r, err := range NewReader(z.s.js, z.s.space).Live(ctx, f.Partition) {
		if err != nil {
			return nil, err
		}
		if r.Due.After(until) && len(why) < mostNamed {
			why = append(why, fmt.Sprintf("%s %s on %s is tried again at %s; allow for that with --timeout, or cancel it",
				r.Operation.Type, r.OpID, r.Operation.Target, r.Due.Format(time.RFC3339)))
		}
	}
	return why, nil
}

// safe makes sure that nothing is in the way. A partition may be without an owner for
// as long as it takes to notice that one is gone.
func (z *Resizing) safe(ctx context.Context) error {
	patience := time.NewTimer(min(2*MemberTTL, z.want.Patience))
	defer patience.Stop()
	tick := time.NewTicker(MemberTTL / 4)
	defer tick.Stop()
	for {
		s, err := z.Survey(ctx)
		if err != nil || len(s.Unsafe) == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			return fmt.Errorf("%w: %s", ErrUnsafe, strings.Join(s.Unsafe, "; "))
		}
	}
}

// members returns the workers that are there, by name.
func (l *resizeLock) members(ctx context.Context) ([]Member, error) {
	keys, err := l.kv.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading bucket %s: %w", l.kv.Bucket(), err)
	}
	slices.Sort(keys)
	var out []Member
	for _, key := range keys {
		entry, err := l.kv.Get(ctx, key)
		if key == LockKey || errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading bucket %s: %w", l.kv.Bucket(), err)
		}
		var m Member
		if err := json.Unmarshal(entry.Value(), &m); err != nil {
			return nil, fmt.Errorf("bucket %s, key %s: %w", l.kv.Bucket(), key, err)
		}
		m.Name = key
		out = append(out, m)
	}
	return out, nil
}
