package audit

import "github.com/hierarchy-events/hierarchy/operation"

// The words that records are full of, so that reading one makes no copy of it.
var (
	statuses = words(operation.Statuses()...)
	fates    = words(
		operation.Contended, operation.Refused, operation.Withdrawn,
		operation.Duplicate, operation.DeadLetter, operation.Cancelling,
	)
	verdicts   = words(operation.Wins, operation.Waits, operation.Loses, operation.Carried)
	separators = words(operation.ByPriority, operation.ByParent, operation.ByCreatedAt, operation.BySequence)
	reasons    = words(
		operation.LostConflict, operation.Preempted, operation.MaxRetriesExceeded, operation.ParentNotLive,
		operation.ParentCycle, operation.ParentTooDeep, operation.Expired, operation.Invalid,
		operation.TargetNotFound, operation.SourceNotFound, operation.FieldNotFound, operation.TypeMismatch,
		operation.MaxCarriesExceeded, operation.CarriedOverflow, operation.OpIDConflict,
	)
	actions = words(
		operation.Created, operation.Set, operation.Added, operation.Removed, operation.Borrowed,
		operation.Versioned, operation.Attached, operation.Detached, operation.Promoted, operation.Deleted,
	)
	types = words(operation.BuiltinTypes()...)
	kinds = words(operation.Kinds()...)
)

func words[T ~string](list ...T) map[string]T {
	out := make(map[string]T, len(list))
	for _, w := range list {
		out[string(w)] = w
	}
	return out
}

// word returns text as a T.
func word[T ~string](known map[string]T, text []byte) T {
	if w, ok := known[string(text)]; ok {
		return w
	}
	return T(text)
}
