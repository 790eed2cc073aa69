package resolver

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR11_RecordedDecisionsAreDecidedAgain writes decisions down, reads them and
// resolves what is in them, in any order of the contenders.
func TestR11_RecordedDecisionsAreDecidedAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, l := contests().Draw(t, "contest"), limits().Draw(t, "limits")
		text, err := json.Marshal(Resolve(c, l))
		if err != nil {
			t.Fatal(err)
		}
		var recorded operation.Decision
		if err := json.Unmarshal(text, &recorded); err != nil {
			t.Fatal(err)
		}
		again := Recorded(recorded)
		slices.Reverse(again.Contenders)
		if now := Resolve(again, l); !Same(recorded, now) {
			t.Fatalf("decided otherwise (- recorded, + now):\n%s", cmp.Diff(recorded, now))
		}
		if again.Holder != nil && again.Holder == recorded.Holder {
			t.Fatal("the contest shares the holder of the decision")
		}
	})
}

// TestSame changes what a decision comes to, one thing at a time.
func TestSame(t *testing.T) {
	c := contest(t, "holder h low\na normal\nb normal carry\nc low")
	was := Resolve(c, usual)
	for name, change := range map[string]func(*operation.Decision){
		"entity":     func(d *operation.Decision) { d.Entity = id("f") },
		"preempts":   func(d *operation.Decision) { d.Preempts = !d.Preempts },
		"contender":  func(d *operation.Decision) { d.Contenders[2].OpID = id("x") },
		"order":      func(d *operation.Decision) { slices.Reverse(d.Contenders) },
		"verdict":    func(d *operation.Decision) { d.Contenders[1].Verdict = operation.Loses },
		"reason":     func(d *operation.Decision) { d.Contenders[2].Reason = operation.CarriedOverflow },
		"separator":  func(d *operation.Decision) { d.Contenders[2].Separator = operation.BySequence },
		"fewer":      func(d *operation.Decision) { d.Contenders = d.Contenders[:2] },
		"no content": func(d *operation.Decision) { d.Contenders = nil },
	} {
		now := was
		now.Contenders = slices.Clone(was.Contenders)
		if !Same(was, now) {
			t.Fatal("a decision is not the same as its copy")
		}
		if change(&now); Same(was, now) {
			t.Errorf("%s: the same, though changed", name)
		}
	}
}
