package operation

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestR9_DigestSurvivesTheWire has the same digest before the operation is encoded and
// after it was decoded, whatever the zone of its times and the spaces in its params.
func TestR9_DigestSurvivesTheWire(t *testing.T) {
	op := &Operation{
		ID: uuid.New(), Type: ModifyField, Target: uuid.New(), Priority: High, CreatedAt: eventTime, ExpiresAt: eventTime,
		Params: json.RawMessage(`{ "field": "a", "value": "<b>" }`),
	}
	body, err := op.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(body, "high", op.Target.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != op.Digest() {
		t.Errorf("the digest is %s, then %s", op.Digest(), got.Digest())
	}
	if got.CreatedAt.Location() != time.UTC || !got.CreatedAt.Equal(eventTime) {
		t.Errorf("created_at is %v, want %v in UTC", got.CreatedAt, eventTime)
	}
	other := *got
	other.Priority = Low
	if other.Digest() == got.Digest() {
		t.Error("another priority has the same digest")
	}
	broken := Operation{Params: json.RawMessage("{")}
	if _, err := broken.Encode(); err == nil || broken.Digest() == "" {
		t.Errorf("broken params: error %v, digest %q", err, broken.Digest())
	}
}

// TestR14_DecodeKeepsNothing changes the body after it was decoded.
func TestR14_DecodeKeepsNothing(t *testing.T) {
	body := []byte(benchBody)
	op, err := Decode(body, "high", benchTarget, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := op.Digest()
	clear(body)
	if op.Digest() != before {
		t.Error("the operation lies in the body")
	}
}

// TestR14_CustomTypes asks for a type that is not built in, and only then.
func TestR14_CustomTypes(t *testing.T) {
	var asked []Type
	custom := func(typ Type) bool {
		asked = append(asked, typ)
		return typ == "acme.dose"
	}
	for _, typ := range []Type{"acme.dose", "acme.other", VersionEntity} {
		body := fmt.Sprintf(`{"op_id":%q,"op_type":%q,"target_entity_id":%q}`, known["ID"], typ, known["T"])
		_, err := Decode([]byte(body), "low", known["T"], custom)
		if wrong := typ == "acme.other"; (err != nil) != wrong {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if fmt.Sprint(asked) != "[acme.dose acme.other]" {
		t.Errorf("asked for %v", asked)
	}
}

// TestR14_HugeDocumentsAreQuick decodes the worst that the limits let through.
func TestR14_HugeDocumentsAreQuick(t *testing.T) {
	for name, value := range map[string]string{
		"keys":    "[" + strings.TrimSuffix(strings.Repeat("{"+members(250)+"},", 15), ",") + "]",
		"strings": `"` + strings.Repeat(`\ud83d\ude00`, 5000) + `"`,
		"numbers": "[" + strings.TrimSuffix(strings.Repeat("1e300,", 4000), ",") + "]",
	} {
		body := fmt.Appendf(nil, `{"op_id":%q,"op_type":"modify_field","target_entity_id":%q,"params":{"field":"a","value":%s}}`,
			known["ID"], known["T"], value)
		if _, err := Decode(body, "low", known["T"], nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(3, func() { _, _ = Decode(body, "low", known["T"], nil) }); n > 40 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestInvalidError is read with and without a field.
func TestInvalidError(t *testing.T) {
	for want, e := range map[string]*InvalidError{
		"op_id: missing": {Field: "op_id", Message: "missing"},
		"no subject":     {Message: "no subject"},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e.Error(), want)
		}
	}
}

// TestR12_Retries counts those of an operation that says nothing too.
func TestR12_Retries(t *testing.T) {
	zero := 0
	if n := (&Operation{}).Retries(); n != DefaultRetries {
		t.Errorf("without max_retries: %d", n)
	}
	if n := (&Operation{MaxRetries: &zero}).Retries(); n != 0 {
		t.Errorf("with max_retries 0: %d", n)
	}
}

// TestR1_Parent defaults the parent's target to the own one.
func TestR1_Parent(t *testing.T) {
	op := Operation{ID: uuid.New(), Target: uuid.New()}
	if _, ok := op.Parent(); ok {
		t.Error("an operation without parent has one")
	}
	op.ParentID = uuid.New()
	if ref, ok := op.Parent(); !ok || ref != (Ref{Target: op.Target, ID: op.ParentID}) {
		t.Errorf("the parent is %v, %t", ref, ok)
	}
	op.ParentTarget = uuid.New()
	if ref, _ := op.Parent(); ref != (Ref{Target: op.ParentTarget, ID: op.ParentID}) {
		t.Errorf("the parent on another entity is %v", ref)
	}
	if op.Ref() != (Ref{Target: op.Target, ID: op.ID}) {
		t.Errorf("the reference is %v", op.Ref())
	}
}

// TestEntityID leaves ids alone and turns names into ids.
func TestEntityID(t *testing.T) {
	if id := EntityID(known["T"]); id.String() != known["T"] {
		t.Errorf("the id %s becomes %s", known["T"], id)
	}
	name := EntityID("valve-7")
	if name.Version() != 5 || name != EntityID("valve-7") || name == EntityID("valve-8") {
		t.Errorf("the name becomes %s", name)
	}
	if urn := EntityID("urn:uuid:" + known["T"]); urn.String() == known["T"] {
		t.Error("only the plain form of a UUID is an id")
	}
}

// TestPriorities takes each through its text.
func TestPriorities(t *testing.T) {
	for _, p := range Priorities() {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got Priority
		if err := got.UnmarshalText(text); err != nil || got != p {
			t.Errorf("%v becomes %s, then %v (%v)", p, text, got, err)
		}
	}
	var p Priority
	if _, err := p.MarshalText(); err == nil {
		t.Error("no priority has a text")
	}
	if err := p.UnmarshalText([]byte("urgent")); err == nil {
		t.Error("urgent is a priority")
	}
	if p.String() != "priority(0)" {
		t.Errorf("no priority is called %q", p)
	}
}

// TestFailures keeps what a system says, and makes do with what it does not.
func TestFailures(t *testing.T) {
	refused := fmt.Errorf("moving: %w", Refuse(TreeCycle, "below %s", "itself"))
	if f := AsFailure(refused); !f.Permanent || f.Reason != TreeCycle || f.Error() != "tree_cycle: below itself" {
		t.Errorf("got %#v", f)
	}
	if f := AsFailure(Retryable(Timeout, "after 1s")); f.Permanent || f.Reason != Timeout {
		t.Errorf("got %#v", f)
	}
	if f := AsFailure(os.ErrDeadlineExceeded); f.Permanent || f.Reason != SystemFailed || f.Message != "i/o timeout" {
		t.Errorf("got %#v", f)
	}
}

// TestR23_ClaimedFence has a new epoch and counts owners that did not let go.
func TestR23_ClaimedFence(t *testing.T) {
	first := Fence{}.Claimed(3, "a")
	if first.Epoch != 1 || first.Crashes != 0 || first.Owner != "a" || first.Partition != 3 {
		t.Errorf("the first claim: %+v", first)
	}
	if second := first.Claimed(3, "b"); second.Epoch != 2 || second.Crashes != 1 {
		t.Errorf("after a crash: %+v", second)
	}
	first.Released = true
	if second := first.Claimed(3, "b"); second.Epoch != 2 || second.Crashes != 0 || second.Released {
		t.Errorf("after a release: %+v", second)
	}
}

// TestDecision says who is first and whether there was a conflict.
func TestDecision(t *testing.T) {
	d := Decision{Contenders: []Contender{{Sequence: 1}}}
	if d.First().Sequence != 1 || d.Conflict() {
		t.Errorf("one contender: %+v", d)
	}
	d.Contenders = append(d.Contenders, Contender{Sequence: 2})
	if d.First().Sequence != 1 || !d.Conflict() {
		t.Errorf("two contenders: %+v", d)
	}
	if WindowID(7, 42) != "7-42" {
		t.Errorf("the window is called %s", WindowID(7, 42))
	}
}

// TestR21_CountedFates are those of messages that asked for an operation.
func TestR21_CountedFates(t *testing.T) {
	counted := map[Fate]bool{Contended: true, Refused: true, Withdrawn: true}
	for _, fate := range constants(t, "Fate") {
		if f := Fate(fate); f.Counted() != counted[f] {
			t.Errorf("%s is counted: %t", f, f.Counted())
		}
	}
}

// TestRetiredFence is of a partition that the present number leaves out.
func TestRetiredFence(t *testing.T) {
	for partition, want := range []bool{false, false, false, true, true} {
		if got := (Fence{Partition: partition, Partitions: 3}).Retired(); got != want {
			t.Errorf("partition %d of 3 is retired: %t", partition, got)
		}
	}
	if (Fence{Partition: 7}).Retired() {
		t.Error("a partition that nobody has claimed is retired")
	}
}
