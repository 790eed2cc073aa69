package consumer

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// FuzzReadReply reads what a remote system may answer. It is a failure with a reason that
// figures can be counted by, or a patch: one that reads the same when it is written down,
// and that leaves an entity which can be stored, or is refused with a reason.
func FuzzReadReply(f *testing.F) {
	for _, reply := range documentedReplies(f) {
		f.Add(reply)
	}
	for _, reply := range []string{
		``, `null`, `[]`, `{}`, `{} {}`, `{"more":1}`, `{"permanent":true}`, `{"error":"no","reason":"Not A Word"}`,
		`{"set":{"position":null,"position.y":1},"remove":["position.x"]}`, `{"add":{"counter":null}}`, `{"add":{"counter":"2"}}`, `{"add":{"counter":"one"}}`,
		`{"add":{"counter":1e400}}`, `{"set":{"counter":1e400}}`, `{"set":{"":1}}`, `{"set":{"a":"` + "\xff" + `"},"version":true,"note":"` + "\xff" + `"}`,
	} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		patch, err := readReply("s", data)
		if err != nil {
			wantReason(t, err)
			return
		}
		first := written(t, patch)
		again, err := readReply("s", first)
		if err != nil {
			t.Fatalf("%s is read, and not when it is written as %s: %v", data, first, err)
		}
		if diff := cmp.Diff(string(first), string(written(t, again))); diff != "" {
			t.Errorf("written (-) and read again (+):\n%s", diff)
		}
		wantApplies(t, patch)
	})
}

// documentedReplies are the examples of docs/systems.md.
func documentedReplies(f *testing.F) (out [][]byte) {
	f.Helper()
	text, err := os.ReadFile("../docs/systems.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func wantReason(t *testing.T, err error) {
	t.Helper()
	failure, ok := errors.AsType[*operation.Failure](err)
	if !ok || !word.MatchString(string(failure.Reason)) || failure.Message == "" {
		t.Errorf("%v is no failure with a message and a reason that is a word", err)
	}
}

func written(t *testing.T, patch ecsstore.Patch) []byte {
	t.Helper()
	text, err := json.Marshal(RemoteReply{Patch: patch})
	if err != nil {
		t.Fatalf("a patch that was read cannot be written: %v", err)
	}
	return text
}

// wantApplies applies a patch to an entity. It is refused with a reason, or the entity can
// be written and is the same when it is read again.
func wantApplies(t *testing.T, patch ecsstore.Patch) {
	t.Helper()
	id, now := operation.EntityID("valve-1"), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tx := ecsstore.NewTxn(func(uuid.UUID) (ecsstore.Head, bool) {
		return ecsstore.Head{Sequence: 1, Entity: &ecsstore.Entity{
			ID: id, Type: "valve", Place: ecsstore.Root, Revision: 1, VersionCount: 1,
			Components: map[string]any{"counter": json.Number("0"), "position": map[string]any{"x": json.Number("1")}},
		}}, true
	})
	apply := func(tx *ecsstore.Txn, exec ecsstore.Execution) ([]operation.Change, error) {
		return ecsstore.ApplyPatch(tx, exec, patch)
	}
	o := op(ask, id, operation.Low, `{}`)
	result, err := tx.Execute(ecsstore.SystemFunc(apply), ecsstore.Execution{Operation: &o, Effective: operation.Low, Depth: 1, Time: now})
	if err != nil {
		wantReason(t, err)
		return
	}
	for _, c := range result.Changes {
		if len(c.Value) > 0 && !json.Valid(c.Value) {
			t.Errorf("change %+v has a value that is no JSON", c)
		}
	}
	head := tx.Peek(id)
	text, err := json.Marshal(head)
	if err != nil {
		t.Fatalf("the entity cannot be written: %v", err)
	}
	var again ecsstore.Entity
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("the entity cannot be read: %v in %s", err, text)
	}
	if same, err := json.Marshal(&again); err != nil || !bytes.Equal(same, text) {
		t.Errorf("read and written again the entity is %s, %v; it was %s", same, err, text)
	}
}
