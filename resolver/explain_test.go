package resolver

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/operation"
)

// A decision may have been recorded by another version of this package. What it says
// is told, without reasons that are not known here.
func TestR11_ExplainTellsWhatItDoesNotKnow(t *testing.T) {
	got := named(Explain(operation.Decision{
		Entity: id("e"),
		Holder: &operation.Holder{OpID: id("h"), EffectivePriority: operation.Low, Status: "paused"},
		Contenders: []operation.Contender{
			{OpID: id("a"), EffectivePriority: operation.High, Verdict: "hesitates"},
			{OpID: id("b"), EffectivePriority: 7, Verdict: operation.Loses, Reason: "luck", Separator: "luck"},
		},
	}))
	want := `entity e: 2 operations contend for it
held by h with low, paused: the first hesitates
1. a hesitates with high
2. b loses (luck) with priority(7): it ranks behind the first
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestR11_ExplainIsPlainASCII(t *testing.T) {
	text := Explain(Resolve(contest(t, "a high\nb high at=1500ns\nc high at=1us"), usual))
	for _, r := range text {
		if r > 127 {
			t.Fatalf("%q in:\n%s", r, text)
		}
	}
}
