package ecsstore

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
)

// SlowSystem executes the operations of one type outside the commit, because it
// does I/O: it calls a device, a payment provider, a model. That an attempt has
// started is stored before Run is called, and what it returns is committed
// afterwards; the partition's other entities go on meanwhile.
//
// An attempt whose worker goes away is repeated by the next owner, so Run may be
// called more than once for an operation: whatever it does outside must be
// idempotent, with [Task.Key] as the key.
//
// An error is retried unless it is an [operation.Failure] that is permanent: return
// [operation.Refuse] for what can never succeed. The context is done when the time
// for the attempt is over, which is the worker's time-out unless the system has its
// own; see [Within]. An attempt that is told so and returns is failed as a time-out.
// One that goes on all the same holds its entity, and its place among those that the
// worker runs at a time, until it returns.
//
// The context is also done when the worker stops. Return soon: a worker waits a second
// for its attempts and leaves them behind then. What they return is of no account, and
// the next owner repeats them, maybe while they still go on.
type SlowSystem interface {
	Run(ctx context.Context, task Task) (Patch, error)
}

// TimedSystem is a [SlowSystem] whose attempts have a time-out of their own, which
// counts instead of the worker's.
type TimedSystem interface {
	SlowSystem
	Timeout() time.Duration
}

// Within gives a slow system a time-out of its own.
func Within(timeout time.Duration, s SlowSystem) TimedSystem { return timed{s, timeout} }

type timed struct {
	SlowSystem
	timeout time.Duration
}

// Timeout implements [TimedSystem].
func (t timed) Timeout() time.Duration { return t.timeout }

// SlowFunc is a [SlowSystem] made of a function.
type SlowFunc func(ctx context.Context, task Task) (Patch, error)

// Run calls f.
func (f SlowFunc) Run(ctx context.Context, task Task) (Patch, error) { return f(ctx, task) }

// Task is one attempt of a slow system.
type Task struct {
	Operation *operation.Operation
	Head      *Entity // the target as it was when the attempt started; not to be changed
	Attempt   int     // counted from 1
}

// Key identifies the operation to the outside world: the same for all its attempts.
func (t Task) Key() string { return t.Operation.ID.String() }

// AttemptKey identifies this attempt alone.
func (t Task) AttemptKey() string { return t.Key() + "/" + strconv.Itoa(t.Attempt) }

// Patch is what a slow system wants changed of the target, and of nothing else. It is
// applied to the head as it is when the attempt ends, all of it or nothing; what it
// cannot change is a permanent failure. The zero Patch changes nothing. See
// [ApplyPatch].
type Patch struct {
	Set     map[string]json.RawMessage `json:"set,omitempty"`    // by field path
	Add     map[string]json.Number     `json:"add,omitempty"`    // to numbers, by field path
	Remove  []string                   `json:"remove,omitempty"` // field paths
	Note    string                     `json:"note,omitempty"`   // of the version
	Version bool                       `json:"version,omitempty"`
}

// DefaultSlowTimeout bounds an attempt of a slow system that sets none.
const DefaultSlowTimeout = 30 * time.Second
