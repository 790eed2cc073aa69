package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// The types of operation that tests have beside the built-in ones.
const (
	move    operation.Type = "move"    // slow; params are a script
	measure operation.Type = "measure" // pure; params are a script
	ask     operation.Type = "ask"     // executed by whoever answers on askSubject
)

// script says what the attempts of an operation do. Durations are in the form of
// [time.ParseDuration].
type script struct {
	Take      string          `json:"take,omitempty"`      // how long an attempt takes, if slow
	Fail      int             `json:"fail,omitempty"`      // attempts that fail, if slow
	Until     time.Time       `json:"until,omitzero"`      // attempts before that fail, if pure
	Permanent bool            `json:"permanent,omitempty"` // failures are
	Panic     bool            `json:"panic,omitempty"`     // instead of failing
	Late      bool            `json:"late,omitempty"`      // failures are those of a deadline
	Kill      bool            `json:"kill,omitempty"`      // each attempt takes the worker down
	Set       json.RawMessage `json:"set,omitempty"`       // the field counter
	Version   bool            `json:"version,omitempty"`
}

func slow(target uuid.UUID, p operation.Priority, s script) operation.Operation {
	return scripted(move, target, p, s)
}

func pure(target uuid.UUID, p operation.Priority, s script) operation.Operation {
	return scripted(measure, target, p, s)
}

func scripted(name operation.Type, target uuid.UUID, p operation.Priority, s script) operation.Operation {
	o := op(name, target, p, "")
	if err := o.WithParams(s); err != nil {
		panic(err)
	}
	return o
}

// lab runs scripts and notes what ran. A system that is scripted to kill calls die,
// which the test sets.
type lab struct {
	mu      sync.Mutex        // guards what follows
	running map[uuid.UUID]int // attempts at work on an entity
	twice   []string          // entities that two attempts worked on at a time
	runs    map[uuid.UUID]int // attempts of each operation
	die     func()
}

func newLab() *lab { return &lab{running: map[uuid.UUID]int{}, runs: map[uuid.UUID]int{}} }

func (l *lab) slow() map[operation.Type]ecsstore.SlowSystem {
	return map[operation.Type]ecsstore.SlowSystem{move: ecsstore.SlowFunc(l.move)}
}

func (l *lab) systems() map[operation.Type]ecsstore.System {
	return map[operation.Type]ecsstore.System{measure: ecsstore.SystemFunc(l.measure)}
}

// attempts returns how often an operation was run.
func (l *lab) attempts(o operation.Operation) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[o.ID]
}

func (l *lab) enter(o *operation.Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[o.ID]++
	l.running[o.Target]++
	if l.running[o.Target] > 1 {
		l.twice = append(l.twice, fmt.Sprintf("%s by %s", o.Target, o.ID))
	}
}

func (l *lab) leave(o *operation.Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[o.Target]--
}

func (l *lab) crash() {
	l.mu.Lock()
	die := l.die
	l.mu.Unlock()
	die()
}

// dies says what an operation that kills its worker does.
func (l *lab) dies(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.die = f
}

func (l *lab) move(ctx context.Context, task ecsstore.Task) (ecsstore.Patch, error) {
	s, err := operation.ParamsOf[script](task.Operation)
	if err != nil {
		return ecsstore.Patch{}, err
	}
	l.enter(task.Operation)
	defer l.leave(task.Operation)
	if s.Kill {
		l.crash()
		<-ctx.Done()
		return ecsstore.Patch{}, ctx.Err()
	}
	take, _ := time.ParseDuration(s.Take)
	select {
	case <-time.After(take):
	case <-ctx.Done():
		return ecsstore.Patch{}, ctx.Err()
	}
	if task.Attempt <= s.Fail {
		return ecsstore.Patch{}, s.failure()
	}
	patch := ecsstore.Patch{Version: s.Version}
	if s.Set != nil {
		patch.Set = map[string]json.RawMessage{"counter": s.Set}
	}
	return patch, nil
}

func (s script) failure() error {
	if s.Panic {
		panic("as scripted")
	}
	if s.Late {
		return fmt.Errorf("asking the bank: %w", context.DeadlineExceeded)
	}
	if s.Permanent {
		return operation.Refuse(operation.SystemFailed, "as scripted")
	}
	return operation.Retryable(operation.SystemFailed, "as scripted")
}

func (l *lab) measure(tx *ecsstore.Txn, x ecsstore.Execution) ([]operation.Change, error) {
	s, err := operation.ParamsOf[script](x.Operation)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Entity(x.Operation.Target); err != nil {
		return nil, err
	}
	l.enter(x.Operation)
	defer l.leave(x.Operation)
	if x.Time.Before(s.Until) {
		return nil, s.failure()
	}
	if s.Kill {
		l.crash()
	}
	patch := ecsstore.Patch{Version: s.Version}
	if s.Set != nil {
		patch.Set = map[string]json.RawMessage{"counter": s.Set}
	}
	return ecsstore.ApplyPatch(tx, x, patch)
}
