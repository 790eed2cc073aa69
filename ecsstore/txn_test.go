package ecsstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// cold is a cache that knows only what was asked for before.
type cold struct {
	world *world
	known map[uuid.UUID]bool
}

func (c *cold) load(id uuid.UUID) (Head, bool) { return c.world.heads[id], c.known[id] }

// execute runs an operation as a consumer does: it loads what is missing and runs it
// again, until nothing is missing. It returns how often it loaded.
func (c *cold) execute(tx *Txn, x Execution) (Result, int, error) {
	for loads := 0; ; loads++ {
		result, err := tx.Execute(Builtin()[x.Operation.Type], x)
		missing, ok := errors.AsType[*MissingError](err)
		if !ok {
			return result, loads, err
		}
		for _, id := range missing.Entities {
			c.known[id] = true
		}
	}
}

// plantWithLine returns a world with a plant, a line below it and a pump.
func plantWithLine(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	plant := operation.EntityID("plant").String()
	w.must(operation.CreateEntity, "plant", `{"type":"plant","components":{"area":7}}`)
	w.must(operation.CreateEntity, "line", `{"type":"line","components":{"speed":1},"parent_id":"`+plant+`"}`)
	w.must(operation.CreateEntity, "pump", `{"type":"pump","components":{"speed":2}}`)
	return w
}

// everyOperation lists an operation of each type that succeeds in plantWithLine.
func everyOperation(w *world) []*operation.Operation {
	plant, line := operation.EntityID("plant").String(), operation.EntityID("line").String()
	borrow := w.operation(operation.BorrowAttribute, "line", `{"source_field":"speed","target_field":"speed"}`)
	borrow.Source = operation.EntityID("pump")
	return []*operation.Operation{
		w.operation(operation.CreateEntity, "valve", `{"type":"valve","components":{},"parent_id":"`+line+`"}`),
		w.operation(operation.VersionEntity, "line", `{"note":"n"}`),
		w.operation(operation.ComplexUpdate, "line", `{"add":{"speed":1}}`),
		w.operation(operation.ModifyField, "line", `{"field":"speed","value":3}`),
		borrow,
		w.operation(operation.PromoteToRoot, "line", ""),
		w.operation(operation.DetachEntity, "line", ""),
		w.operation(operation.AttachEntity, "pump", `{"parent_id":"`+plant+`"}`),
		w.operation(operation.DeleteEntity, "line", ""),
	}
}

func TestMissingEntitiesAreLoadedAndTheResultIsTheSame(t *testing.T) {
	w := plantWithLine(t)
	for _, o := range everyOperation(w) {
		x := w.execution(o)
		warm := NewTxn(w.load)
		want, err := warm.Execute(Builtin()[o.Type], x)
		if err != nil {
			t.Fatalf("%s: %v", o.Type, err)
		}
		cache := &cold{world: w, known: map[uuid.UUID]bool{}}
		tx := NewTxn(cache.load)
		got, loads, err := cache.execute(tx, x)
		if err != nil || loads == 0 {
			t.Fatalf("%s: loaded %d times, then: %v", o.Type, loads, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: another result:\n%s", o.Type, diff)
		}
		if diff := cmp.Diff(warm.Writes(), tx.Writes()); diff != "" {
			t.Errorf("%s: other writes:\n%s", o.Type, diff)
		}
		if diff := cmp.Diff(warm.Versions(), tx.Versions()); diff != "" {
			t.Errorf("%s: other versions:\n%s", o.Type, diff)
		}
		if missing := tx.Missing(); len(missing) > 0 {
			t.Errorf("%s: %v still missing", o.Type, missing)
		}
	}
}

func TestMissingEntitiesAreAskedForTogether(t *testing.T) {
	w := plantWithLine(t)
	for _, o := range everyOperation(w) {
		cache := &cold{world: w, known: map[uuid.UUID]bool{}}
		_, loads, err := cache.execute(NewTxn(cache.load), w.execution(o))
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		switch o.Type {
		case operation.PromoteToRoot, operation.DetachEntity, operation.DeleteEntity:
			want = 2 // who the parent is stands in the child
		case operation.CreateEntity:
			want = 2 // and who the grandparent is, in the parent
		}
		if loads != want {
			t.Errorf("%s: loaded %d times, want %d", o.Type, loads, want)
		}
	}
}

func TestMissingEntityCannotBeSwallowed(t *testing.T) {
	id := operation.EntityID("pump")
	tx := NewTxn(func(uuid.UUID) (Head, bool) { return Head{}, false })
	for name, system := range map[string]SystemFunc{
		"ignored": func(tx *Txn, _ Execution) ([]operation.Change, error) {
			_, _ = tx.Entity(id)
			return nil, nil
		},
		"panicked": func(tx *Txn, _ Execution) ([]operation.Change, error) {
			e, _ := tx.Entity(id)
			return nil, errors.New(e.Name)
		},
		"put blindly": func(tx *Txn, _ Execution) ([]operation.Change, error) {
			tx.Put(&Entity{ID: id, Revision: 1})
			return nil, nil
		},
	} {
		_, err := tx.Execute(system, newWorld(t).execution(newWorld(t).operation("custom", "pump", "")))
		missing, ok := errors.AsType[*MissingError](err)
		if !ok || len(missing.Entities) != 1 || missing.Entities[0] != id {
			t.Errorf("%s: got %v, want %s missing", name, err, id)
		}
		if len(tx.Writes()) != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
	if got := tx.Missing(); len(got) != 1 || got[0] != id {
		t.Errorf("missing are %v, want %s once", got, id)
	}
}

func TestOperationsInOneTxnSeeEachOther(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "tank", `{"type":"tank","components":{"counter":0}}`)
	base := w.heads[operation.EntityID("tank")]
	tx := NewTxn(w.load)
	for i := range 3 {
		o := w.operation(operation.ComplexUpdate, "tank", `{"add":{"counter":1}}`)
		result, err := tx.Execute(Builtin()[o.Type], w.execution(o))
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(i + 2); result.Version != want || result.Revision != want {
			t.Errorf("operation %d: version %d, revision %d, want %d", i, result.Version, result.Revision, want)
		}
	}
	writes := tx.Writes()
	if len(writes) != 1 || writes[0].Expect != base.Sequence || writes[0].Entity.Revision != 4 {
		t.Errorf("writes are %+v, want the last head alone", writes)
	}
	if got := len(tx.Versions()); got != 3 {
		t.Errorf("%d versions, want 3", got)
	}
	w.commit(tx)
	w.check()
	w.wantField("tank", "counter", "3")
}

func TestReadsAreWhatWasReadAndNotWritten(t *testing.T) {
	w := plantWithLine(t)
	tx := NewTxn(w.load)
	o := w.operation(operation.BorrowAttribute, "line", `{"source_field":"area","target_field":"area","create":true}`)
	o.Source = operation.EntityID("plant")
	if _, err := tx.Execute(Builtin()[o.Type], w.execution(o)); err != nil {
		t.Fatal(err)
	}
	failing := w.operation(operation.ModifyField, "pump", `{"field":"colour","value":1}`)
	if _, err := tx.Execute(Builtin()[failing.Type], w.execution(failing)); err == nil {
		t.Fatal("a field that does not exist was modified")
	}
	want := []ReadCheck{
		{ID: o.Source, Sequence: w.heads[o.Source].Sequence},
		{ID: failing.Target, Sequence: w.heads[failing.Target].Sequence},
	}
	if diff := cmp.Diff(want, tx.Reads()); diff != "" {
		t.Errorf("reads:\n%s", diff)
	}
}

func TestAncestorsAreCheckedWhereACycleCouldArise(t *testing.T) {
	w := plantWithLine(t)
	line := operation.EntityID("line")
	attach := w.operation(operation.AttachEntity, "pump", `{"parent_id":"`+line.String()+`"}`)
	tx := NewTxn(w.load)
	if _, err := tx.Execute(Builtin()[attach.Type], w.execution(attach)); err != nil {
		t.Fatal(err)
	}
	plant := operation.EntityID("plant")
	if diff := cmp.Diff([]ReadCheck{{ID: plant, Sequence: w.heads[plant].Sequence}}, tx.Reads()); diff != "" {
		t.Errorf("attach_entity checks:\n%s", diff)
	}
	create := w.operation(operation.CreateEntity, "valve", `{"type":"valve","components":{},"parent_id":"`+line.String()+`"}`)
	tx = NewTxn(w.load)
	if _, err := tx.Execute(Builtin()[create.Type], w.execution(create)); err != nil {
		t.Fatal(err)
	}
	if got := tx.Reads(); len(got) != 0 {
		t.Errorf("create_entity checks %v, want nothing but what it writes", got)
	}
}

// A cache may hear of a newer head at any time. What a write is made from and what
// it is checked against is the same head nevertheless.
func TestHeadsThatAreWrittenAreReadOnce(t *testing.T) {
	w := plantWithLine(t)
	for _, o := range everyOperation(w) {
		reads := map[uuid.UUID]uint64{}
		newer := func(id uuid.UUID) (Head, bool) {
			h := w.heads[id]
			if h.Entity != nil {
				head := *h.Entity
				head.Revision += 10 * reads[id]
				h.Entity = &head
			}
			h.Sequence += 10 * reads[id]
			reads[id]++
			return h, true
		}
		tx := NewTxn(newer)
		if _, err := tx.Execute(Builtin()[o.Type], w.execution(o)); err != nil {
			t.Fatalf("%s: %v", o.Type, err)
		}
		for _, write := range tx.Writes() {
			base := w.heads[write.Entity.ID]
			if base.Entity == nil {
				continue
			}
			if write.Expect != base.Sequence || write.Entity.Revision != base.Entity.Revision+1 {
				t.Errorf("%s: made from revision %d, checked against sequence %d of %d",
					o.Type, write.Entity.Revision-1, write.Expect, base.Sequence)
			}
		}
	}
}

func TestWritesComeInOrderOfTheFirstWrite(t *testing.T) {
	w := newWorld(t)
	tx := NewTxn(w.load)
	names := []string{"c", "a", "b", "a", "c"}
	for _, name := range names {
		kind := operation.CreateEntity
		params := `{"type":"x","components":{}}`
		if e := tx.heads[operation.EntityID(name)]; e != nil {
			kind, params = operation.VersionEntity, ""
		}
		if _, err := tx.Execute(Builtin()[kind], w.execution(w.operation(kind, name, params))); err != nil {
			t.Fatal(err)
		}
	}
	var got []uuid.UUID
	for _, write := range tx.Writes() {
		got = append(got, write.Entity.ID)
	}
	want := []uuid.UUID{operation.EntityID("c"), operation.EntityID("a"), operation.EntityID("b")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes:\n%s", diff)
	}
}

func TestPanicOfASystemIsAFailureThatMayBeRetried(t *testing.T) {
	w := plantWithLine(t)
	_, err := w.runSystem(SystemFunc(func(tx *Txn, x Execution) ([]operation.Change, error) {
		e, _ := tx.Entity(x.Operation.Target)
		tx.Snapshot(Touch(e, x), stamp(x))
		panic("the valve is stuck")
	}), w.operation("custom", "pump", ""))
	wantFailure(t, err, operation.SystemFailed, false)
	if !strings.Contains(err.Error(), "the valve is stuck") {
		t.Errorf("%q does not tell what happened", err)
	}
	if got := w.head("pump").Revision; got != 1 {
		t.Errorf("revision %d, want 1: nothing stays", got)
	}
}

// Systems may be anybody's: what would break the store does not get there.
func TestBrokenHeadsAreRefused(t *testing.T) {
	cases := map[string]struct {
		change    func(tx *Txn, e *Entity, x Execution)
		reason    operation.Reason
		permanent bool
	}{
		"same revision": {func(tx *Txn, e *Entity, _ Execution) {
			next := *e
			tx.Put(&next)
		}, operation.SystemFailed, false},
		"version without snapshot": {func(tx *Txn, e *Entity, x Execution) {
			next := Touch(e, x)
			next.VersionCount++
			tx.Put(next)
		}, operation.SystemFailed, false},
		"snapshot undone": {func(tx *Txn, e *Entity, x Execution) {
			tx.Snapshot(Touch(e, x), stamp(x))
			tx.Put(Touch(e, x))
		}, operation.SystemFailed, false},
		"value of a Go type": {func(tx *Txn, e *Entity, x Execution) {
			next := Touch(e, x)
			next.Components = map[string]any{"speed": 7}
			tx.Put(next)
		}, operation.SystemFailed, false},
		"another entity, written later": {func(tx *Txn, e *Entity, x Execution) {
			tx.Put(Touch(e, x))
			tx.Put(Touch(Touch(e, x), x))
			other, _ := tx.Entity(operation.EntityID("line"))
			tx.Put(other)
		}, operation.SystemFailed, false},
		"number that is none": {func(tx *Txn, e *Entity, x Execution) {
			next := Touch(e, x)
			next.Components = map[string]any{"speed": json.Number("fast")}
			tx.Put(next)
		}, operation.SystemFailed, false},
		"too deep": {func(tx *Txn, e *Entity, x Execution) {
			var deep any = map[string]any{}
			for range MaxComponentDepth - 1 {
				deep = []any{deep}
			}
			next := Touch(e, x)
			next.Components = map[string]any{"deep": deep}
			tx.Put(next)
		}, operation.TooLarge, true},
		"too large": {func(tx *Txn, e *Entity, x Execution) {
			next := Touch(e, x)
			next.Components = map[string]any{"text": strings.Repeat("x", MaxEntityBytes)}
			tx.Put(next)
		}, operation.TooLarge, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := plantWithLine(t)
			_, err := w.runSystem(SystemFunc(func(tx *Txn, x Execution) ([]operation.Change, error) {
				e, err := tx.Entity(x.Operation.Target)
				if err == nil {
					c.change(tx, e, x)
				}
				return nil, err
			}), w.operation("custom", "pump", ""))
			wantFailure(t, err, c.reason, c.permanent)
		})
	}
}

// A head that has grown to the limit can still be made smaller, and be deleted.
func TestEntityAtItsLimitCanShrink(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "tank", `{"type":"tank","components":{}}`)
	text := strings.Repeat("x", 32<<10)
	grown := 0
	for ; ; grown++ {
		_, err := w.do(operation.ModifyField, "tank", fmt.Sprintf(`{"field":"text%d","value":%q,"create":true}`, grown, text))
		if err != nil {
			wantFailure(t, err, operation.TooLarge, true)
			break
		}
	}
	if grown < 6 {
		t.Fatalf("full after %d fields of 32 KiB", grown)
	}
	for range MaxHistory {
		w.must(operation.ModifyField, "tank", fmt.Sprintf(`{"field":"text0","value":%q}`, text))
	}
	w.must(operation.ComplexUpdate, "tank", `{"remove":["text0"]}`)
	w.must(operation.DeleteEntity, "tank", "")
	w.check()
}
