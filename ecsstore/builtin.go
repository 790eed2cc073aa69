package ecsstore

import (
	"errors"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Builtin returns the systems of the built-in types.
//
// What they have in common: each change of a head is one revision and one entry of
// its history, whatever number of fields it concerns. A target, source or parent
// that does not exist may yet appear, so that the attempt may be repeated; one that
// was deleted never comes back. Every entity whose head changes is named in the
// changes, and every version that is made by exactly one of them.
func Builtin() map[operation.Type]System {
	return map[operation.Type]System{
		operation.CreateEntity:    SystemFunc(createEntity),
		operation.VersionEntity:   SystemFunc(versionEntity),
		operation.ComplexUpdate:   SystemFunc(complexUpdate),
		operation.ModifyField:     SystemFunc(modifyField),
		operation.BorrowAttribute: SystemFunc(borrowAttribute),
		operation.PromoteToRoot:   SystemFunc(promoteToRoot),
		operation.DetachEntity:    SystemFunc(detachEntity),
		operation.AttachEntity:    SystemFunc(attachEntity),
		operation.DeleteEntity:    SystemFunc(deleteEntity),
	}
}

// Touch returns a successor of e for an operation: one revision further, changed at
// the time of the execution, with a new last entry in its history. It shares
// everything else with e: components and children are to be replaced in it and not
// changed in place.
func Touch(e *Entity, x Execution) *Entity {
	next := *e
	next.Revision++
	next.UpdatedAt = x.Time
	kept := e.History[max(0, len(e.History)+1-MaxHistory):]
	next.History = make([]Modification, len(kept)+1)
	copy(next.History, kept)
	next.History[len(kept)] = Modification{
		Revision: next.Revision,
		OpID:     x.Operation.ID,
		OpType:   x.Operation.Type,
		Time:     x.Time,
		Priority: x.Effective,
		Depth:    x.Depth,
	}
	return &next
}

// stamp returns the part of a version that the execution decides.
func stamp(x Execution) Version { return Version{OpID: x.Operation.ID, Time: x.Time} }

// target returns the entity that the operation is to change.
func target(tx *Txn, x Execution) (*Entity, error) {
	return live(tx.Entity, x.Operation.Target, operation.TargetNotFound)
}

// live reads an entity that must exist and not be deleted. Absent is the reason of
// the failure if it does not exist.
func live(read reader, id uuid.UUID, absent operation.Reason) (*Entity, error) {
	e, err := read(id)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, operation.Retryable(absent, "entity %s does not exist", id)
	}
	if e.Place == Deleted {
		return nil, operation.Refuse(operation.EntityDeleted, "entity %s is deleted", id)
	}
	return e, nil
}

// need reads several entities, so that those not loaded are found out at once.
func need(tx *Txn, ids ...uuid.UUID) error {
	var missing []uuid.UUID
	for _, id := range ids {
		_, err := tx.Entity(id)
		if m, ok := errors.AsType[*MissingError](err); ok {
			missing = append(missing, m.Entities...)
		}
	}
	if len(missing) > 0 {
		return &MissingError{Entities: missing}
	}
	return nil
}

// noVersion refuses a snapshot of an orphan.
func noVersion(e *Entity) error {
	return operation.Refuse(operation.OrphanEntity, "entity %s is an orphan: it has no version before it is promoted", e.ID)
}

// createEntity makes an entity: a child where a parent is named, an orphan where
// that is asked for, else a root. A parent changes with it and gets no version.
func createEntity(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.CreateParams](x.Operation)
	if err != nil {
		return nil, err
	}
	if p.ParentID != uuid.Nil {
		err = need(tx, x.Operation.Target, p.ParentID)
	}
	if err != nil {
		return nil, err
	}
	if err := vacant(tx, x.Operation.Target); err != nil {
		return nil, err
	}
	e := newEntity(x, p)
	if p.Orphan {
		e.Place = Orphan
		tx.Put(e)
		return []operation.Change{{Entity: e.ID, Action: operation.Created}}, nil
	}
	if p.ParentID == uuid.Nil {
		e = tx.Snapshot(e, stamp(x))
		return []operation.Change{{Entity: e.ID, Action: operation.Created, Version: e.VersionCount}}, nil
	}
	return createChild(tx, x, e, p.ParentID)
}

// createChild puts a new entity below a parent. The ancestors are read only to see
// how deep they are: they may change meanwhile.
func createChild(tx *Txn, x Execution, e *Entity, id uuid.UUID) ([]operation.Change, error) {
	parent, err := parentFor(tx, tx.unchecked, e.ID, id)
	if err != nil {
		return nil, err
	}
	e.Place, e.Parent = Child, parent.ID
	e = tx.Snapshot(e, stamp(x))
	tx.Put(link(parent, x, e.ID))
	return []operation.Change{
		{Entity: e.ID, Action: operation.Created, Path: parentField, Value: idJSON(parent.ID), Version: e.VersionCount},
		{Entity: parent.ID, Action: operation.Attached, Path: childrenField, Value: idJSON(e.ID)},
	}, nil
}

// vacant refuses an id that is or was in use.
func vacant(tx *Txn, id uuid.UUID) error {
	e, err := tx.Entity(id)
	if err != nil || e == nil {
		return err
	}
	if e.Place == Deleted {
		return operation.Refuse(operation.EntityDeleted, "entity %s is deleted: its id cannot be used again", id)
	}
	return operation.Refuse(operation.AlreadyExists, "entity %s exists already", id)
}

func newEntity(x Execution, p operation.CreateParams) *Entity {
	e := Touch(&Entity{ID: x.Operation.Target, Place: Root}, x)
	e.Name, e.Type, e.Components = p.Name, p.Type, p.Components
	e.CreatedAt = x.Time
	if e.Components == nil {
		e.Components = map[string]any{}
	}
	return e
}

// versionEntity takes a snapshot of the head as it stands.
func versionEntity(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.VersionParams](x.Operation)
	if err != nil {
		return nil, err
	}
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	if e.Place == Orphan {
		return nil, noVersion(e)
	}
	v := stamp(x)
	v.Note = p.Note
	e = tx.Snapshot(Touch(e, x), v)
	return []operation.Change{{Entity: e.ID, Action: operation.Versioned, Version: e.VersionCount}}, nil
}

// deleteEntity leaves a tombstone: the head keeps its id, name, type and history
// and loses its components, which stand in the last version. A parent changes with
// it and gets no version.
func deleteEntity(tx *Txn, x Execution) ([]operation.Change, error) {
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	if len(e.Children) > 0 {
		return nil, operation.Refuse(operation.HasChildren, "entity %s has %d children: delete or detach them first", e.ID, len(e.Children))
	}
	last := Touch(e, x)
	last.Place, last.Parent = Deleted, uuid.Nil
	tomb := *tx.Snapshot(last, stamp(x))
	tomb.Components, tomb.Sources = map[string]any{}, nil
	tx.Put(&tomb)
	deleted := operation.Change{Entity: tomb.ID, Action: operation.Deleted, Version: tomb.VersionCount}
	left, err := abandon(tx, x, e)
	return append([]operation.Change{deleted}, left...), err
}

// abandon takes an entity that is being deleted from its parent, if it has one.
func abandon(tx *Txn, x Execution, e *Entity) ([]operation.Change, error) {
	if e.Place != Child {
		return nil, nil
	}
	parent, err := parentOf(tx.Entity, e)
	if err != nil {
		return nil, err
	}
	tx.Put(unlink(parent, x, e.ID))
	return []operation.Change{{Entity: parent.ID, Action: operation.Detached, Path: childrenField, Value: idJSON(e.ID)}}, nil
}
