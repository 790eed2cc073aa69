package ecsstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/operation"
)

// view is everything a transaction would commit.
func view(tx *Txn) string {
	var b strings.Builder
	for _, w := range tx.Writes() {
		fmt.Fprintf(&b, "write %p %d\n", w.Entity, w.Expect)
	}
	for _, v := range tx.Versions() {
		fmt.Fprintf(&b, "version %s %d %p\n", v.Entity, v.Number, v.Head)
	}
	fmt.Fprintln(&b, tx.Reads())
	return b.String()
}

func TestRollbackForgetsAllSinceTheMark(t *testing.T) {
	w := plantWithLine(t)
	tx := NewTxn(w.load)
	marks := []Mark{tx.Mark()}
	views := []string{view(tx)}
	operations := everyOperation(w)
	for i := range operations[:6] {
		o := operations[i]
		if _, err := tx.Execute(Builtin()[o.Type], w.execution(o)); err != nil {
			t.Fatalf("%s: %v", o.Type, err)
		}
		marks, views = append(marks, tx.Mark()), append(views, view(tx))
	}
	for i, mark := range slices.Backward(marks) {
		tx.Rollback(mark)
		if diff := cmp.Diff(views[i], view(tx)); diff != "" {
			t.Errorf("rollback to mark %d leaves another view:\n%s", i, diff)
		}
	}
	o := operations[7]
	if _, err := tx.Execute(Builtin()[o.Type], w.execution(o)); err != nil {
		t.Errorf("after the rollback: %v", err)
	}
	w.commit(tx)
	w.check()
}

// A window that is taken back and planned again finds heads as they are cached now.
func TestRollbackReadsAgain(t *testing.T) {
	w := plantWithLine(t)
	tx := NewTxn(w.load)
	mark := tx.Mark()
	update := w.operation(operation.ComplexUpdate, "pump", `{"add":{"speed":1}}`)
	if _, err := tx.Execute(Builtin()[update.Type], w.execution(update)); err != nil {
		t.Fatal(err)
	}
	tx.Rollback(mark)
	w.must(operation.ComplexUpdate, "pump", `{"add":{"speed":10}}`)
	if _, err := tx.Execute(Builtin()[update.Type], w.execution(update)); err != nil {
		t.Fatal(err)
	}
	w.commit(tx)
	w.wantField("pump", "speed", "13")
}

func TestSystemsMayNest(t *testing.T) {
	w := plantWithLine(t)
	inner := w.operation(operation.ModifyField, "pump", `{"field":"speed","value":20}`)
	fails := w.operation(operation.ComplexUpdate, "line", `{"set":{"speed":20},"add":{"label":1},"remove":["colour"]}`)
	outer := func(err error) SystemFunc {
		return func(tx *Txn, x Execution) ([]operation.Change, error) {
			e, _ := tx.Entity(x.Operation.Target)
			tx.Put(Touch(e, x))
			if _, err := tx.Execute(Builtin()[fails.Type], w.execution(fails)); err == nil {
				t.Error("the inner operation succeeded")
			}
			if _, err := tx.Execute(Builtin()[inner.Type], w.execution(inner)); err != nil {
				t.Errorf("the inner operation: %v", err)
			}
			return nil, err
		}
	}
	before := view(NewTxn(w.load))
	tx := NewTxn(w.load)
	broken := operation.Retryable(operation.Timeout, "too slow")
	if _, err := tx.Execute(outer(broken), w.execution(w.operation("custom", "plant", ""))); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	tx.Rollback(Mark{})
	if diff := cmp.Diff(before, view(tx)); diff != "" {
		t.Errorf("an outer failure leaves:\n%s", diff)
	}
	if _, err := tx.Execute(outer(nil), w.execution(w.operation("custom", "plant", ""))); err != nil {
		t.Fatal(err)
	}
	w.commit(tx)
	w.check()
	w.wantField("pump", "speed", "20")
	w.wantField("line", "speed", "1")
}
