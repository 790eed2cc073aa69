package ecsstore

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// The fields of a head that a change of the tree names as its path. Every change
// of the tree is told twice: of the child by its parent_id, of the parent by its
// children.
const (
	parentField   = "parent_id"
	childrenField = "children"
)

// promoteToRoot makes a root of an orphan, or of a child, which leaves its parent
// with all that hangs below it. Of a root it changes nothing.
func promoteToRoot(tx *Txn, x Execution) ([]operation.Change, error) {
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	switch e.Place {
	case Orphan:
		return []operation.Change{becomeRoot(tx, x, e, operation.Promoted)}, nil
	case Child:
		return leave(tx, x, e, operation.Promoted)
	case Root, Deleted:
	}
	return nil, nil
}

// detachEntity makes a root of a child. Of any other entity it changes nothing.
func detachEntity(tx *Txn, x Execution) ([]operation.Change, error) {
	e, err := target(tx, x)
	if err != nil || e.Place != Child {
		return nil, err
	}
	return leave(tx, x, e, operation.Detached)
}

// attachEntity hangs a root, with all that hangs below it, under a parent.
func attachEntity(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.AttachParams](x.Operation)
	if err != nil {
		return nil, err
	}
	if err := need(tx, x.Operation.Target, p.ParentID); err != nil {
		return nil, err
	}
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	if e.Place != Root {
		return nil, operation.Refuse(operation.NotARoot, "entity %s is of place %s: only a root can be attached", e.ID, e.Place)
	}
	parent, err := parentFor(tx, tx.Entity, e.ID, p.ParentID)
	if err != nil {
		return nil, err
	}
	child := Touch(e, x)
	child.Place, child.Parent = Child, parent.ID
	child = tx.Snapshot(child, stamp(x))
	grown := tx.Snapshot(link(parent, x, child.ID), stamp(x))
	return []operation.Change{
		treeChange(child, operation.Attached, parentField, parent.ID),
		treeChange(grown, operation.Attached, childrenField, child.ID),
	}, nil
}

// becomeRoot puts e as a root with a version.
func becomeRoot(tx *Txn, x Execution, e *Entity, action operation.Action) operation.Change {
	root := Touch(e, x)
	root.Place, root.Parent = Root, uuid.Nil
	root = tx.Snapshot(root, stamp(x))
	return operation.Change{Entity: root.ID, Action: action, Version: root.VersionCount}
}

// leave takes a child from its parent and makes a root of it, with a version of
// both.
func leave(tx *Txn, x Execution, e *Entity, action operation.Action) ([]operation.Change, error) {
	parent, err := parentOf(tx.Entity, e)
	if err != nil {
		return nil, err
	}
	change := becomeRoot(tx, x, e, action)
	change.Path = parentField
	shrunk := tx.Snapshot(unlink(parent, x, e.ID), stamp(x))
	return []operation.Change{change, treeChange(shrunk, operation.Detached, childrenField, e.ID)}, nil
}

// treeChange tells of a head that was just snapshot where it gained or lost other.
func treeChange(e *Entity, action operation.Action, field string, other uuid.UUID) operation.Change {
	return operation.Change{Entity: e.ID, Action: action, Path: field, Value: idJSON(other), Version: e.VersionCount}
}

func idJSON(id uuid.UUID) json.RawMessage { return json.RawMessage(`"` + id.String() + `"`) }

// link returns a successor of parent that has the child.
func link(parent *Entity, x Execution, child uuid.UUID) *Entity {
	grown := Touch(parent, x)
	i, _ := slices.BinarySearchFunc(grown.Children, child, compareIDs)
	grown.Children = slices.Concat(grown.Children[:i], []uuid.UUID{child}, grown.Children[i:])
	return grown
}

// unlink returns a successor of parent that does not have the child.
func unlink(parent *Entity, x Execution, child uuid.UUID) *Entity {
	shrunk := Touch(parent, x)
	if i, found := slices.BinarySearchFunc(shrunk.Children, child, compareIDs); found {
		shrunk.Children = slices.Concat(shrunk.Children[:i], shrunk.Children[i+1:])
	}
	return shrunk
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// reader reads one entity, nil if there is none.
type reader func(uuid.UUID) (*Entity, error)

// parentFor returns the entity that is to be the parent of child, if it may be: it
// lives, is no orphan, has room for another child, and is neither the child nor
// below it.
//
// The walk goes up from the parent, with the reader above, and ends at a root, at
// the child or where the tree is as deep as it may be. What hangs below the child is
// not looked at: a tree that is attached may reach deeper than MaxTreeDepth, and
// then nothing can be put below its lowest entities.
func parentFor(tx *Txn, above reader, child, id uuid.UUID) (*Entity, error) {
	parent, err := live(tx.Entity, id, operation.ParentMissing)
	if err != nil {
		return nil, err
	}
	if parent.Place == Orphan {
		return nil, operation.Refuse(operation.OrphanEntity, "entity %s is an orphan: it has no children before it is promoted", id)
	}
	if len(parent.Children) >= MaxChildren {
		return nil, operation.Refuse(operation.TooLarge, "entity %s has %d children: want %d at most", id, len(parent.Children), MaxChildren)
	}
	at := parent
	for depth := 1; ; depth++ {
		if at.ID == child {
			return nil, operation.Refuse(operation.TreeCycle, "entity %s would be below itself: its parent %s is %d levels below it", child, id, depth-1)
		}
		if depth == MaxTreeDepth {
			return nil, operation.Refuse(operation.TooLarge, "entity %s is %d deep in its tree: nothing can be put below it", id, depth)
		}
		if at.Place != Child {
			return parent, nil
		}
		if at, err = parentOf(above, at); err != nil {
			return nil, err
		}
	}
}

// parentOf returns the parent of a child. Where there is none the store is broken.
func parentOf(read reader, e *Entity) (*Entity, error) {
	parent, err := read(e.Parent)
	if err != nil {
		return nil, err
	}
	if parent == nil {
		return nil, operation.Retryable(operation.SystemFailed, "entity %s names %s as its parent, which does not exist", e.ID, e.Parent)
	}
	return parent, nil
}
