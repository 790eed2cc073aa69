package ecsstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// world is a store in a map: enough to run systems against and to see that what
// they write fits together.
type world struct {
	tb       testing.TB
	heads    map[uuid.UUID]Head
	versions map[uuid.UUID][]Version
	sequence uint64
	now      time.Time
	ops      int
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return &world{
		tb:       tb,
		heads:    map[uuid.UUID]Head{},
		versions: map[uuid.UUID][]Version{},
		now:      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// load is a cache that knows everything.
func (w *world) load(id uuid.UUID) (Head, bool) { return w.heads[id], true }

// operation makes the next operation. Params are given as JSON.
func (w *world) operation(kind operation.Type, target, params string) *operation.Operation {
	w.ops++
	o := &operation.Operation{
		ID:       uuid.NewSHA1(uuid.Nil, []byte{byte(w.ops >> 16), byte(w.ops >> 8), byte(w.ops)}),
		Type:     kind,
		Target:   operation.EntityID(target),
		Priority: operation.Normal,
	}
	if params != "" {
		o.Params = json.RawMessage(params)
	}
	return o
}

func (w *world) execution(o *operation.Operation) Execution {
	w.now = w.now.Add(time.Second)
	return Execution{Operation: o, Effective: o.Priority, Depth: 1, Time: w.now}
}

// do executes one operation with its built-in system and commits it.
func (w *world) do(kind operation.Type, target, params string) (Result, error) {
	return w.run(w.operation(kind, target, params))
}

// borrow executes a borrow_attribute.
func (w *world) borrow(target, source, params string) (Result, error) {
	o := w.operation(operation.BorrowAttribute, target, params)
	o.Source = operation.EntityID(source)
	return w.run(o)
}

func (w *world) run(o *operation.Operation) (Result, error) {
	return w.runSystem(Builtin()[o.Type], o)
}

func (w *world) runSystem(s System, o *operation.Operation) (Result, error) {
	w.tb.Helper()
	tx := NewTxn(w.load)
	result, err := tx.Execute(s, w.execution(o))
	if err != nil && len(tx.Writes())+len(tx.Versions()) > 0 {
		w.tb.Fatalf("%s failed and left writes: %v", o.Type, err)
	}
	w.commit(tx)
	return result, err
}

// must executes an operation that has to succeed.
func (w *world) must(kind operation.Type, target, params string) Result {
	w.tb.Helper()
	result, err := w.do(kind, target, params)
	if err != nil {
		w.tb.Fatalf("%s of %s: %v", kind, target, err)
	}
	return result
}

// refused executes an operation that has to fail for a reason.
func (w *world) refused(reason operation.Reason, permanent bool, kind operation.Type, target, params string) {
	w.tb.Helper()
	_, err := w.do(kind, target, params)
	wantFailure(w.tb, err, reason, permanent)
}

func wantFailure(tb testing.TB, err error, reason operation.Reason, permanent bool) {
	tb.Helper()
	f, ok := errors.AsType[*operation.Failure](err)
	if !ok {
		tb.Fatalf("got error %v, want a failure %s", err, reason)
	}
	if f.Reason != reason || f.Permanent != permanent {
		tb.Fatalf("got %s (permanent %v), want %s (permanent %v)", f, f.Permanent, reason, permanent)
	}
}

// commit stores what a transaction wrote, as the store would.
func (w *world) commit(tx *Txn) {
	w.tb.Helper()
	for _, r := range tx.Reads() {
		if r.Sequence != w.heads[r.ID].Sequence {
			w.tb.Fatalf("read check of %s: sequence %d, store has %d", r.ID, r.Sequence, w.heads[r.ID].Sequence)
		}
	}
	for _, write := range tx.Writes() {
		id := write.Entity.ID
		if write.Expect != w.heads[id].Sequence {
			w.tb.Fatalf("write of %s expects %d, store has %d", id, write.Expect, w.heads[id].Sequence)
		}
		w.sequence++
		w.heads[id] = Head{Entity: w.stored(write.Entity), Sequence: w.sequence}
	}
	for _, v := range tx.Versions() {
		w.versions[v.Entity] = append(w.versions[v.Entity], v)
		if got := uint64(len(w.versions[v.Entity])); v.Number != got || v.Head.VersionCount != got {
			w.tb.Fatalf("version %d of %s with count %d is the %dth", v.Number, v.Entity, v.Head.VersionCount, got)
		}
	}
}

// stored returns an entity as it comes back from the store, and fails if that is
// another one.
func (w *world) stored(e *Entity) *Entity {
	w.tb.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		w.tb.Fatalf("encoding entity %s: %v", e.ID, err)
	}
	var back Entity
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&back); err != nil {
		w.tb.Fatalf("decoding entity %s: %v", e.ID, err)
	}
	if !reflect.DeepEqual(e, &back) {
		w.tb.Fatalf("entity %s changes when it is stored:\n%s", e.ID, cmp.Diff(e, &back))
	}
	return &back
}

func (w *world) head(name string) *Entity {
	w.tb.Helper()
	e := w.heads[operation.EntityID(name)].Entity
	if e == nil {
		w.tb.Fatalf("entity %s does not exist", name)
	}
	return e
}

// field returns a field of a head as JSON, or nothing.
func (w *world) field(name, field string) string {
	w.tb.Helper()
	path, err := operation.ParsePath(field)
	if err != nil {
		w.tb.Fatal(err)
	}
	value, ok := Get(w.head(name), path)
	if !ok {
		return ""
	}
	text, err := json.Marshal(value)
	if err != nil {
		w.tb.Fatal(err)
	}
	return string(text)
}

func (w *world) wantField(name, field, want string) {
	w.tb.Helper()
	if got := w.field(name, field); got != want {
		w.tb.Errorf("field %s of %s is %q, want %q", field, name, got, want)
	}
}

// check fails unless the heads are a forest and their histories and versions are
// whole.
func (w *world) check() {
	w.tb.Helper()
	for id, h := range w.heads {
		e := h.Entity
		w.checkPlace(e)
		w.checkHistory(e)
		if got := uint64(len(w.versions[id])); e.VersionCount != got {
			w.tb.Errorf("entity %s counts %d versions and has %d", id, e.VersionCount, got)
		}
		if !slices.IsSortedFunc(e.Children, compareIDs) {
			w.tb.Errorf("children of %s are not sorted", id)
		}
		for _, child := range e.Children {
			if c := w.heads[child].Entity; c == nil || c.Parent != id {
				w.tb.Errorf("child %s of %s does not name it as its parent", child, id)
			}
		}
	}
}

func (w *world) checkPlace(e *Entity) {
	w.tb.Helper()
	if (e.Place == Child) != (e.Parent != uuid.Nil) {
		w.tb.Errorf("entity %s is of place %s with parent %s", e.ID, e.Place, e.Parent)
	}
	if (e.Place == Orphan) != (e.VersionCount == 0) {
		w.tb.Errorf("entity %s is of place %s with %d versions", e.ID, e.Place, e.VersionCount)
	}
	if (e.Place == Orphan || e.Place == Deleted) && len(e.Children) > 0 {
		w.tb.Errorf("entity %s is of place %s with children", e.ID, e.Place)
	}
	up := e
	for range len(w.heads) {
		if up.Place != Child {
			return
		}
		parent := w.heads[up.Parent].Entity
		if parent == nil || !slices.Contains(parent.Children, up.ID) {
			w.tb.Fatalf("parent %s of %s does not have it among its children", up.Parent, up.ID)
		}
		up = parent
	}
	w.tb.Errorf("entity %s is in a cycle", e.ID)
}

func (w *world) checkHistory(e *Entity) {
	w.tb.Helper()
	if want := min(e.Revision, MaxHistory); uint64(len(e.History)) != want {
		w.tb.Errorf("history of %s has %d entries at revision %d", e.ID, len(e.History), e.Revision)
	}
	for i, m := range slices.Backward(e.History) {
		if want := e.Revision - uint64(len(e.History)-1-i); m.Revision != want {
			w.tb.Errorf("history of %s has revision %d at %d, want %d", e.ID, m.Revision, i, want)
		}
	}
}

func jsonValue(tb testing.TB, text string) any {
	tb.Helper()
	value, err := decodeValue(json.RawMessage(text))
	if err != nil {
		tb.Fatalf("decoding %s: %v", text, err)
	}
	return value
}

func jsonText(tb testing.TB, value any) string {
	tb.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func pathOf(tb testing.TB, text string) operation.Path {
	tb.Helper()
	path, err := operation.ParsePath(text)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}
