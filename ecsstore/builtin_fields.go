package ecsstore

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hierarchy-events/hierarchy/operation"
)

// fieldEdits is what changes of many fields of one entity come to.
type fieldEdits struct {
	set     []fieldValue[any] // new values; fields that are missing come to be
	add     []fieldValue[json.Number]
	remove  []operation.Path
	retype  bool // values may be of another JSON type than the present ones
	version bool // a version follows
	note    string
}

// fieldValue is a value for a field.
type fieldValue[V any] struct {
	path  operation.Path
	value V
}

// ApplyPatch changes the target of an operation as a patch says, all or nothing:
// first it sets, in the order of the paths, then it adds, then it removes, in the
// order given. Fields that are missing come to be, and values may be of another JSON
// type than the present ones: a system knows what it does. The whole is one change
// of the head; the zero Patch is none.
func ApplyPatch(tx *Txn, x Execution, p Patch) ([]operation.Change, error) {
	if _, err := target(tx, x); err != nil {
		return nil, err
	}
	if len(p.Set)+len(p.Add)+len(p.Remove) == 0 && !p.Version {
		return nil, nil
	}
	if len(p.Note) > operation.MaxTextBytes {
		return nil, operation.Refuse(operation.SystemFailed, "the patch of %s: its note takes %d bytes, at most %d are allowed",
			x.Operation.Type, len(p.Note), operation.MaxTextBytes)
	}
	set, err := decodeValues(p.Set)
	if err != nil {
		return nil, operation.Refuse(operation.SystemFailed, "the patch of %s: %v", x.Operation.Type, err)
	}
	edits, err := newFieldEdits(set, p.Add, p.Remove)
	if err != nil {
		return nil, operation.Refuse(operation.SystemFailed, "the patch of %s: %v", x.Operation.Type, err)
	}
	edits.retype, edits.version, edits.note = true, p.Version, p.Note
	return updateFields(tx, x, edits)
}

func decodeValues(texts map[string]json.RawMessage) (map[string]any, error) {
	values := make(map[string]any, len(texts))
	for field, text := range texts {
		value, err := decodeValue(text)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", field, err)
		}
		values[field] = value
	}
	return values, nil
}

// decodeValue decodes a JSON value, numbers as they are written. No text is null.
func decodeValue(text json.RawMessage) (value any, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	if !json.Valid(text) {
		return nil, errors.New("the value is no JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&value)
	return value, err
}

// complexUpdate changes many fields, all or none, and takes a snapshot. It may set
// fields that do not exist.
func complexUpdate(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.UpdateParams](x.Operation)
	if err != nil {
		return nil, err
	}
	edits, err := newFieldEdits(p.Set, p.Add, p.Remove)
	if err != nil {
		return nil, operation.Refuse(operation.Invalid, "params: %v", err)
	}
	edits.retype, edits.version = p.Retype, true
	return updateFields(tx, x, edits)
}

// newFieldEdits puts edits in order.
func newFieldEdits(set map[string]any, add map[string]json.Number, remove []string) (e fieldEdits, err error) {
	if e.set, err = inOrder(set); err != nil {
		return e, err
	}
	if e.add, err = inOrder(add); err != nil {
		return e, err
	}
	for _, text := range remove {
		path, err := operation.ParsePath(text)
		if err != nil {
			return e, err
		}
		e.remove = append(e.remove, path)
	}
	return e, nil
}

// inOrder sorts fields by their paths: an object before its members, the elements of
// an array by their numbers.
func inOrder[V any](fields map[string]V) ([]fieldValue[V], error) {
	sorted := make([]fieldValue[V], 0, len(fields))
	for text, value := range fields {
		path, err := operation.ParsePath(text)
		if err != nil {
			return nil, err
		}
		sorted = append(sorted, fieldValue[V]{path, value})
	}
	slices.SortFunc(sorted, func(a, b fieldValue[V]) int { return slices.CompareFunc(a.path, b.path, compareKeys) })
	return sorted, nil
}

func compareKeys(a, b string) int {
	i, okA := arrayIndex(a)
	j, okB := arrayIndex(b)
	switch {
	case okA && okB:
		return cmp.Compare(i, j)
	case okA:
		return -1 // numbers come first
	case okB:
		return 1
	}
	return cmp.Compare(a, b)
}

// updateFields makes edits of the target as one change of it.
func updateFields(tx *Txn, x Execution, edits fieldEdits) ([]operation.Change, error) {
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	if edits.version && e.Place == Orphan {
		return nil, noVersion(e)
	}
	head := Touch(e, x)
	changes, err := editFields(newEditor(head), edits)
	if err != nil {
		return nil, err
	}
	if !edits.version {
		tx.Put(head)
		return changes, nil
	}
	v := stamp(x)
	v.Note = edits.note
	head = tx.Snapshot(head, v)
	return append(changes, operation.Change{Entity: head.ID, Action: operation.Versioned, Version: head.VersionCount}), nil
}

func editFields(ed *editor, edits fieldEdits) ([]operation.Change, error) {
	changes := make([]operation.Change, 0, len(edits.set)+len(edits.add)+len(edits.remove)+1)
	for _, f := range edits.set {
		if err := ed.set(f.path, f.value, true, edits.retype); err != nil {
			return nil, err
		}
		changes = append(changes, fieldChange(ed.head, operation.Set, f.path, f.value))
	}
	for _, f := range edits.add {
		total, err := ed.add(f.path, f.value)
		if err != nil {
			return nil, err
		}
		changes = append(changes, fieldChange(ed.head, operation.Added, f.path, total))
	}
	for _, path := range edits.remove {
		if err := ed.remove(path); err != nil {
			return nil, err
		}
		changes = append(changes, operation.Change{Entity: ed.head.ID, Action: operation.Removed, Path: path.String()})
	}
	return changes, nil
}

// fieldChange tells the new value of a field.
func fieldChange(e *Entity, action operation.Action, path operation.Path, value any) operation.Change {
	text, _ := json.Marshal(value) // what was decoded can be encoded
	return operation.Change{Entity: e.ID, Action: action, Path: path.String(), Value: text}
}

// modifyField changes one field of the head, in place.
func modifyField(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.ModifyParams](x.Operation)
	if err != nil {
		return nil, err
	}
	field, err := fieldPath(p.Field)
	if err != nil {
		return nil, err
	}
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	head := Touch(e, x)
	if err := newEditor(head).set(field, p.Value, p.Create, p.Retype); err != nil {
		return nil, err
	}
	tx.Put(head)
	return []operation.Change{fieldChange(head, operation.Set, field, p.Value)}, nil
}

// fieldPath reads a path that stands in params.
func fieldPath(text string) (operation.Path, error) {
	path, err := operation.ParsePath(text)
	if err != nil {
		return nil, operation.Refuse(operation.Invalid, "params: %v", err)
	}
	return path, nil
}

// borrowAttribute copies a field of the source's head and notes where it came from.
func borrowAttribute(tx *Txn, x Execution) ([]operation.Change, error) {
	p, err := operation.ParamsOf[operation.BorrowParams](x.Operation)
	if err != nil {
		return nil, err
	}
	from, err := fieldPath(p.SourceField)
	if err != nil {
		return nil, err
	}
	to, err := fieldPath(p.TargetField)
	if err != nil {
		return nil, err
	}
	if err := need(tx, x.Operation.Target, x.Operation.Source); err != nil {
		return nil, err
	}
	e, err := target(tx, x)
	if err != nil {
		return nil, err
	}
	source, err := live(tx.Entity, x.Operation.Source, operation.SourceNotFound)
	if err != nil {
		return nil, err
	}
	head := Touch(e, x)
	head.BorrowCount++
	value, err := copyField(head, to, source, from, p)
	if err != nil {
		return nil, err
	}
	tx.Put(head)
	return []operation.Change{fieldChange(head, operation.Borrowed, to, value)}, nil
}

// copyField copies a field of source to one of head, which is the latest entry of
// its history's doing. Values are never changed in place, so that one that is shared
// is a deep copy.
func copyField(head *Entity, to operation.Path, source *Entity, from operation.Path, p operation.BorrowParams) (any, error) {
	value, ok := Get(source, from)
	if !ok {
		return nil, operation.Refuse(operation.FieldNotFound, "field %s of source %s does not exist", from, source.ID)
	}
	ed := newEditor(head)
	if err := ed.set(to, value, p.Create, p.Retype); err != nil {
		return nil, err
	}
	ed.borrowed(to, Source{
		Entity: source.ID, Field: p.SourceField, Version: source.VersionCount,
		Revision: source.Revision, OpID: head.History[len(head.History)-1].OpID,
	})
	return value, nil
}
