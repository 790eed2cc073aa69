package ecsstore

import (
	"context"
	"math"
)

// Tail compares cursors with the operations stream, as [JetStream.Tail] does.
func (m *Memory) Tail(_ context.Context, cursors map[int]uint64) (Tail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := Tail{Last: m.ops.end, Of: map[int]uint64{}}
	for p, cursor := range cursors {
		if err := checkCursor(m.space.OpsStream(), p, cursor, m.ops.state()); err != nil {
			return Tail{}, err
		}
		if t.Last < cursor+idleLag {
			continue
		}
		t.Of[p] = 0
		if waiting := m.ops.list(m.space.Submitted(p), 0); len(waiting) > 0 {
			t.Of[p] = waiting[len(waiting)-1].Sequence
		}
	}
	return t, nil
}

// Resolved returns the operations stream's sequence up to which every partition has
// resolved all there is.
func (m *Memory) Resolved(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lowest := uint64(math.MaxUint64)
	for p := range m.partitions {
		f, err := m.fence(p)
		if err != nil {
			return 0, err
		}
		lowest = min(lowest, f.Cursor)
	}
	return lowest, nil
}

// Trim removes the operations up to and including a sequence.
func (m *Memory) Trim(_ context.Context, upTo uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops.trim(upTo)
	return nil
}

// Fill returns how much of its bound the operations stream has used, 0 to 1.
func (m *Memory) Fill(context.Context) (float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(len(m.ops.messages)) / float64(m.bound), nil
}
