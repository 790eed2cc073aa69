package audit

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// mutant is a way for a worker to be broken. Each leaves in the recording what such a
// worker would have left. The audit has to find that, and nothing else unless it is a
// consequence.
type mutant struct {
	name  string
	wants []Invariant // that are violated
	more  bool        // and others, in consequence
	raw   bool        // the forged recording is not sealed again
	says  string      // what a violation has to say
	forge func(f *forge)
}

func allMutants() []mutant {
	return slices.Concat(ownershipMutants, commitMutants, decisionMutants, lifeMutants, takenMutants, entityMutants, resizeMutants, pageMutants, checkpointMutants)
}

// deadline is within which each mutant has to be caught.
const deadline = time.Minute

func TestMutants(t *testing.T) {
	for _, m := range allMutants() {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			f := &forge{tape: record(t), tb: t}
			m.forge(f)
			if !m.raw {
				f.seal(t)
			}
			began := time.Now()
			r := f.audit(t)
			if took := time.Since(began); took > deadline {
				t.Errorf("it was caught after %v, want within %v", took, deadline)
			}
			var found []Invariant
			for _, v := range r.Violations {
				if !slices.Contains(found, v.Invariant) {
					found = append(found, v.Invariant)
				}
			}
			slices.Sort(found)
			missing := slices.ContainsFunc(m.wants, func(i Invariant) bool { return !slices.Contains(found, i) })
			told := slices.ContainsFunc(r.Violations, func(v Violation) bool { return strings.Contains(v.Message, m.says) })
			if missing || !told || !m.more && len(found) != len(m.wants) {
				t.Errorf("found %q, want %q and to be told %q", found, m.wants, m.says)
				for _, v := range r.Violations {
					t.Log(v)
				}
			}
		})
	}
}

// TestEveryInvariantBites wants a mutant for each invariant.
func TestEveryInvariantBites(t *testing.T) {
	for _, i := range Statements() {
		if i.Invariant == Replicas {
			continue // no worker's doing; see TestReplicas
		}
		if !slices.ContainsFunc(allMutants(), func(m mutant) bool { return slices.Contains(m.wants, i.Invariant) }) {
			t.Errorf("no mutant violates %s, %s", i.Invariant, i.Text)
		}
	}
}
