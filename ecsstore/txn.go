package ecsstore

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Txn is where systems run: a view of heads that were loaded before, and what the
// systems changed of them. Operations executed one after another in one Txn see
// each other's effects. A Txn does no I/O and is for one goroutine; the entities in
// it are shared with the cache they came from and are never changed in place.
type Txn struct {
	load     func(uuid.UUID) (Head, bool)
	bases    map[uuid.UUID]Head    // as loaded, each read once
	heads    map[uuid.UUID]*Entity // as changed
	reads    []uuid.UUID           // the keys of bases, in order of the first read
	writes   []uuid.UUID           // the keys of heads, in order of the first write
	versions []Version
	undo     []undo
	missing  []uuid.UUID // read but not loaded, without duplicates
	misses   int         // reads that found nothing loaded, ever
}

// undo takes back one Put.
type undo struct {
	id     uuid.UUID
	before *Entity // nil: the entity had not been written
}

// Write is the final head of a changed entity.
type Write struct {
	Entity *Entity
	Expect uint64 // the sequence its head must still have
}

// ReadCheck is an entity that was read and not changed.
type ReadCheck struct {
	ID       uuid.UUID
	Sequence uint64 // that its head must still have
}

// Result is what executing an operation came to. Version and Revision are the
// target's afterwards; both are 0 if there is no target. Changes are empty, not nil,
// where nothing changed.
type Result struct {
	Changes  []operation.Change
	Version  uint64
	Revision uint64
}

// Mark is a point in a Txn to which [Txn.Rollback] returns.
type Mark struct{ undo, reads, versions int }

// NewTxn returns an empty transaction. The function load returns the head of an
// entity as it is cached: one without entity where it is known to be absent, and
// false where nothing is known.
func NewTxn(load func(uuid.UUID) (Head, bool)) *Txn {
	return &Txn{load: load, bases: map[uuid.UUID]Head{}, heads: map[uuid.UUID]*Entity{}}
}

// Entity returns the head of an entity as the transaction sees it, nil if there is
// none. The entity is shared and must not be changed. The error is a
// [*MissingError] where the head was not loaded.
func (t *Txn) Entity(id uuid.UUID) (*Entity, error) {
	if e, ok := t.heads[id]; ok {
		return e, nil
	}
	base, ok := t.base(id)
	if !ok {
		return nil, &MissingError{Entities: []uuid.UUID{id}}
	}
	return base.Entity, nil
}

// unchecked is Entity for what a result hardly depends on: the read is not among
// those that a commit checks, and what it saw may have changed by then.
func (t *Txn) unchecked(id uuid.UUID) (*Entity, error) {
	if e, ok := t.heads[id]; ok {
		return e, nil
	}
	h, ok := t.bases[id]
	if !ok {
		h, ok = t.load(id)
	}
	if !ok {
		t.miss(id)
		return nil, &MissingError{Entities: []uuid.UUID{id}}
	}
	return h.Entity, nil
}

// base reads the loaded head of an entity and remembers that it was read.
func (t *Txn) base(id uuid.UUID) (Head, bool) {
	if h, ok := t.bases[id]; ok {
		return h, true
	}
	h, ok := t.load(id)
	if !ok {
		t.miss(id)
		return Head{}, false
	}
	t.bases[id] = h
	t.reads = append(t.reads, id)
	return h, true
}

func (t *Txn) miss(id uuid.UUID) {
	t.misses++
	if !slices.Contains(t.missing, id) {
		t.missing = append(t.missing, id)
	}
}

// Put makes e the head of its entity. From here on e belongs to the transaction.
// [Touch] makes a successor of a head that may be put.
func (t *Txn) Put(e *Entity) {
	t.base(e.ID) // a write is checked like a read; what is not loaded counts as missed
	before, written := t.heads[e.ID]
	if !written {
		t.writes = append(t.writes, e.ID)
	}
	t.undo = append(t.undo, undo{id: e.ID, before: before})
	t.heads[e.ID] = e
}

// Snapshot puts e, counts a version for it and keeps the snapshot. The caller fills
// in the operation, the time and the note of v; the rest is taken from the head,
// which is returned.
func (t *Txn) Snapshot(e *Entity, v Version) *Entity {
	head := *e
	head.VersionCount++
	v.Entity, v.Number, v.Head = head.ID, head.VersionCount, &head
	t.Put(&head)
	t.versions = append(t.versions, v)
	return &head
}

// Execute runs a system in a scope of its own: if it fails, nothing that it wrote
// stays. The error is a [*MissingError] if it read an entity that is not loaded,
// whatever it made of that; else it is or wraps what the system returned. A panic
// is a failure that may be retried.
func (t *Txn) Execute(s System, x Execution) (Result, error) {
	mark, misses := t.Mark(), t.misses
	changes, err := run(t, s, x)
	if t.misses > misses {
		err = &MissingError{Entities: t.Missing()}
	}
	if err == nil {
		err = t.verify(mark)
	}
	if err != nil {
		t.revert(mark)
		return Result{}, err
	}
	if changes == nil {
		changes = []operation.Change{}
	}
	result := Result{Changes: changes}
	if e, err := t.Entity(x.Operation.Target); err == nil && e != nil {
		result.Version, result.Revision = e.VersionCount, e.Revision
	}
	return result, nil
}

func run(t *Txn, s System, x Execution) (changes []operation.Change, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = operation.Retryable(operation.SystemFailed, "the system of %s panicked: %v", x.Operation.Type, p)
		}
	}()
	return s.Execute(t, x)
}

// verify checks what a scope wrote before it may stay: systems may be anybody's.
func (t *Txn) verify(mark Mark) error {
	versions := t.versions[mark.versions:]
	seen := make(map[uuid.UUID]bool, 2)
	for _, u := range t.undo[mark.undo:] {
		if seen[u.id] {
			continue
		}
		seen[u.id] = true
		before := u.before
		if before == nil {
			before = t.bases[u.id].Entity
		}
		if err := verifyHead(before, t.heads[u.id], versions); err != nil {
			return err
		}
	}
	return nil
}

func verifyHead(before, after *Entity, versions []Version) error {
	var was Entity
	if before != nil {
		was = *before
	}
	if after.Revision <= was.Revision {
		return broken(after, "its revision does not grow")
	}
	count := was.VersionCount
	for _, v := range versions {
		if v.Entity == after.ID {
			count++
		}
	}
	if after.VersionCount != count {
		return broken(after, fmt.Sprintf("it counts %d versions and has %d", after.VersionCount, count))
	}
	return verifyComponents(after)
}

func verifyComponents(e *Entity) error {
	var m measure
	m.value(e.Components, 0)
	if m.foreign != nil {
		return broken(e, fmt.Sprintf("a value of type %T is no decoded JSON", m.foreign))
	}
	if m.huge != "" {
		return operation.Refuse(operation.NotANumber, "entity %s: the number %.40s is out of range", e.ID, m.huge)
	}
	if m.depth > MaxComponentDepth {
		return operation.Refuse(operation.TooLarge, "the components of entity %s would nest %d deep: want %d at most", e.ID, m.depth, MaxComponentDepth)
	}
	if size := headSize(e, m.size); size > MaxEntityBytes {
		return operation.Refuse(operation.TooLarge, "entity %s would take %d bytes: want %d at most", e.ID, size, MaxEntityBytes)
	}
	return nil
}

func broken(e *Entity, what string) error {
	return operation.Retryable(operation.SystemFailed, "the system left entity %s broken: %s", e.ID, what)
}

// Mark returns the present point of the transaction.
func (t *Txn) Mark() Mark {
	return Mark{undo: len(t.undo), reads: len(t.reads), versions: len(t.versions)}
}

// Rollback forgets all that was written and read since the mark was made. Marks
// made after it are void. What was found missing stays known.
func (t *Txn) Rollback(mark Mark) {
	t.revert(mark)
	for _, id := range t.reads[mark.reads:] {
		delete(t.bases, id)
	}
	t.reads = t.reads[:mark.reads]
}

// revert takes back the writes since the mark and keeps the reads: that an
// operation failed may be due to what it read.
func (t *Txn) revert(mark Mark) {
	for _, u := range slices.Backward(t.undo[mark.undo:]) {
		if u.before != nil {
			t.heads[u.id] = u.before
			continue
		}
		delete(t.heads, u.id)
		t.writes = t.writes[:len(t.writes)-1] // the first write of u.id is the last that is left
	}
	t.undo = t.undo[:mark.undo]
	t.versions = slices.Clip(t.versions[:mark.versions])
}

// Writes returns the final head of each entity that changed, in the order in which
// they were first written.
func (t *Txn) Writes() []Write {
	out := make([]Write, 0, len(t.writes))
	for _, id := range t.writes {
		out = append(out, Write{Entity: t.heads[id], Expect: t.bases[id].Sequence})
	}
	return out
}

// Versions returns the snapshots in the order in which they were made.
func (t *Txn) Versions() []Version { return slices.Clip(t.versions) }

// Reads returns the entities that were read and are not among the writes, in the
// order in which they were first read. They include those of operations that failed.
func (t *Txn) Reads() []ReadCheck {
	var out []ReadCheck
	for _, id := range t.reads {
		if _, written := t.heads[id]; !written {
			out = append(out, ReadCheck{ID: id, Sequence: t.bases[id].Sequence})
		}
	}
	return out
}

// Missing returns the entities that were asked for and are still not loaded.
func (t *Txn) Missing() []uuid.UUID {
	return slices.DeleteFunc(slices.Clone(t.missing), func(id uuid.UUID) bool {
		_, known := t.load(id)
		return known
	})
}
