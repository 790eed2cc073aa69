package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func read(t *testing.T, salt, text string) []fileOp {
	t.Helper()
	ops, err := readOps("-", strings.NewReader(text), salt, func(*operation.Operation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return ops
}

func TestOrderHoldsWhatBelongsTogether(t *testing.T) {
	ops := read(t, "", `{"op_type":"create_entity","target_entity_id":"plant"}
{"op_type":"create_entity","target_entity_id":"a","params":{"parent_id":"plant"}}
{"op_type":"create_entity","target_entity_id":"b","params":{"parent_id":"plant"}}
{"op_type":"version_entity","target_entity_id":"plant"}
{"op_id":"set","op_type":"modify_field","target_entity_id":"a"}
{"op_type":"borrow_attribute","target_entity_id":"b","source_entity_id":"a"}
{"op_type":"version_entity","target_entity_id":"c","parent_op_id":"set","parent_target_entity_id":"a"}
{"op_type":"modify_field","target_entity_id":"a"}
`)
	got := order(ops)
	for _, before := range got {
		slices.Sort(before)
	}
	want := [][]int{
		nil,       // the plant
		{0},       // a needs it
		{0},       // so does b, beside a
		{0, 1, 2}, // the plant changes again: after both
		{1},       // a changes
		{2, 4},    // b borrows from it
		{4},       // the parent
		{4, 5},    // a changes again: after who borrowed
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestSaltMakesNamesNewAndKeepsIDs(t *testing.T) {
	id := uuid.New().String()
	const text = `{"op_id":"a","op_type":"t","target_entity_id":"e","parent_op_id":"b"}` + "\n"
	plain, salted := read(t, "", text)[0], read(t, "x", text)[0]
	if plain.op.ID == salted.op.ID || plain.op.ParentID == salted.op.ParentID || plain.op.Target != salted.op.Target {
		t.Errorf("plain %+v, salted %+v", plain.op, salted.op)
	}
	if kept := read(t, "x", strings.ReplaceAll(text, `"a"`, `"`+id+`"`))[0]; kept.op.ID.String() != id || kept.name != "" {
		t.Errorf("an id became %s, named %q", kept.op.ID, kept.name)
	}
}
