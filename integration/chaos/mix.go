package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// class is what is to become of a message once the broker has stored it.
type class string

const (
	ending  class = "operation" // ends in exactly one terminal event
	refused class = "malformed" // the same, and the event is a rejection
	copied  class = "copy"      // of an operation: makes no second outcome
	dead    class = "dead"      // becomes a dead letter
	asking  class = "cancel"    // is answered exactly once
)

// letter is a message for the operations stream and what is to become of it.
type letter struct {
	message *nats.Msg
	note    note
}

// note is what the run remembers of a letter.
type note struct {
	ID       uuid.UUID `json:"id,omitzero"` // op_id or cancel_id
	Class    class     `json:"class"`
	Digest   string    `json:"digest,omitempty"` // of an operation
	Sequence uint64    `json:"sequence"`         // where it was stored
}

// slowType is an operation type whose system answers on NATS and takes its time.
const slowType operation.Type = "chaos_slow"

func custom(t operation.Type) bool { return t == slowType }

// mixer makes the messages of a run. One goroutine uses it. The same seed makes the
// same messages, apart from their ids and times.
type mixer struct {
	client  *client.Client
	rand    *rand.Rand
	targets []uuid.UUID
	recent  []letter // operations sent lately, for copies and cancellations
	unborn  []uuid.UUID
	made    int
	only    scene                 // the only one that is played, nil if all are
	stored  func() (letter, bool) // an operation that the broker has lately acknowledged
}

// How many entities the load commands, and how many letters it remembers.
const (
	targetCount = 80
	recentCount = 200
)

func newMixer(c *client.Client, seed uint64, stored func() (letter, bool)) *mixer {
	m := &mixer{client: c, stored: stored, rand: rand.New(rand.NewPCG(seed, 3))} //nolint:gosec // reproducible, not secret
	for i := range targetCount {
		m.targets = append(m.targets, operation.EntityID(fmt.Sprintf("chaos-%d", i)))
	}
	return m
}

// scene makes some letters that belong together.
type scene func(context.Context, *mixer) ([]letter, error)

// scenes says how often each scene is played, in percent.
var scenes = []struct {
	share int
	play  scene
}{
	{58, contest}, {9, regroup}, {7, family}, {6, hope}, {6, slow}, {5, withdraw}, {4, repeat}, {2, usurp}, {3, malformed},
}

// next makes the next letters.
func (m *mixer) next(ctx context.Context) ([]letter, error) {
	if m.only != nil {
		return m.only(ctx, m)
	}
	at := m.rand.IntN(100)
	for _, s := range scenes {
		if at -= s.share; at < 0 {
			return s.play(ctx, m)
		}
	}
	return contest(ctx, m)
}

// focus is a scene about partitions that are looked at.
type focus struct {
	mu     sync.Mutex // guards all below
	on     []int
	played int
}

func (f *focus) set(partitions []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = partitions
}

// next lists the partitions that are looked at, and one of all in turn.
func (f *focus) next(partitions int) []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.played++
	if other := f.played % partitions; !slices.Contains(f.on, other) {
		return append([]int{other}, f.on...)
	}
	return f.on
}

// play makes an operation for each of those, so that none that is looked at is without
// for long.
func (f *focus) play(ctx context.Context, m *mixer) ([]letter, error) {
	count := ecsstore.DefaultSettings().Partitions
	of := make([]uuid.UUID, count)
	for _, target := range m.targets {
		of[subjects.Partition(target, count)] = target
	}
	partitions := f.next(count)
	return several(len(partitions), func(i int) (letter, error) {
		return m.letter(ctx, operation.VersionEntity, of[partitions[i]], nil)
	})
}

// births makes the letters that create entities.
func (m *mixer) births(ctx context.Context, ids []uuid.UUID) ([]letter, error) {
	return several(len(ids), func(i int) (letter, error) { return m.birth(ctx, ids[i]) })
}

func (m *mixer) birth(ctx context.Context, id uuid.UUID) (letter, error) {
	return m.letter(ctx, operation.CreateEntity, id, operation.CreateParams{Type: "chaos", Components: map[string]any{
		"counter": 0, "value": 0, "borrowed": 0, "position": map[string]any{"x": 1, "y": 2},
	}})
}

// letter makes an operation; change may alter it before it is written.
func (m *mixer) letter(ctx context.Context, t operation.Type, target uuid.UUID, params any, change ...func(*operation.Operation)) (letter, error) {
	op := &operation.Operation{
		ID: uuid.New(), Type: t, Target: target, CreatedAt: time.Now().UTC(),
		Priority: operation.Priorities()[m.rand.IntN(4)],
	}
	if params != nil {
		if err := op.WithParams(params); err != nil {
			return letter{}, err
		}
	}
	if m.rand.IntN(8) == 0 {
		op.OnLoss = operation.Carry
	}
	for _, f := range change {
		f(op)
	}
	msg, err := m.client.Message(ctx, op)
	if err != nil {
		return letter{}, err
	}
	l := letter{message: msg, note: note{ID: op.ID, Class: ending, Digest: op.Digest()}}
	m.made++
	m.recent = append(m.recent, l)
	if len(m.recent) > recentCount {
		m.recent = slices.Delete(m.recent, 0, len(m.recent)-recentCount)
	}
	return l, nil
}

func (m *mixer) target() uuid.UUID { return m.targets[m.rand.IntN(len(m.targets))] }

// work makes an operation of the stress mix.
func (m *mixer) work(ctx context.Context, target uuid.UUID, change ...func(*operation.Operation)) (letter, error) {
	switch at := m.rand.IntN(100); {
	case at < 30:
		return m.letter(ctx, operation.VersionEntity, target, nil, change...)
	case at < 55:
		return m.letter(ctx, operation.ModifyField, target, operation.ModifyParams{Field: "value", Value: m.rand.IntN(1000)}, change...)
	case at < 75:
		source := m.target()
		from := func(op *operation.Operation) { op.Source = source }
		return m.letter(ctx, operation.BorrowAttribute, target,
			operation.BorrowParams{SourceField: "value", TargetField: "borrowed"}, append(change, from)...)
	case at < 90:
		return m.letter(ctx, operation.ComplexUpdate, target, operation.UpdateParams{
			Add: map[string]json.Number{"counter": "1"}, Set: map[string]any{"position.x": m.rand.IntN(1000)},
		}, change...)
	case at < 95:
		return m.letter(ctx, operation.PromoteToRoot, target, nil, change...)
	default:
		return m.letter(ctx, operation.DetachEntity, target, nil, change...)
	}
}

// several makes n letters, in order.
func several(n int, one func(i int) (letter, error)) ([]letter, error) {
	out := make([]letter, 0, n)
	for i := range n {
		l, err := one(i)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// contest has three to eight operations contend for one entity.
func contest(ctx context.Context, m *mixer) ([]letter, error) {
	target := m.target()
	return several(3+m.rand.IntN(6), func(int) (letter, error) { return m.work(ctx, target) })
}

// regroup attaches entities to others, of other partitions mostly. Cycles are refused.
func regroup(ctx context.Context, m *mixer) ([]letter, error) {
	return several(1+m.rand.IntN(2), func(int) (letter, error) {
		return m.letter(ctx, operation.AttachEntity, m.target(), operation.AttachParams{ParentID: m.target()})
	})
}

// family has operations inherit the priority of one that may be of another entity.
func family(ctx context.Context, m *mixer) ([]letter, error) {
	parent, err := m.work(ctx, m.target(), func(op *operation.Operation) { op.Priority = operation.Critical })
	if err != nil {
		return nil, err
	}
	home, err := targetOf(parent)
	if err != nil {
		return nil, err
	}
	children, err := several(1+m.rand.IntN(3), func(int) (letter, error) {
		return m.work(ctx, m.target(), func(op *operation.Operation) {
			op.ParentID, op.ParentTarget, op.Priority = parent.note.ID, home, operation.Low
		})
	})
	return append([]letter{parent}, children...), err
}

// hope commands an entity that does not exist yet: attempts fail and are repeated.
// Some such entities come to be later, and are deleted after that.
func hope(ctx context.Context, m *mixer) ([]letter, error) {
	if len(m.unborn) < 5 {
		id := uuid.New()
		m.unborn = append(m.unborn, id)
		return several(2, func(i int) (letter, error) {
			return m.work(ctx, id, func(op *operation.Operation) { op.MaxRetries = new(i + m.rand.IntN(3)) })
		})
	}
	id := m.unborn[0]
	m.unborn = m.unborn[1:]
	born, err := m.birth(ctx, id)
	if err != nil {
		return nil, err
	}
	gone, err := m.letter(ctx, operation.DeleteEntity, id, nil)
	return []letter{born, gone}, err
}

// slow has an operation executed outside of the commit, while others come.
func slow(ctx context.Context, m *mixer) ([]letter, error) {
	target := m.target()
	first, err := m.letter(ctx, slowType, target, map[string]int{"n": m.made})
	if err != nil {
		return nil, err
	}
	others, err := several(m.rand.IntN(3), func(int) (letter, error) { return m.work(ctx, target) })
	return append([]letter{first}, others...), err
}

// withdraw cancels an operation that was sent just now or lately.
func withdraw(ctx context.Context, m *mixer) ([]letter, error) {
	var out []letter
	if m.rand.IntN(2) == 0 || len(m.recent) == 0 {
		l, err := m.letter(ctx, slowType, m.target(), nil, func(op *operation.Operation) { op.OnLoss = operation.Carry })
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	victim := m.recent[m.rand.IntN(len(m.recent))]
	target, err := targetOf(victim)
	if err != nil {
		return nil, err
	}
	cancel := operation.Cancel{ID: uuid.New(), OpID: victim.note.ID, Reason: "chaos"}
	body, err := cancel.Encode()
	if err != nil {
		return nil, err
	}
	return append(out, letter{
		message: raw(subjects.Space{}.Cancel(target), body, target, cancel.ID),
		note:    note{ID: cancel.ID, Class: asking},
	}), nil
}

// repeat sends an operation again that was sent before, so that the broker does not
// recognise it.
func repeat(_ context.Context, m *mixer) ([]letter, error) {
	if len(m.recent) == 0 {
		return nil, nil
	}
	old := m.recent[m.rand.IntN(len(m.recent))]
	again := letter{message: nats.NewMsg(old.message.Subject), note: old.note}
	again.message.Data, again.note.Class = old.message.Data, copied
	return []letter{again}, nil
}

// targetOf returns the entity that an operation commands.
func targetOf(l letter) (uuid.UUID, error) {
	var op struct {
		Target uuid.UUID `json:"target_entity_id"`
	}
	err := json.Unmarshal(l.message.Data, &op)
	return op.Target, err
}

// raw makes a message as a publisher without the client would.
func raw(subject string, body []byte, target, id uuid.UUID) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = body
	if id != uuid.Nil {
		msg.Header.Set(jetstream.MsgIDHeader, target.String()+"/"+id.String())
	}
	return msg
}

// usurp takes the op_id of an operation that is stored already for another one.
func usurp(_ context.Context, m *mixer) ([]letter, error) {
	old, ok := m.stored()
	if !ok {
		return nil, nil
	}
	target, err := targetOf(old)
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"op_id":%q,"op_type":"version_entity","target_entity_id":%q,"params":{"note":"usurper"}}`, old.note.ID, target)
	return []letter{{message: raw(old.message.Subject, body, target, uuid.Nil), note: note{Class: dead}}}, nil
}

// malformed makes messages of which no operation can be made.
func malformed(_ context.Context, m *mixer) ([]letter, error) {
	target := m.target()
	id := uuid.New()
	subject := subjects.Space{}.Submit(operation.Normal, target)
	switch m.rand.IntN(3) {
	case 0:
		return []letter{{message: raw(subject, []byte(`{"op_id":`), target, uuid.Nil), note: note{Class: dead}}}, nil
	case 1:
		body := fmt.Appendf(nil, `{"op_id":%q,"op_type":"modify_field","target_entity_id":%q,"params":{"field":7}}`, id, target)
		return []letter{{message: raw(subject, body, target, id), note: note{ID: id, Class: refused}}}, nil
	default:
		body := fmt.Appendf(nil, `{"op_id":%q,"op_type":"no_such_type","target_entity_id":%q}`, id, target)
		return []letter{{message: raw(subject, body, target, id), note: note{ID: id, Class: refused}}}, nil
	}
}
