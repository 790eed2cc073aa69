package ecsstore

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Tail is where the operations stream ends.
type Tail struct {
	Last uint64         // its last sequence
	Of   map[int]uint64 // the last sequence of each partition asked for, 0 if it has none
}

// idleLag is how far a cursor may lie behind the end of the operations stream before
// it is worth asking whether anything of the partition lies between.
const idleLag = 1000

// Tail compares the cursors of partitions with the operations stream and returns
// where the stream ends, for those partitions whose cursor is far behind. It returns
// [ErrHalted] if the stream cannot be the one the cursors were made for.
func (s *JetStream) Tail(ctx context.Context, cursors map[int]uint64) (Tail, error) {
	info, err := s.ops.Info(ctx)
	if err != nil {
		return Tail{}, unreadable(s.space.OpsStream(), err)
	}
	t := Tail{Last: info.State.LastSeq, Of: map[int]uint64{}}
	for p, cursor := range cursors {
		if err := checkCursor(s.space.OpsStream(), p, cursor, info.State); err != nil {
			return Tail{}, err
		}
		if t.Last < cursor+idleLag {
			continue
		}
		msg, err := s.leaderGet(ctx, s.space.OpsStream(), getRequest{LastFor: s.space.Submitted(p)})
		if err != nil {
			return Tail{}, err
		}
		t.Of[p] = 0
		if msg != nil {
			t.Of[p] = msg.Sequence
		}
	}
	return t, nil
}

// Fences returns the fences of all partitions, zero fences for those that were never
// claimed.
func (s *JetStream) Fences(ctx context.Context) ([]operation.Fence, error) {
	out := make([]operation.Fence, s.partitions)
	for p := range out {
		f, err := s.Fence(ctx, p)
		if err != nil {
			return nil, err
		}
		f.Partition = p
		out[p] = f
	}
	return out, nil
}

// Trim removes the operations up to and including a sequence, which must not lie
// beyond the lowest cursor of the fences.
func (s *JetStream) Trim(ctx context.Context, upTo uint64) error {
	if err := s.ops.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return fmt.Errorf("trimming stream %s: %w", s.space.OpsStream(), err)
	}
	return nil
}

// Fill returns how much of its bound the operations stream has used, 0 to 1.
func (s *JetStream) Fill(ctx context.Context) (float64, error) {
	info, err := s.ops.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading stream %s: %w", s.space.OpsStream(), err)
	}
	return float64(info.State.Msgs) / float64(max(info.Config.MaxMsgs, 1)), nil
}
