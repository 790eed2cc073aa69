package operation

import (
	"time"

	"github.com/google/uuid"
)

// Verdict is what a window says of one contender.
type Verdict string

// The verdicts. An entity has one contender that wins or waits in each window.
const (
	Wins    Verdict = "wins"    // it is executed
	Waits   Verdict = "waits"   // it is the best, but the entity is held: it is the entity's next
	Loses   Verdict = "loses"   // it is rejected
	Carried Verdict = "carried" // it lost and contends again (on_loss carry)
)

// Separator names the comparison that put a loser behind the winner.
type Separator string

// The comparisons in the order in which they are made (rules R3 and R6).
const (
	ByPriority  Separator = "priority"   // lower effective priority
	ByParent    Separator = "parent"     // equal, and its parent contends too
	ByCreatedAt Separator = "created_at" // equal, but created later
	BySequence  Separator = "sequence"   // equal, but later in the stream
)

// Contender is one operation that contended for an entity in a window, as the
// decision record and the conflict event show it.
type Contender struct {
	OpID              uuid.UUID `json:"op_id"`
	Priority          Priority  `json:"priority"`
	EffectivePriority Priority  `json:"effective_priority"`
	InheritedFrom     uuid.UUID `json:"inherited_from,omitzero"` // the ancestor that lends its priority
	ParentID          uuid.UUID `json:"parent_op_id,omitzero"`
	CreatedAt         time.Time `json:"created_at"` // clamped as rule R3 says
	Sequence          uint64    `json:"sequence"`
	Losses            int       `json:"losses,omitempty"` // windows lost in a row before this one
	OnLoss            OnLoss    `json:"on_loss,omitempty"`
	Creates           bool      `json:"creates,omitempty"` // it makes the entity at once (told where the holder misses it)
	Verdict           Verdict   `json:"verdict"`
	Reason            Reason    `json:"reason,omitempty"`
	Separator         Separator `json:"separator,omitempty"` // what put it behind the first
}

// Holder is an entity's holder as a window found it.
type Holder struct {
	OpID              uuid.UUID `json:"op_id"`
	EffectivePriority Priority  `json:"effective_priority"`
	Status            Status    `json:"status"`              // executing, or pending between two attempts
	Protected         bool      `json:"protected,omitempty"` // within the grace period (rule R8)
	Missing           bool      `json:"missing,omitempty"`   // between two attempts because the entity does not exist (rule R13)
	AttemptAt         time.Time `json:"attempt_at,omitzero"` // start of its latest attempt
}

// Decision is what a window decided about one entity: contenders in rank order,
// the first of which wins, or waits where the entity is held.
type Decision struct {
	Entity     uuid.UUID   `json:"entity"`
	Holder     *Holder     `json:"holder,omitempty"`
	Preempts   bool        `json:"preempts,omitempty"` // the first displaces the holder
	Contenders []Contender `json:"contenders"`
}

// First returns the contender that wins or waits.
func (d *Decision) First() *Contender { return &d.Contenders[0] }

// Conflict reports whether there was anything to decide between.
func (d *Decision) Conflict() bool { return len(d.Contenders) > 1 }
