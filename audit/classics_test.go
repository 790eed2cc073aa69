package audit

import (
	"slices"
	"testing"
)

// classics are the sixteen ways to break such a system that this audit was first made to
// catch, each with the mutant that is what it leaves behind. The list does not shrink.
var classics = []struct{ defect, mutant string }{
	{"a fence is written whatever it replaces", "no condition on the fence"},
	{"a head is written whatever it replaces", "no condition on a head"},
	{"messages of a commit are published one by one", "a commit is published in two"},
	{"an outcome is stored although there is one", "an operation ends again in a later commit"},
	{"of equals the later wins", "the tie-break is reversed"},
	{"publishers may say any creation time", "created_at is not clamped"},
	{"a window begins with the last operation of the one before", "windows overlap by one"},
	{"an event is published beside the commit", "an event outside of a commit"},
	{"an attempt is not announced", "started is left out"},
	{"a new owner counts retries from the start", "the retry counter starts again"},
	{"an answer that is not understood counts as: known already", "a duplicate of nothing"},
	{"the same id is the same operation", "duplicates are recognised by their id alone"},
	{"chains of parents may have any length", "the depth of parents is not limited"},
	{"who takes over a partition goes on in its epoch", "a claim does not raise the epoch"},
	{"an outcome is counted as another", "the counts drift"},
	{"a condition that was not met is taken for success", "a commit is lost that counted as stored"},
}

// TestClassicsAreAmongTheMutants wants a mutant for each, and no two to be the same.
func TestClassicsAreAmongTheMutants(t *testing.T) {
	used := map[string]bool{}
	for _, c := range classics {
		if !slices.ContainsFunc(allMutants(), func(m mutant) bool { return m.name == c.mutant }) {
			t.Errorf("%s: there is no mutant %q", c.defect, c.mutant)
		}
		used[c.mutant] = true
	}
	if len(used) != 16 {
		t.Errorf("%d mutants are classics, want 16", len(used))
	}
}
