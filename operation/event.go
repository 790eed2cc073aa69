package operation

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Kind is what an event tells.
type Kind string

// The kinds of events. CompletedEvent, RejectedEvent and CancelledEvent end a life.
const (
	StartedEvent       Kind = "started"
	CompletedEvent     Kind = "completed"
	FailedEvent        Kind = "failed"
	RetryEvent         Kind = "retry"
	RejectedEvent      Kind = "rejected"
	CancelledEvent     Kind = "cancelled"
	CancelRefusedEvent Kind = "cancel_refused"
	ConflictEvent      Kind = "conflict"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		StartedEvent, CompletedEvent, FailedEvent, RetryEvent,
		RejectedEvent, CancelledEvent, CancelRefusedEvent, ConflictEvent,
	}
}

// Outcome returns the terminal status an event of kind k announces, or false.
func (k Kind) Outcome() (Status, bool) {
	switch k {
	case CompletedEvent:
		return Succeeded, true
	case RejectedEvent:
		return Rejected, true
	case CancelledEvent:
		return Cancelled, true
	case StartedEvent, FailedEvent, RetryEvent, CancelRefusedEvent, ConflictEvent:
	}
	return "", false
}

// Event is a CloudEvents 1.0 envelope in structured mode. Its id is the same
// whenever the same fact is told.
type Event struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`  // /hierarchy/partition/<p>
	Type            string          `json:"type"`    // hierarchy.operation.<kind>.v1
	Subject         string          `json:"subject"` // the entity
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// EventType returns the CloudEvents type of a kind.
func EventType(k Kind) string { return typePrefix + string(k) + typeSuffix }

// EventSource returns the CloudEvents source of a partition.
func EventSource(partition int) string { return fmt.Sprintf("/hierarchy/partition/%d", partition) }

// Detail is what the data of every event has. A conflict is of no single
// operation: its OpID is the first contender's.
type Detail struct {
	OpID              uuid.UUID `json:"op_id"`
	OpType            Type      `json:"op_type,omitempty"` // empty where the operation could not be read
	Target            string    `json:"target_entity_id"`  // as the subject spells it: a UUID in all but invalid operations
	TargetName        string    `json:"target_name,omitempty"`
	Priority          Priority  `json:"priority,omitempty"`
	EffectivePriority Priority  `json:"effective_priority,omitempty"`
	Worker            string    `json:"worker"`
	Partition         int       `json:"partition"`
	Window            string    `json:"window"` // the window that decided, <partition>-<number>
	Sequence          uint64    `json:"sequence"`
}

// StartedDetail is the data of a started event.
type StartedDetail struct {
	Detail
	Attempt int `json:"attempt"` // counted from 1
}

// CompletedDetail is the data of a completed event.
type CompletedDetail struct {
	Detail
	Attempt     int      `json:"attempt"`
	ExecutionMS float64  `json:"execution_ms"`
	Version     uint64   `json:"version"`  // the entity's latest version, 0 if it has none
	Revision    uint64   `json:"revision"` // the head's revision after the operation
	Changes     []Change `json:"changes"`
}

// Action names what a [Change] did.
type Action string

// The actions.
const (
	Created   Action = "created"
	Set       Action = "set"
	Added     Action = "added"
	Removed   Action = "removed"
	Borrowed  Action = "borrowed"
	Versioned Action = "versioned"
	Attached  Action = "attached"
	Detached  Action = "detached"
	Promoted  Action = "promoted"
	Deleted   Action = "deleted"
)

// Change is one thing that an operation changed.
type Change struct {
	Entity  uuid.UUID       `json:"entity"`
	Action  Action          `json:"action"`
	Path    string          `json:"path,omitempty"` // of the field, where a field changed
	Value   json.RawMessage `json:"value,omitempty"`
	Version uint64          `json:"version,omitempty"` // the version made, where one was made
}

// FailedDetail is the data of a failed event.
type FailedDetail struct {
	Detail
	Attempt    int    `json:"attempt"`
	Error      string `json:"error"`
	Reason     Reason `json:"reason"`
	RetryCount int    `json:"retry_count"` // retries made so far
}

// RetryDetail is the data of a retry event.
type RetryDetail struct {
	Detail
	RetryCount int       `json:"retry_count"` // the retry announced, counted from 1
	MaxRetries int       `json:"max_retries"`
	BackoffMS  float64   `json:"backoff_ms"`
	Due        time.Time `json:"due"`
	Reason     Reason    `json:"reason"`
}

// RejectedDetail is the data of a rejected event.
type RejectedDetail struct {
	Detail
	Reason         Reason    `json:"reason"`
	Message        string    `json:"message"`
	WinnerOpID     uuid.UUID `json:"winner_op_id,omitzero"`
	WinnerPriority Priority  `json:"winner_priority,omitempty"` // effective
}

// CancelDetail is the data of a cancelled and of a cancel_refused event.
type CancelDetail struct {
	Detail
	CancelID uuid.UUID `json:"cancel_id"`
	Message  string    `json:"message,omitempty"` // the canceller's reason
	Status   Status    `json:"status,omitempty"`  // of the operation where the cancel is refused; empty if unknown
}

// ConflictDetail is the data of a conflict event.
type ConflictDetail struct {
	Detail
	WinnerOpID   uuid.UUID   `json:"winner_op_id"`
	Contenders   []Contender `json:"contenders"`
	ResolutionMS float64     `json:"resolution_ms"`
}
