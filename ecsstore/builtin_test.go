package ecsstore

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func TestBuiltinHasASystemForEachType(t *testing.T) {
	systems := Builtin()
	for _, kind := range operation.BuiltinTypes() {
		if systems[kind] == nil {
			t.Errorf("no system for %s", kind)
		}
	}
	if len(systems) != len(operation.BuiltinTypes()) {
		t.Errorf("%d systems for %d types", len(systems), len(operation.BuiltinTypes()))
	}
}

// A mix of six types on roots, in the shares of the stress run.
func TestD5_VersionsAreSnapshotsUpdatesAndTargets(t *testing.T) {
	const targets, operations = 10, 2000
	w := newWorld(t)
	for i := range targets {
		w.must(operation.CreateEntity, fmt.Sprint("target-", i), `{"type":"stress","components":{"counter":0,"value":0}}`)
	}
	random := rand.New(rand.NewPCG(5, 5))
	successes := map[operation.Type]int{}
	for range operations {
		o := stressOperation(w, random, targets)
		if _, err := w.run(o); err != nil {
			t.Fatalf("%s: %v", o.Type, err)
		}
		successes[o.Type]++
	}
	w.check()
	versions := 0
	for _, lineage := range w.versions {
		versions += len(lineage)
	}
	want := successes[operation.VersionEntity] + successes[operation.ComplexUpdate] + targets
	if versions != want || len(successes) != 6 {
		t.Errorf("%d versions of %v, want %d", versions, successes, want)
	}
}

func stressOperation(w *world, random *rand.Rand, targets int) *operation.Operation {
	target := fmt.Sprint("target-", random.IntN(targets))
	switch share := random.IntN(100); {
	case share < 30:
		return w.operation(operation.VersionEntity, target, "")
	case share < 55:
		return w.operation(operation.ModifyField, target, fmt.Sprintf(`{"field":"value","value":%d}`, share))
	case share < 75:
		o := w.operation(operation.BorrowAttribute, target, `{"source_field":"counter","target_field":"borrowed","create":true}`)
		o.Source = operation.EntityID(fmt.Sprint("target-", random.IntN(targets)))
		return o
	case share < 90:
		return w.operation(operation.ComplexUpdate, target, `{"add":{"counter":1}}`)
	case share < 95:
		return w.operation(operation.PromoteToRoot, target, "")
	}
	return w.operation(operation.DetachEntity, target, "")
}

func TestD6_ModifyAndBorrowMakeNoVersions(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "a", `{"type":"stress","components":{"counter":0}}`)
	w.must(operation.CreateEntity, "b", `{"type":"stress","components":{"counter":100}}`)
	for i := range 50 {
		w.must(operation.ModifyField, "a", fmt.Sprintf(`{"field":"value","value":%d,"create":true}`, i))
		if _, err := w.borrow("a", "b", `{"source_field":"counter","target_field":"borrowed","create":true}`); err != nil {
			t.Fatal(err)
		}
	}
	if e := w.head("a"); e.VersionCount != 1 || e.Revision != 101 || e.BorrowCount != 50 {
		t.Errorf("version %d, revision %d, %d borrows; want 1, 101, 50", e.VersionCount, e.Revision, e.BorrowCount)
	}
	for range 2 {
		w.must(operation.ComplexUpdate, "a", `{"add":{"counter":1}}`)
	}
	w.wantField("a", "counter", "2")
	if e := w.head("a"); e.VersionCount != 3 {
		t.Errorf("version %d, want 3", e.VersionCount)
	}
	w.check()
}

func TestCountersChangeBeforeTheSnapshot(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "a", `{"type":"x","components":{"n":1}}`)
	if _, err := w.borrow("a", "a", `{"source_field":"n","target_field":"m","create":true}`); err != nil {
		t.Fatal(err)
	}
	w.must(operation.VersionEntity, "a", `{"note":"second"}`)
	v := w.versions[operation.EntityID("a")][1]
	last := v.Head.History[len(v.Head.History)-1]
	if v.Head.VersionCount != 2 || v.Head.BorrowCount != 1 || v.Head.Revision != 3 || last.Revision != 3 || last.OpID != v.OpID {
		t.Errorf("version %d has the head %+v", v.Number, v.Head)
	}
	if v.Note != "second" || v.Time != last.Time || w.head("a").UpdatedAt != v.Time {
		t.Errorf("version %+v", v)
	}
}

func TestHistoryIsBoundedAndTellsWhoDidIt(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "a", `{"type":"x","components":{"n":0}}`)
	for range MaxHistory + 20 {
		w.must(operation.ModifyField, "a", `{"field":"n","value":1}`)
	}
	w.check()
	o := w.operation(operation.ModifyField, "a", `{"field":"n","value":2}`)
	x := w.execution(o)
	x.Effective, x.Depth = operation.Critical, 3
	tx := NewTxn(w.load)
	if _, err := tx.Execute(Builtin()[o.Type], x); err != nil {
		t.Fatal(err)
	}
	w.commit(tx)
	e := w.head("a")
	want := Modification{
		Revision: MaxHistory + 22, OpID: o.ID, OpType: o.Type, Time: x.Time, Priority: operation.Critical, Depth: 3,
	}
	if diff := cmp.Diff(want, e.History[len(e.History)-1]); diff != "" {
		t.Errorf("last entry:\n%s", diff)
	}
	if len(e.History) != MaxHistory || e.History[0].Revision != 23 {
		t.Errorf("%d entries from revision %d", len(e.History), e.History[0].Revision)
	}
}

// Each is refused for ever (rule R13) or may succeed later, and changes nothing.
func TestR13_Refusals(t *testing.T) {
	parent := func(name string) string { return `{"parent_id":"` + operation.EntityID(name).String() + `"}` }
	child := func(name string) string {
		return `{"type":"x","components":{},"parent_id":"` + operation.EntityID(name).String() + `"}`
	}
	const forGood, forNow = true, false
	cases := []struct {
		kind      operation.Type
		target    string
		source    string
		params    string
		reason    operation.Reason
		permanent bool
	}{
		{operation.CreateEntity, "plant", "", `{"type":"x","components":{}}`, operation.AlreadyExists, forGood},
		{operation.CreateEntity, "gone", "", `{"type":"x","components":{}}`, operation.EntityDeleted, forGood},
		{operation.CreateEntity, "new", "", child("nowhere"), operation.ParentMissing, forNow},
		{operation.CreateEntity, "new", "", child("gone"), operation.EntityDeleted, forGood},
		{operation.CreateEntity, "new", "", child("orphan"), operation.OrphanEntity, forGood},
		{operation.CreateEntity, "new", "", child("new"), operation.ParentMissing, forNow},
		{operation.VersionEntity, "nowhere", "", "", operation.TargetNotFound, forNow},
		{operation.VersionEntity, "gone", "", "", operation.EntityDeleted, forGood},
		{operation.VersionEntity, "orphan", "", "", operation.OrphanEntity, forGood},
		{operation.ComplexUpdate, "nowhere", "", `{"add":{"n":1}}`, operation.TargetNotFound, forNow},
		{operation.ComplexUpdate, "gone", "", `{"add":{"n":1}}`, operation.EntityDeleted, forGood},
		{operation.ComplexUpdate, "orphan", "", `{"add":{"n":1}}`, operation.OrphanEntity, forGood},
		{operation.ComplexUpdate, "plant", "", `{"add":{"s":1}}`, operation.NotANumber, forGood},
		{operation.ComplexUpdate, "plant", "", `{"set":{"s":1}}`, operation.TypeMismatch, forGood},
		{operation.ComplexUpdate, "plant", "", `{"set":{"s":"y"},"remove":["x"]}`, operation.FieldNotFound, forGood},
		{operation.ComplexUpdate, "plant", "", `{"set":{"":"y"}}`, operation.Invalid, forGood},
		{operation.ComplexUpdate, "plant", "", `{"add":{"a..b":1}}`, operation.Invalid, forGood},
		{operation.ComplexUpdate, "plant", "", `{"remove":["."]}`, operation.Invalid, forGood},
		{operation.ModifyField, "nowhere", "", `{"field":"n","value":1}`, operation.TargetNotFound, forNow},
		{operation.ModifyField, "gone", "", `{"field":"n","value":1}`, operation.EntityDeleted, forGood},
		{operation.ModifyField, "plant", "", `{"field":"x","value":1}`, operation.FieldNotFound, forGood},
		{operation.ModifyField, "plant", "", `{"field":"n","value":"1"}`, operation.TypeMismatch, forGood},
		{operation.ModifyField, "plant", "", `{"field":"","value":1}`, operation.Invalid, forGood},
		{operation.BorrowAttribute, "nowhere", "plant", `{"source_field":"n","target_field":"n"}`, operation.TargetNotFound, forNow},
		{operation.BorrowAttribute, "gone", "plant", `{"source_field":"n","target_field":"n"}`, operation.EntityDeleted, forGood},
		{operation.BorrowAttribute, "plant", "nowhere", `{"source_field":"n","target_field":"n"}`, operation.SourceNotFound, forNow},
		{operation.BorrowAttribute, "plant", "gone", `{"source_field":"n","target_field":"n"}`, operation.EntityDeleted, forGood},
		{operation.BorrowAttribute, "plant", "line", `{"source_field":"x","target_field":"n"}`, operation.FieldNotFound, forGood},
		{operation.BorrowAttribute, "plant", "line", `{"source_field":"n","target_field":"x"}`, operation.FieldNotFound, forGood},
		{operation.BorrowAttribute, "plant", "line", `{"source_field":"n","target_field":"s"}`, operation.TypeMismatch, forGood},
		{operation.BorrowAttribute, "plant", "line", `{"source_field":"","target_field":"s"}`, operation.Invalid, forGood},
		{operation.BorrowAttribute, "plant", "line", `{"source_field":"n","target_field":""}`, operation.Invalid, forGood},
		{operation.PromoteToRoot, "nowhere", "", "", operation.TargetNotFound, forNow},
		{operation.PromoteToRoot, "gone", "", "", operation.EntityDeleted, forGood},
		{operation.DetachEntity, "nowhere", "", "", operation.TargetNotFound, forNow},
		{operation.DetachEntity, "gone", "", "", operation.EntityDeleted, forGood},
		{operation.AttachEntity, "nowhere", "", parent("plant"), operation.TargetNotFound, forNow},
		{operation.AttachEntity, "gone", "", parent("plant"), operation.EntityDeleted, forGood},
		{operation.AttachEntity, "line", "", parent("pump"), operation.NotARoot, forGood},
		{operation.AttachEntity, "orphan", "", parent("plant"), operation.NotARoot, forGood},
		{operation.AttachEntity, "pump", "", parent("nowhere"), operation.ParentMissing, forNow},
		{operation.AttachEntity, "pump", "", parent("gone"), operation.EntityDeleted, forGood},
		{operation.AttachEntity, "pump", "", parent("orphan"), operation.OrphanEntity, forGood},
		{operation.AttachEntity, "plant", "", parent("plant"), operation.TreeCycle, forGood},
		{operation.AttachEntity, "plant", "", parent("line"), operation.TreeCycle, forGood},
		{operation.DeleteEntity, "nowhere", "", "", operation.TargetNotFound, forNow},
		{operation.DeleteEntity, "gone", "", "", operation.EntityDeleted, forGood},
		{operation.DeleteEntity, "plant", "", "", operation.HasChildren, forGood},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s of %s for %s", c.kind, c.target, c.reason), func(t *testing.T) {
			w := refusing(t)
			before := jsonText(t, heads(w))
			o := w.operation(c.kind, c.target, c.params)
			if c.source != "" {
				o.Source = operation.EntityID(c.source)
			}
			_, err := w.run(o)
			wantFailure(t, err, c.reason, c.permanent)
			if after := jsonText(t, heads(w)); after != before {
				t.Errorf("heads were %s and are %s", before, after)
			}
		})
	}
}

// refusing returns a world with an entity of each place.
func refusing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.must(operation.CreateEntity, "plant", `{"type":"x","components":{"n":1,"s":"x"}}`)
	w.must(operation.CreateEntity, "pump", `{"type":"x","components":{"n":2}}`)
	w.must(operation.CreateEntity, "line", `{"type":"x","components":{"n":3},"parent_id":"`+operation.EntityID("plant").String()+`"}`)
	w.must(operation.CreateEntity, "orphan", `{"type":"x","components":{"n":4},"orphan":true}`)
	w.must(operation.CreateEntity, "gone", `{"type":"x","components":{"n":5}}`)
	w.must(operation.DeleteEntity, "gone", "")
	return w
}

func heads(w *world) map[uuid.UUID]*Entity {
	all := map[uuid.UUID]*Entity{}
	for id, h := range w.heads {
		all[id] = h.Entity
	}
	return all
}

func TestParamsThatDoNotFitAreRefused(t *testing.T) {
	w := refusing(t)
	for kind, params := range map[operation.Type]string{
		operation.CreateEntity:    `{"components":1}`,
		operation.VersionEntity:   `{"note":1}`,
		operation.ComplexUpdate:   `{"set":[]}`,
		operation.ModifyField:     `{"field":1}`,
		operation.BorrowAttribute: `[]`,
		operation.AttachEntity:    `{"parent_id":"x"}`,
	} {
		w.refused(operation.Invalid, true, kind, "plant", params)
	}
}

func TestEntityWithoutComponentsHasAnEmptyObject(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "a", `{"type":"x"}`)
	if got := jsonText(t, w.head("a").Components); got != `{}` {
		t.Errorf("components are %s", got)
	}
}

// A borrowed value is a copy: what happens to one field never shows in the other.
func TestBorrowIsADeepCopy(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "a", `{"type":"x","components":{"at":{"x":[1,2]}}}`)
	w.must(operation.CreateEntity, "b", `{"type":"x","components":{}}`)
	if _, err := w.borrow("b", "a", `{"source_field":"at","target_field":"at","create":true}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.borrow("b", "b", `{"source_field":"at","target_field":"at.again","create":true}`); err != nil {
		t.Fatal(err)
	}
	w.must(operation.ModifyField, "a", `{"field":"at.x.0","value":10}`)
	w.must(operation.ModifyField, "b", `{"field":"at.x.1","value":20}`)
	w.wantField("a", "at", `{"x":[10,2]}`)
	w.wantField("b", "at", `{"again":{"x":[1,2]},"x":[1,20]}`)
}

func slow(p Patch) SystemFunc {
	return func(tx *Txn, x Execution) ([]operation.Change, error) { return ApplyPatch(tx, x, p) }
}

func TestApplyPatch(t *testing.T) {
	w := refusing(t)
	result, err := w.runSystem(slow(Patch{
		Set:     map[string]json.RawMessage{"s": json.RawMessage(`{"deep": 1.50}`), "list.0": nil, "list": json.RawMessage(`[7]`)},
		Add:     map[string]json.Number{"n": "2", "m": "0.5"},
		Remove:  []string{"s.deep"},
		Note:    "measured",
		Version: true,
	}), w.operation("measure", "plant", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"entity":"P","action":"set","path":"list","value":[7]},` +
		`{"entity":"P","action":"set","path":"list.0","value":null},` +
		`{"entity":"P","action":"set","path":"s","value":{"deep":1.50}},` +
		`{"entity":"P","action":"added","path":"m","value":0.5},` +
		`{"entity":"P","action":"added","path":"n","value":3},` +
		`{"entity":"P","action":"removed","path":"s.deep"},` +
		`{"entity":"P","action":"versioned","version":2}]`
	for i := range result.Changes {
		if result.Changes[i].Entity != operation.EntityID("plant") {
			t.Errorf("change %d is of %s", i, result.Changes[i].Entity)
		}
		result.Changes[i].Entity = uuid.Nil
	}
	got := jsonText(t, result.Changes)
	if want := strings.ReplaceAll(want, `"P"`, `"`+uuid.Nil.String()+`"`); got != want {
		t.Errorf("changes are\n%s, want\n%s", got, want)
	}
	if v := w.versions[operation.EntityID("plant")][1]; v.Note != "measured" || v.Head.Revision != 3 {
		t.Errorf("version %+v", v)
	}
	w.check()
}

func TestApplyPatchWithoutVersion(t *testing.T) {
	w := refusing(t)
	result, err := w.runSystem(slow(Patch{Add: map[string]json.Number{"n": "1"}}), w.operation("measure", "orphan", ""))
	if err != nil || result.Version != 0 || result.Revision != 2 {
		t.Errorf("got %+v, %v", result, err)
	}
	result, err = w.runSystem(slow(Patch{Note: "nothing"}), w.operation("measure", "plant", ""))
	if err != nil || result.Revision != 2 || len(result.Changes) != 0 || result.Changes == nil {
		t.Errorf("the empty patch: %+v, %v", result, err)
	}
	w.check()
}

func TestApplyPatchRefuses(t *testing.T) {
	w := refusing(t)
	for _, c := range []struct {
		target string
		patch  Patch
		reason operation.Reason
	}{
		{"plant", Patch{Set: map[string]json.RawMessage{"n": json.RawMessage(`{`)}}, operation.SystemFailed},
		{"plant", Patch{Set: map[string]json.RawMessage{"n": json.RawMessage(`1 2`)}}, operation.SystemFailed},
		{"plant", Patch{Set: map[string]json.RawMessage{"": json.RawMessage(`1`)}}, operation.SystemFailed},
		{"plant", Patch{Remove: []string{"a..b"}}, operation.SystemFailed},
		{"plant", Patch{Remove: []string{"a"}}, operation.FieldNotFound},
		{"plant", Patch{Add: map[string]json.Number{"n": "one"}}, operation.NotANumber},
		{"plant", Patch{Set: map[string]json.RawMessage{"n": json.RawMessage(`{"m":[-1e400]}`)}}, operation.NotANumber},
		{"orphan", Patch{Version: true}, operation.OrphanEntity},
		{"gone", Patch{}, operation.EntityDeleted},
	} {
		_, err := w.runSystem(slow(c.patch), w.operation("measure", c.target, ""))
		wantFailure(t, err, c.reason, true)
	}
	_, err := w.runSystem(slow(Patch{}), w.operation("measure", "nowhere", ""))
	wantFailure(t, err, operation.TargetNotFound, false)
	w.check()
}
