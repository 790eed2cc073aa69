package client

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func TestRequestTurnsNamesIntoIDs(t *testing.T) {
	plain := uuid.New()
	op, err := Request{
		ID: "close", Type: operation.BorrowAttribute, Target: "valve-7", Source: plain.String(),
		Parent: "shift", ParentTarget: "plant-1", Params: map[string]any{"source_field": "a", "target_field": "b"},
	}.Operation()
	if err != nil {
		t.Fatal(err)
	}
	for field, c := range map[string]struct{ got, want uuid.UUID }{
		"op_id":        {op.ID, OperationID("close")},
		"target":       {op.Target, operation.EntityID("valve-7")},
		"source":       {op.Source, plain},
		"parent":       {op.ParentID, OperationID("shift")},
		"parentTarget": {op.ParentTarget, operation.EntityID("plant-1")},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", field, c.got, c.want)
		}
	}
	if OperationID("valve-7") == operation.EntityID("valve-7") {
		t.Error("operations and entities share a namespace")
	}
	if OperationID(plain.String()) != plain {
		t.Error("a UUID is not itself")
	}
}

func TestRequestParams(t *testing.T) {
	id := uuid.New().String()
	plant := operation.EntityID("plant-1").String()
	for name, c := range map[string]struct {
		request Request
		want    string
	}{
		"none":              {Request{Type: operation.PromoteToRoot, Target: "valve-7"}, ``},
		"raw":               {Request{Type: operation.ModifyField, Params: json.RawMessage(`{ "x":1}`)}, `{ "x":1}`},
		"a name is kept":    {Request{Type: operation.CreateEntity, Target: "valve-7", Params: json.RawMessage(`{"type":"t"}`)}, `{"name":"valve-7","type":"t"}`},
		"an id is no name":  {Request{Type: operation.CreateEntity, Target: id, Params: json.RawMessage(`{"type":"t"}`)}, `{"type":"t"}`},
		"its own name":      {Request{Type: operation.CreateEntity, Target: "valve-7", Params: json.RawMessage(`{"name":"V7"}`)}, `{"name":"V7"}`},
		"parent by name":    {Request{Type: operation.AttachEntity, Params: map[string]any{"parent_id": "plant-1"}}, `{"parent_id":"` + plant + `"}`},
		"parent by id":      {Request{Type: operation.AttachEntity, Params: map[string]any{"parent_id": id}}, `{"parent_id":"` + id + `"}`},
		"left to the check": {Request{Type: operation.AttachEntity, Params: json.RawMessage(`[1]`)}, `[1]`},
	} {
		op, err := c.request.Operation()
		if err != nil || string(op.Params) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, op.Params, err, c.want)
		}
	}
	if _, err := (Request{Params: func() {}}).Operation(); err == nil {
		t.Error("params that are no JSON are taken")
	}
}
