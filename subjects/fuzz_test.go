package subjects_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// FuzzParseSubmission takes any subject apart: what comes out is what is put together to
// the very same one.
func FuzzParseSubmission(f *testing.F) {
	for _, subject := range []string{
		"hierarchy.partition.3.low." + valve.String(), "hierarchy.partition.0.cancel.x", "hierarchy.partition.03.low.x",
		"hierarchy.partition.-1.low.x", "hierarchy.partition.3.low", "x.partition.1..", "partition.partition.partition.1.a.b",
	} {
		f.Add(subject, "hierarchy")
	}
	f.Add("partition.partition.1.a.b", "partition")
	f.Fuzz(func(t *testing.T, subject, prefix string) {
		space, _ := subjects.In(prefix) // the usual one if it is no token
		got, err := space.ParseSubmission(subject)
		if err != nil {
			if got != (subjects.Submission{}) {
				t.Errorf("%q is %+v, and %v", subject, got, err)
			}
			return
		}
		pattern := strings.TrimSuffix(space.Submitted(got.Partition), "*.*")
		if again := fmt.Sprintf("%s%s.%s", pattern, got.Class, got.Target); again != subject {
			t.Errorf("%q comes back as %q", subject, again)
		}
		if strings.Contains(got.Class+got.Target, ".") {
			t.Errorf("%q has a class or a target of several tokens: %+v", subject, got)
		}
	})
}

// FuzzParseEvent does the same with the subjects of events.
func FuzzParseEvent(f *testing.F) {
	for _, subject := range []string{
		"hierarchy.events.completed." + valve.String(), "hierarchy.events.completed.", "hierarchy.events..x",
		"hierarchy.events.completed.a.b", "hierarchy.events.completed", "events.events.events.x",
	} {
		f.Add(subject, "hierarchy")
	}
	f.Add("events.events.failed.x", "events")
	f.Fuzz(func(t *testing.T, subject, prefix string) {
		space, _ := subjects.In(prefix)
		kind, target, err := space.ParseEvent(subject)
		if err != nil {
			if kind != "" || target != "" {
				t.Errorf("%q is %s of %q, and %v", subject, kind, target, err)
			}
			return
		}
		if again := space.EventToken(kind, target); again != subject {
			t.Errorf("%q comes back as %q", subject, again)
		}
		if strings.Contains(string(kind)+target, ".") {
			t.Errorf("%q has a kind or a target of several tokens: %s of %q", subject, kind, target)
		}
	})
}

// FuzzToken has what may be a token stand in a subject that is taken apart again.
func FuzzToken(f *testing.F) {
	for _, text := range []string{"", "valve-7", "a.b", "*", ">", "a b", "\xff", strings.Repeat("x", subjects.MaxToken+1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !subjects.Token(text) {
			return
		}
		var space subjects.Space
		if _, target, err := space.ParseEvent(space.EventToken("rejected", text)); err != nil || target != text {
			t.Errorf("%q comes back as %q: %v", text, target, err)
		}
		if n := subjects.PartitionOf(text, 16); n < 0 || n >= 16 {
			t.Errorf("%q is in partition %d of 16", text, n)
		}
		if strings.ContainsAny(text, ".*> \t\r\n\x00") {
			t.Errorf("%q may be a token", text)
		}
	})
}
