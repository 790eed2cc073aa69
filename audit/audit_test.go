package audit

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// clean fails unless a report says that nothing is wrong.
func clean(t *testing.T, r Report) {
	t.Helper()
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// TestRecordingIsClean audits the recording as it is, sealed anew, and without what
// was replaced.
func TestRecordingIsClean(t *testing.T) {
	clean(t, record(t).audit(t))
	clean(t, record(t).seal(t).audit(t))
	clean(t, record(t).rolledUp().audit(t))
}

// TestCutIsNoViolation audits the recording from the beginning of each of its commits
// on, and with what has expired at that time: what lies before is not there, and that
// is no violation.
func TestCutIsNoViolation(t *testing.T) {
	whole := record(t)
	id := ""
	for _, l := range whole.store {
		if l.batch() == id {
			continue
		}
		id = l.batch()
		t.Run(itoa(l.Sequence), func(t *testing.T) {
			t.Parallel()
			since := record(t).rolledUp().audit(t, func(o *Options) { o.Since = Start{Sequence: l.Sequence} })
			clean(t, since)
			clean(t, record(t).audit(t, func(o *Options) { o.Since = Start{Sequence: l.Sequence} }))
			clean(t, record(t).expire(l.Time).audit(t))
		})
	}
}

// TestUnknownFieldsAreNoViolation adds to each document what a later release might.
func TestUnknownFieldsAreNoViolation(t *testing.T) {
	later := record(t)
	for _, l := range later.store {
		if l.kind() != "dead" {
			l.Data = `{"later":{"a":[1,"}",null,true]},` + l.Data[1:]
			l.Data = strings.Replace(l.Data, `"data":{`, `"data":{"later":"]",`, 1)
		}
	}
	clean(t, later.seal(t).audit(t))
}

func TestLimit(t *testing.T) {
	broken := record(t)
	for _, l := range broken.store {
		if l.kind() == "fence" {
			delete(l.Header, headerExpected)
		}
	}
	found := 0
	r := broken.audit(t, func(o *Options) {
		o.Limit = 3
		o.Found = func(Violation) { found++ }
	})
	if len(r.Violations) != 3 || found != 3 || r.Further == 0 {
		t.Errorf("%d violations and %d further, %d of them told; want 3 of each told", len(r.Violations), r.Further, found)
	}
}

func TestViolationInWords(t *testing.T) {
	f := &forge{tape: record(t), tb: t}
	l := f.line("fence", `"windows":3`)
	delete(l.Header, headerExpected)
	got := f.audit(t).Violations[0].String()
	want := "I8 partition " + f.get(l, "partition") + ": the fence was written without a condition: a worker that was paused could have written it (R23) (HIERARCHY " + itoa(l.Sequence) + ")"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDecisionsCondemn tells decisions that end an operation from those that only name
// it: a commit may hold one that lets it win, and then one by which it is displaced.
func TestDecisionsCondemn(t *testing.T) {
	a, b := uuid.New(), uuid.New()
	for _, c := range []struct {
		name     string
		d        decision
		concerns bool
		condemns bool
	}{
		{"wins", decision{contenders: []contender{{op: a, verdict: operation.Wins}}}, true, false},
		{"waits", decision{holder: &holder{op: b}, contenders: []contender{{op: a, verdict: operation.Waits}}}, true, false},
		{"is displaced", decision{holder: &holder{op: a}, preempts: true, contenders: []contender{{op: b, verdict: operation.Wins}}}, false, true},
		{"holds on", decision{holder: &holder{op: a}, contenders: []contender{{op: b, verdict: operation.Waits}}}, false, false},
		{"loses", decision{contenders: []contender{{op: b, verdict: operation.Wins}, {op: a, verdict: operation.Loses}}}, true, true},
		{"is carried", decision{contenders: []contender{{op: b, verdict: operation.Wins}, {op: a, verdict: operation.Carried}}}, true, false},
	} {
		if got := c.d.concerns(a); got != c.concerns {
			t.Errorf("%s: concerns says %t", c.name, got)
		}
		if got := c.d.condemns(a); got != c.condemns {
			t.Errorf("%s: condemns says %t", c.name, got)
		}
	}
}
