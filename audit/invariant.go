package audit

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Invariant names one of the statements that the audit proves. docs/audit.md says
// what each means, and what it cannot see.
type Invariant string

// The invariants. Numbers that are missing are of statements that records cannot
// show; tests prove those.
const (
	OneOutcome   Invariant = "I2"
	NoGhost      Invariant = "I3"
	OneWinner    Invariant = "I4"
	RightWinner  Invariant = "I5"
	Tiling       Invariant = "I6"
	Versions     Invariant = "I7"
	Conditions   Invariant = "I8"
	Agreement    Invariant = "I9"
	Order        Invariant = "I10"
	Epochs       Invariant = "I11"
	Owners       Invariant = "I12"
	Chain        Invariant = "I13"
	Atomicity    Invariant = "I14"
	Conservation Invariant = "I15"
	Idempotence  Invariant = "I16"
	RetryLaw     Invariant = "I17"
	Grace        Invariant = "I18"
	Inheritance  Invariant = "I19"
	Borrowing    Invariant = "I20"
	Accounting   Invariant = "I21"
	DeadLetters  Invariant = "I27"
	Cancelling   Invariant = "I28"
	Refusals     Invariant = "I29"
	Form         Invariant = "I30"
	Replicas     Invariant = "I31"
)

// Statement is an invariant in words.
type Statement struct {
	Invariant Invariant
	Text      string
}

// Statements lists the invariants in order.
func Statements() []Statement {
	return []Statement{
		{OneOutcome, "an operation ends once"},
		{NoGhost, "nothing is told of what was never submitted"},
		{OneWinner, "an entity has one first contender in each window and one holder at a time"},
		{RightWinner, "the first contender is the one that the rules give"},
		{Tiling, "windows take each operation once and leave none out"},
		{Versions, "versions are numbered 1, 2, 3, and revisions grow one by one"},
		{Conditions, "heads and fences were written under compare-and-swap"},
		{Agreement, "events, decision records, operation records, versions and heads agree"},
		{Order, "the events of an operation come in the order of a life"},
		{Epochs, "epochs and generations never go back"},
		{Owners, "only the owner of an epoch writes in it"},
		{Chain, "each decision record names the one before, and the fence the last"},
		{Atomicity, "commits are whole, and streams have no holes"},
		{Conservation, "the counts add up"},
		{Idempotence, "the same operation again has no second effect"},
		{RetryLaw, "attempts are as many and as far apart as they should be"},
		{Grace, "holders are displaced when they may be, and only then"},
		{Inheritance, "effective priorities come from live parents"},
		{Borrowing, "what was borrowed came from what existed"},
		{Accounting, "operations make as many versions as their type does"},
		{DeadLetters, "dead letters are what could not be read, with the reason"},
		{Cancelling, "each cancellation is answered, and rightly"},
		{Refusals, "what was refused before resolution had to be, and nothing else was let in"},
		{Form, "everything stored is of a known form"},
		{Replicas, "all replicas of a stream hold the same"},
	}
}

// Violation is something recorded that must not be. The zero id stands for none.
type Violation struct {
	Invariant Invariant `json:"invariant"`
	Partition int       `json:"partition"` // -1 if it is of no partition
	Stream    string    `json:"stream"`
	Sequences []uint64  `json:"sequences,omitempty"` // in the stream, of the messages that show it
	Entity    uuid.UUID `json:"entity,omitzero"`
	OpID      uuid.UUID `json:"op_id,omitzero"`
	Message   string    `json:"message"`
}

// String tells the violation in one line.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", v.Invariant)
	if v.Partition >= 0 {
		fmt.Fprintf(&b, " partition %d", v.Partition)
	}
	if v.Entity != uuid.Nil {
		fmt.Fprintf(&b, " entity %s", v.Entity)
	}
	if v.OpID != uuid.Nil {
		fmt.Fprintf(&b, " operation %s", v.OpID)
	}
	fmt.Fprintf(&b, ": %s", v.Message)
	if len(v.Sequences) > 0 {
		fmt.Fprintf(&b, " (%s %s)", v.Stream, strings.Trim(fmt.Sprint(v.Sequences), "[]"))
	}
	return b.String()
}

// spot is where a violation is. The zero partition is one; nowhere is none.
type spot struct {
	partition int
	sequences []uint64
	entity    uuid.UUID
	op        uuid.UUID
	input     bool // the sequences are of the operations stream
}

// nowhere is the partition of what is of no partition.
const nowhere = -1
