package operation

import "slices"

// Status is where an operation stands in its life.
type Status string

// The life of an operation. Succeeded, Rejected and Cancelled are terminal;
// Failed lasts no longer than the commit that records it.
const (
	Pending   Status = "pending"   // accepted by the broker, or waiting for its next attempt
	Executing Status = "executing" // an attempt is under way
	Failed    Status = "failed"    // the attempt failed; a retry or a rejection follows in the same commit
	Succeeded Status = "succeeded"
	Rejected  Status = "rejected"
	Cancelled Status = "cancelled"
)

// Statuses lists every status in the order of a life.
func Statuses() []Status {
	return []Status{Pending, Executing, Failed, Succeeded, Rejected, Cancelled}
}

// transitions is the one table of legal transitions; docs/lifecycle.md draws it.
var transitions = map[Status][]Status{
	Pending:   {Executing, Rejected, Cancelled},
	Executing: {Succeeded, Failed, Pending, Rejected},
	Failed:    {Pending, Rejected},
	Succeeded: {},
	Rejected:  {},
	Cancelled: {},
}

// Next lists the statuses that may follow s.
func (s Status) Next() []Status { return slices.Clone(transitions[s]) }

// CanBecome reports whether next may follow s.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Terminal reports whether an operation stays in s for ever.
func (s Status) Terminal() bool {
	next, known := transitions[s]
	return known && len(next) == 0
}
