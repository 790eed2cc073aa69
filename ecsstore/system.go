package ecsstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// System executes the operations of one type. It is pure: it reads entities from
// the transaction, writes them back through it, and touches nothing else: no clock
// but [Execution.Time], no network, no memory of its own. It runs inside the commit,
// so that what it changes and the events that tell of it are stored together or not
// at all, and it may be run again for the same attempt. What does I/O is a
// [SlowSystem].
//
// A system usually decodes its params with [operation.ParamsOf], reads the target
// with [Txn.Entity], computes, and returns [ApplyPatch]. One that changes other
// entities too makes their new heads with [Touch] and puts them with [Txn.Put].
//
// An error undoes what it wrote; an [operation.Failure] says whether a retry makes
// sense. An error from the transaction's own methods must be passed on unchanged.
type System interface {
	Execute(tx *Txn, exec Execution) ([]operation.Change, error)
}

// SystemFunc is a [System] made of a function.
type SystemFunc func(tx *Txn, exec Execution) ([]operation.Change, error)

// Execute calls f.
func (f SystemFunc) Execute(tx *Txn, exec Execution) ([]operation.Change, error) { return f(tx, exec) }

// Execution is one attempt to execute an operation. Time is the time of the
// commit the attempt is part of.
type Execution struct {
	Operation *operation.Operation
	Effective operation.Priority
	Depth     int
	Time      time.Time
}

// MissingError says that a transaction read entities that were not loaded. Whoever
// runs the transaction loads them and runs it again.
type MissingError struct{ Entities []uuid.UUID }

func (*MissingError) Error() string { return "entities not loaded" }

// Peek returns the head of an entity as the transaction sees it, nil if there is
// none or it is not loaded. Unlike [Txn.Entity] it leaves no trace: the commit does
// not depend on what it returns.
func (t *Txn) Peek(id uuid.UUID) *Entity {
	if e, ok := t.heads[id]; ok {
		return e
	}
	h, _ := t.load(id)
	return h.Entity
}
