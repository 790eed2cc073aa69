package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDifference shows two explanations beside each other: what is in both once, and
// one that is longer than the other.
func TestDifference(t *testing.T) {
	got := difference("entity e\nheld\n1. a wins\n2. b loses\n", "entity e\nheld\n1. b wins\n2. a loses\n3. c loses\n")
	want := "  held\n- 1. a wins\n- 2. b loses\n+ 1. b wins\n+ 2. a loses\n+ 3. c loses\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if got := difference("entity e\n1. a wins\n", "entity e\n1. a wins\n"); got != "  1. a wins\n" {
		t.Errorf("no difference is shown as %q", got)
	}
}
