package ecsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// seal makes the operations stream take nothing any more. Publishers are told at once
// that nobody answers. What was on its way into the stream is in it afterwards: the
// broker stores messages in the order in which they came, and the last that comes is
// one of our own.
func (z *Resizing) seal(ctx context.Context) error {
	z.begun = true
	if err := z.reconfigure(ctx, z.s.space.OpsStream(), func(cfg *jetstream.StreamConfig) {
		cfg.Subjects = []string{z.s.space.Sealed()}
		cfg.Metadata[metaResizing] = strconv.Itoa(z.want.To)
		if cfg.Metadata[metaSince] == "" {
			cfg.Metadata[metaSince] = time.Now().UTC().Format(time.RFC3339Nano)
		}
	}); err != nil {
		return err
	}
	z.was.Resizing, z.sealed = z.want.To, time.Now()
	body, err := json.Marshal(map[string]any{"owner": z.want.Owner, "partitions": z.want.To})
	if err != nil {
		return err
	}
	ack, err := z.s.js.Publish(ctx, z.s.space.Sealed(), body)
	if err != nil {
		return fmt.Errorf("marking the end of stream %s: %w", z.s.space.OpsStream(), err)
	}
	z.end = ack.Sequence
	return nil
}

// mark notes the number of partitions in the store's stream.
func (z *Resizing) mark(ctx context.Context, partitions int) error {
	return z.reconfigure(ctx, z.s.space.StoreStream(), func(cfg *jetstream.StreamConfig) {
		cfg.Metadata[metaPartitions] = strconv.Itoa(partitions)
	})
}

// open makes the operations stream take operations again, and sort them into so many
// partitions. It is the last step: what the stream says is what workers and clients go
// by.
func (z *Resizing) open(ctx context.Context, partitions int) error {
	space := z.s.space
	err := z.reconfigure(ctx, space.OpsStream(), func(cfg *jetstream.StreamConfig) {
		cfg.Subjects = []string{space.Submissions()}
		cfg.SubjectTransform = &jetstream.SubjectTransformConfig{Source: space.Submissions(), Destination: space.Stored(partitions)}
		cfg.Metadata[metaPartitions] = strconv.Itoa(partitions)
		delete(cfg.Metadata, metaResizing)
		delete(cfg.Metadata, metaSince)
	})
	if err == nil && !z.sealed.IsZero() {
		z.sum.Closed = time.Since(z.sealed)
	}
	return err
}

// reconfigure changes the configuration of a stream as it is now.
func (z *Resizing) reconfigure(ctx context.Context, name string, change func(*jetstream.StreamConfig)) error {
	stream, err := z.s.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", name, err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Metadata = maps.Clone(cfg.Metadata)
	change(&cfg)
	if _, err := z.s.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("changing stream %s: %w", name, err)
	}
	return nil
}

// confirm makes sure that nothing was accepted behind the end that the fences name.
func (z *Resizing) confirm(ctx context.Context) error {
	fence, err := z.s.Fence(ctx, 0)
	if err != nil {
		return err
	}
	return z.nothingBehind(ctx, fence.Cursor)
}

func (z *Resizing) nothingBehind(ctx context.Context, end uint64) error {
	info, err := z.s.ops.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", z.s.space.OpsStream(), err)
	}
	if info.State.LastSeq != end {
		return fmt.Errorf("stream %s was sealed at %d and ends at %d: somebody has changed it meanwhile; undo it with --abort",
			z.s.space.OpsStream(), end, info.State.LastSeq)
	}
	return nil
}

// Drain is what still has to end before the number of partitions can be changed.
type Drain struct {
	Pending uint64 `json:"pending"` // operations that no window has taken
	Live    uint64 `json:"live"`    // operations that execute, or wait for an attempt or for their entity
}

// How often drain looks, and how much of what is in the way it names.
const (
	drainEvery = 50 * time.Millisecond
	mostNamed  = 5
)

// drain waits until all that was accepted has ended.
func (z *Resizing) drain(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, z.want.Patience)
	defer cancel()
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for {
		fences, err := z.s.Fences(ctx)
		if err != nil {
			return err
		}
		left, err := z.Left(ctx, fences)
		if err != nil || left == (Drain{}) {
			return err
		}
		z.tell(Progress{Step: z.at.Step, Done: z.at.Done, Of: z.at.Of, Drain: left})
		select {
		case <-tick.C:
		case <-patience.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w within %v: %d operations pending, %d live%s",
				ErrNotDrained, z.want.Patience, left.Pending, left.Live, z.named(ctx, fences))
		}
	}
}

// Left returns what still has to end according to the partitions' fences.
func (z *Resizing) Left(ctx context.Context, fences []operation.Fence) (Drain, error) {
	var out Drain
	read := NewReader(z.s.js, z.s.space)
	for _, f := range fences[:z.was.Partitions] {
		out.Live += f.Counts.Live
		tail, err := z.s.tail(ctx, f.Partition)
		if err != nil {
			return out, err
		}
		if tail > f.Cursor {
			pending, err := read.Lag(ctx, f.Partition, f.Cursor)
			if err != nil {
				return out, err
			}
			out.Pending += pending
		}
	}
	return out, nil
}

// named lists some of the operations that are in the way.
func (z *Resizing) named(ctx context.Context, fences []operation.Fence) string {
	var b strings.Builder
	left := mostNamed
	for _, f := range fences {
		if f.Counts.Live == 0 || left == 0 {
			continue
		}
		for r, err := range NewReader(z.s.js, z.s.space).Live(ctx, f.Partition) {
			if err != nil || left == 0 {
				break
			}
			left--
			fmt.Fprintf(&b, "; %s %s on %s is %s, attempt %d", r.Operation.Type, r.OpID, r.Operation.Target, r.Status, r.Attempt)
			if !r.Due.IsZero() {
				fmt.Fprintf(&b, ", the next at %s", r.Due.Format(time.RFC3339))
			}
		}
	}
	return b.String()
}

// check makes sure that the claimed partitions have come to an end: no worker can
// write for them any more.
func (z *Resizing) check(ctx context.Context) error {
	info, err := z.s.ops.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", z.s.space.OpsStream(), err)
	}
	fences := make([]operation.Fence, z.was.Partitions)
	for p := range fences {
		fences[p] = z.fences[p].Fence
		if n := fences[p].Partitions; n != z.was.Partitions {
			return fmt.Errorf("%w: partition %d is one of %d, and the streams say %d", ErrUnsafe, p, n, z.was.Partitions)
		}
		if fences[p].Epoch == 1 { // never claimed before: it has no cursor yet
			continue
		}
		if err := checkCursor(z.s.space.OpsStream(), p, fences[p].Cursor, info.State); err != nil {
			return err
		}
	}
	left, err := z.Left(ctx, fences)
	if err != nil {
		return err
	}
	if left != (Drain{}) {
		return fmt.Errorf("%w: %d operations pending, %d live%s", ErrNotDrained, left.Pending, left.Live, z.named(ctx, fences))
	}
	return z.nothingBehind(ctx, z.end)
}

// Intake reports whether a system takes operations: not while the number of its
// partitions is being changed, which the error then says.
func Intake(ctx context.Context, js jetstream.JetStream, space subjects.Space) error {
	stream, err := js.Stream(ctx, space.OpsStream())
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", space.OpsStream(), err)
	}
	if metadata := stream.CachedInfo().Config.Metadata; metadata[metaResizing] != "" {
		return resizing(metadata)
	}
	return nil
}
