package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// registers are entities that nobody but some sessions read and write, through the
// client as anybody would, and the history of what they saw.
type registers struct {
	client *client.Client
	first  register // what every register was created with
	began  time.Time

	mu       sync.Mutex // guards all below
	history  []porcupine.Operation
	sent     []uuid.UUID                       // the operations of all writes
	open     map[uuid.UUID]porcupine.Operation // writes whose outcome the session did not live to see
	reads    int
	writes   int // that took effect
	rejected int // writes that lost
	gaps     int // calls that failed and were made again
}

// register is the state of a register.
type register struct {
	Revision uint64
	Value    int
}

// access is what a session did to a register. A write of revision 0 took effect, but
// nobody saw with which.
type access struct {
	Key   int
	Write bool
	Value int // that was written
}

// How many registers and sessions there are. Sessions contend for registers, but not
// so much that most writes lose.
const (
	registerCount = 64
	sessionCount  = 12
	callTimeout   = 15 * time.Second
)

func registerID(key int) uuid.UUID { return operation.EntityID(fmt.Sprintf("register-%d", key)) }

func registerIDs() []uuid.UUID {
	ids := make([]uuid.UUID, registerCount)
	for key := range ids {
		ids[key] = registerID(key)
	}
	return ids
}

func newRegisters(nc *nats.Conn) (*registers, error) {
	c, err := client.New(nc)
	if err != nil {
		return nil, err
	}
	return &registers{client: c, began: time.Now(), open: map[uuid.UUID]porcupine.Operation{}}, nil
}

// look notes what the registers were created with.
func (r *registers) look(ctx context.Context) error {
	for key := range registerCount {
		got, err := r.get(ctx, key)
		if err != nil {
			return fmt.Errorf("reading a register: %w", err)
		}
		if key > 0 && got != r.first {
			return fmt.Errorf("register %d is %+v, another is %+v", key, got, r.first)
		}
		r.first = got
	}
	return nil
}

func (r *registers) get(ctx context.Context, key int) (register, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	head, err := r.client.Get(ctx, registerID(key).String())
	if err != nil {
		return register{}, err
	}
	return registerOf(head)
}

func registerOf(head *ecsstore.Entity) (register, error) {
	value, _ := ecsstore.Get(head, operation.Path{"value"})
	out := register{Revision: head.Revision}
	_, err := fmt.Sscan(fmt.Sprint(value), &out.Value)
	return out, err
}

// run has a session read and write until ctx is done, so many times a second on average.
// What it has begun it finishes, until work is done.
func (r *registers) run(ctx, work context.Context, session int, seed uint64, rate float64) {
	random := rand.New(rand.NewPCG(seed, 100+uint64(session))) //nolint:gosec // reproducible, not secret
	for n := 1; pass(ctx, around(random, time.Duration(float64(time.Second)/rate))); n++ {
		key := random.IntN(registerCount)
		if random.IntN(2) == 0 {
			r.read(work, session, key)
		} else {
			r.write(work, session, access{Key: key, Write: true, Value: n*sessionCount + session}, operation.Priorities()[random.IntN(4)])
		}
	}
}

func (r *registers) now() int64 { return int64(time.Since(r.began)) }

// read reads a register; a read that fails tells nothing.
func (r *registers) read(ctx context.Context, session, key int) {
	call := r.now()
	got, err := r.get(ctx, key)
	end := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.gaps++
		return
	}
	r.reads++
	r.history = append(r.history, porcupine.Operation{ClientId: session, Input: access{Key: key}, Call: call, Output: got, Return: end})
}

// write writes a register and submits the same operation again for as long as it does
// not know how it ended.
func (r *registers) write(ctx context.Context, session int, a access, p operation.Priority) {
	op := &operation.Operation{
		ID: uuid.New(), Type: operation.ModifyField, Target: registerID(a.Key), Priority: p, CreatedAt: time.Now().UTC(),
		Params: json.RawMessage(fmt.Sprintf(`{"field":"value","value":%d}`, a.Value)),
	}
	r.mu.Lock()
	r.sent = append(r.sent, op.ID)
	r.mu.Unlock()
	entry := porcupine.Operation{ClientId: session, Input: a, Call: r.now()}
	for {
		outcome, err := r.submit(ctx, op)
		if err == nil {
			entry.Return = r.now()
			r.wrote(entry, &outcome)
			return
		}
		r.failed()
		if !pass(ctx, againAfter) {
			r.left(op.ID, entry)
			return
		}
	}
}

func (r *registers) submit(ctx context.Context, op *operation.Operation) (client.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.SubmitAndWait(ctx, op)
}

func (r *registers) failed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps++
}

// wrote notes how a write ended. One that was rejected has no place in the history.
func (r *registers) wrote(entry porcupine.Operation, o *client.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !o.Succeeded() {
		r.rejected++
		return
	}
	r.writes++
	entry.Output = register{Revision: o.Revision}
	r.history = append(r.history, entry)
}

// left notes a write that nobody waits for any more.
func (r *registers) left(id uuid.UUID, entry porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[id] = entry
}

// close enters the writes that nobody has seen the end of, by how the streams say they
// ended. Those that took effect may have done so at any time.
func (r *registers) close(ends map[uuid.UUID][]operation.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session := sessionCount
	for id, entry := range r.open {
		if kinds := ends[id]; len(kinds) > 0 && kinds[0] == operation.CompletedEvent {
			entry.ClientId, entry.Return, entry.Output = session, math.MaxInt64, register{}
			r.history = append(r.history, entry)
			session++
		}
	}
}

// checkTimeout bounds the search for an order. Not to find out is a failure.
const checkTimeout = 2 * time.Minute

// check returns an error unless the history is linearizable. It draws what is wrong
// into a file.
func (r *registers) check(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	model := registerModel(r.first)
	result, info := porcupine.CheckOperationsVerbose(model, r.history, checkTimeout)
	if result == porcupine.Ok {
		return nil
	}
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return fmt.Errorf("reads and writes of registers are not linearizable (%s), which cannot be drawn: %w", result, err)
	}
	return fmt.Errorf("reads and writes of registers are not linearizable (%s): see %s", result, path)
}

// registerModel is what registers should do, one at a time: a write sets the value and
// counts the revision on, a read returns both.
func registerModel(first register) porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			keys := make([][]porcupine.Operation, registerCount)
			for _, op := range history {
				key := op.Input.(access).Key
				keys[key] = append(keys[key], op)
			}
			return keys
		},
		Init: func() any { return first },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(register), input.(access), output.(register))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}
}

func step(now register, a access, seen register) (bool, any) {
	if !a.Write {
		return now == seen, now
	}
	next := register{Revision: now.Revision + 1, Value: a.Value}
	return seen.Revision == 0 || seen.Revision == next.Revision, next
}
