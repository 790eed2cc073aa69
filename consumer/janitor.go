package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Input is the operations stream; [ecsstore.JetStream] has one.
type Input interface {
	// Read calls each with the operations of a partition after a sequence, in order and
	// each once, until ctx is done or the stream cannot be read.
	Read(ctx context.Context, partition int, after uint64, each func(jetstream.Msg)) error
	// Pending counts the operations that Read has yet to deliver.
	Pending(ctx context.Context, partition int) (int, error)
	// Tail returns where the stream ends, or [ecsstore.ErrHalted] if the cursors
	// cannot be of this stream.
	Tail(ctx context.Context, cursors map[int]uint64) (ecsstore.Tail, error)
	// Fences returns the fences of all partitions that the store was opened with.
	Fences(ctx context.Context) ([]operation.Fence, error)
	// Fill returns how much of its bound the stream has used.
	Fill(ctx context.Context) (float64, error)
	// Trim removes operations up to a sequence.
	Trim(ctx context.Context, upTo uint64) error
}

// How the janitor works. Resolved operations are kept for a while, so that a
// publisher whose message was taken for a duplicate can compare the two.
const (
	janitorEvery = time.Second
	keepResolved = 2 * time.Minute
	crowded      = 0.5 // of the bound: from here on nothing is kept
)

// janitor keeps the operations stream short, moves the cursors of idle partitions
// on, and finds out when the stream is no longer the one that was read.
type janitor struct {
	input  Input
	engine *engine
	keeper *keeper
	health *health
	alive  func(worker string) bool
	// pending counts the operations of a partition that were not delivered yet; nil
	// if nobody asks for figures
	pending func(ctx context.Context, partition int) (int, error)
	log     *slog.Logger

	marks   []mark // resolved sequences of the last while, oldest first
	trimmed uint64
}

// mark says that everything up to a sequence was resolved at a time.
type mark struct {
	at       time.Time
	resolved uint64
}

func (j *janitor) run(ctx context.Context) {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := j.round(ctx); err != nil && ctx.Err() == nil {
			j.log.WarnContext(ctx, "looking after the operations stream", slog.Any("error", err))
		}
	}
}

func (j *janitor) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return errors.Join(j.cursors(ctx), j.trim(ctx))
}

// cursors checks the cursors of this worker's partitions against the stream. A
// partition of which nothing lies beyond its cursor may move it to the end.
func (j *janitor) cursors(ctx context.Context) error {
	cursors := j.engine.stats.cursors()
	tail, err := j.input.Tail(ctx, cursors)
	if errors.Is(err, ecsstore.ErrHalted) {
		for p := range cursors {
			j.keeper.doubt(ctx, p, err)
		}
	}
	if err != nil {
		return err
	}
	idle := map[int]uint64{}
	for p, last := range tail.Of {
		if last <= cursors[p] {
			idle[p] = tail.Last
		}
	}
	if len(idle) == 0 {
		return nil
	}
	select {
	case j.engine.advances <- idle:
	case <-ctx.Done():
	}
	return nil
}

// taken claims again what an idle partition has not noticed: that somebody else has
// taken it meanwhile, and perhaps given it up.
func (j *janitor) taken(ctx context.Context, fences []operation.Fence) {
	owned := j.engine.stats.epochs()
	for _, f := range fences {
		epoch, ours := owned[f.Partition]
		if ours && f.Epoch > epoch && (f.Released || f.Owner != j.keeper.cfg.Name) {
			j.keeper.doubt(ctx, f.Partition, fmt.Errorf("%s has had it since", f.Owner)) // the claim will tell
		}
	}
}

// trim looks at the fences, and removes what was resolved long enough ago.
func (j *janitor) trim(ctx context.Context) error {
	fences, err := j.input.Fences(ctx)
	if err != nil {
		return err
	}
	if n, changed := another(fences, len(fences)); changed {
		// Nothing may be trimmed by what these fences say: there are others.
		j.keeper.resized(fmt.Errorf("%w from %d to %d", ecsstore.ErrResized, len(fences), n))
		return nil
	}
	j.health.owners(fences, j.alive)
	j.taken(ctx, fences)
	resolved := uint64(math.MaxUint64)
	for _, f := range fences {
		resolved = min(resolved, f.Cursor)
	}
	fill, err := j.input.Fill(ctx)
	if err != nil {
		return err
	}
	if err := j.look(ctx, fill); err != nil {
		return err
	}
	now := time.Now()
	j.marks = append(j.marks, mark{at: now, resolved: resolved})
	upTo := uint64(0)
	for len(j.marks) > 0 && (fill > crowded || now.Sub(j.marks[0].at) >= keepResolved) {
		upTo = j.marks[0].resolved
		j.marks = j.marks[1:]
	}
	if upTo <= j.trimmed {
		return nil
	}
	j.trimmed = upTo
	return j.input.Trim(ctx, upTo)
}
