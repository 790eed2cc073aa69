package operation

import (
	"errors"
	"fmt"
)

// Reason says in one word why an operation ended as it did. Reasons are part of
// the wire form: programs branch on them.
type Reason string

// Reasons of a rejection, of a retry and of a loser's verdict.
const (
	LostConflict       Reason = "lost_conflict"        // another contender of the window ranked higher
	Preempted          Reason = "preempted"            // displaced while waiting for its next attempt
	MaxRetriesExceeded Reason = "max_retries_exceeded" // the last attempt failed
	ParentNotLive      Reason = "parent_not_live"      // unknown, rejected or cancelled parent
	ParentCycle        Reason = "parent_cycle"
	ParentTooDeep      Reason = "parent_too_deep"
	Expired            Reason = "expired" // past expires_at or max_operation_age
	Invalid            Reason = "invalid" // malformed; the message names the field
	Poison             Reason = "poison"  // killed its worker too often
	OpIDConflict       Reason = "op_id_conflict"
	MaxCarriesExceeded Reason = "max_carries_exceeded"
	CarriedOverflow    Reason = "carried_overflow" // too many operations carried for the entity

	TargetNotFound Reason = "target_not_found"
	SourceNotFound Reason = "source_not_found"
	ParentMissing  Reason = "parent_entity_not_found"
	AlreadyExists  Reason = "already_exists"
	EntityDeleted  Reason = "entity_deleted"
	FieldNotFound  Reason = "field_not_found"
	TypeMismatch   Reason = "type_mismatch"
	NotANumber     Reason = "not_a_number"
	TreeCycle      Reason = "tree_cycle"
	NotARoot       Reason = "not_a_root"
	HasChildren    Reason = "has_children"
	OrphanEntity   Reason = "orphan" // it has neither versions nor children before it is promoted
	TooLarge       Reason = "too_large"
	Timeout        Reason = "timeout"
	SystemFailed   Reason = "system_failed"

	Recovered Reason = "recovered" // its worker went away during an attempt
)

// Failure is the error of an attempt to execute an operation. A permanent failure
// can never succeed and is rejected at once; any other is retried.
type Failure struct {
	Reason    Reason
	Message   string
	Permanent bool
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Reason, f.Message) }

// Refuse returns a permanent failure.
func Refuse(reason Reason, format string, args ...any) error {
	return &Failure{Reason: reason, Message: fmt.Sprintf(format, args...), Permanent: true}
}

// Retryable returns a failure that another attempt may overcome.
func Retryable(reason Reason, format string, args ...any) error {
	return &Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// AsFailure returns the failure in err. An error that is none counts as retryable
// with the reason [SystemFailed].
func AsFailure(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Reason: SystemFailed, Message: err.Error()}
}
