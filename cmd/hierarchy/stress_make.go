package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// series makes the ids of a run's operations: eight bytes of the run, then the
// operation's number. So an event leads to its operation without a map of millions
// of ids. They are UUIDs of version 8, the one that is free to say anything.
type series [8]byte

func newSeries() series {
	id := uuid.New()
	s := series(id[:8])
	s[6] = s[6]&0x0f | 0x80
	return s
}

// variant stands in the first byte of an id's second half; seven bytes are left for
// the number.
const variant = 0x80

func (s series) id(n int) uuid.UUID {
	var id uuid.UUID
	copy(id[:8], s[:])
	binary.BigEndian.PutUint64(id[8:], uint64(n)) //nolint:gosec // a count
	id[8] = variant
	return id
}

// number returns which operation of the series has an id.
func (s series) number(id uuid.UUID) (int, bool) {
	if series(id[:8]) != s || id[8] != variant {
		return 0, false
	}
	id[8] = 0
	return int(binary.BigEndian.Uint64(id[8:])), true //nolint:gosec // a count
}

// stressTypes are the operation types of the mix, with the default shares beside.
var stressTypes = []operation.Type{
	operation.VersionEntity, operation.ModifyField, operation.BorrowAttribute,
	operation.ComplexUpdate, operation.PromoteToRoot, operation.DetachEntity,
}

func defaultTypes() mix {
	names := make([]string, 0, len(stressTypes))
	for _, t := range stressTypes {
		names = append(names, string(t))
	}
	return newMix(names, .30, .25, .20, .15, .05, .05)
}

func defaultPriorities() mix {
	names := make([]string, 0, 4)
	for _, p := range operation.Priorities() {
		names = append(names, p.String())
	}
	return newMix(names, .25, .45, .25, .05)
}

// maker makes the operations of a run. The same seed makes the same ones, apart from
// their ids and times. One goroutine uses it.
type maker struct {
	rand              *rand.Rand
	priorities, types mix
	batch             span
	targets           []uuid.UUID
	names             []string
	series            series
	made              int // operations so far
}

func newMaker(cfg *stressConfig) *maker {
	m := &maker{
		rand:       rand.New(rand.NewPCG(cfg.seed, 0)), //nolint:gosec // reproducible, not secret
		priorities: cfg.priorities, types: cfg.types, batch: cfg.batch, series: newSeries(),
	}
	for i := range cfg.targets {
		name := fmt.Sprintf("stress-%x-%d", m.series[:4], i)
		m.names = append(m.names, name)
		m.targets = append(m.targets, operation.EntityID(name))
	}
	return m
}

// The components of a target that the mix touches.
const (
	counterField  = "counter"  // complex_update adds one
	valueField    = "value"    // modify_field sets it
	borrowedField = "borrowed" // borrow_attribute sets it from another's value
)

// create makes the operation that creates a target.
func (m *maker) create(target int) (*operation.Operation, error) {
	op := m.operation(operation.CreateEntity, target)
	op.Priority = operation.Normal
	return op, op.WithParams(operation.CreateParams{
		Type: "stress", Name: m.names[target],
		Components: map[string]any{
			counterField: 0, valueField: 0, borrowedField: 0,
			"state": "idle", "position": map[string]any{"x": 1.5, "y": -2, "z": 0},
		},
	})
}

// next makes a batch: operations on one target.
func (m *maker) next() []*operation.Operation {
	target := m.rand.IntN(len(m.targets))
	batch := make([]*operation.Operation, m.batch.draw(m.rand))
	for i := range batch {
		batch[i] = m.draw(target)
	}
	return batch
}

func (m *maker) draw(target int) *operation.Operation {
	op := m.operation(stressTypes[m.types.draw(m.rand)], target)
	op.Priority = operation.Priorities()[m.priorities.draw(m.rand)]
	switch op.Type {
	case operation.ModifyField:
		op.Params = fmt.Appendf(nil, `{"field":%q,"value":%d}`, valueField, m.rand.IntN(1000))
	case operation.BorrowAttribute:
		op.Source = m.targets[m.source(target)]
		op.Params = json.RawMessage(`{"source_field":"` + valueField + `","target_field":"` + borrowedField + `"}`)
	case operation.ComplexUpdate:
		op.Params = fmt.Appendf(nil, `{"add":{%q:1},"set":{"state":"busy","position.x":%d}}`, counterField, m.rand.IntN(1000))
	}
	return op
}

// source draws a target other than one, if there is another.
func (m *maker) source(target int) int {
	if len(m.targets) == 1 {
		return target
	}
	other := m.rand.IntN(len(m.targets) - 1)
	if other >= target {
		other++
	}
	return other
}

func (m *maker) operation(t operation.Type, target int) *operation.Operation {
	op := &operation.Operation{ID: m.series.id(m.made), Type: t, Target: m.targets[target], CreatedAt: time.Now().UTC()}
	m.made++
	return op
}
