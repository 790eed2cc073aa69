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
	OneOutcome   Invariant = "I2"  // an operation ends once
	NoGhost      Invariant = "I3"  // nothing is told of what was never submitted
	OneWinner    Invariant = "I4"  // one first contender for each entity and window
	RightWinner  Invariant = "I5"  // it is the one that the rules give
	Tiling       Invariant = "I6"  // windows take each operation once and leave none out
	Versions     Invariant = "I7"  // versions are numbered 1, 2, 3 and stay as they are
	Conditions   Invariant = "I8"  // heads and fences were written under compare-and-swap
	Agreement    Invariant = "I9"  // events, records, versions and heads agree
	Order        Invariant = "I10" // the events of an operation come in the order of a life
	Epochs       Invariant = "I11" // epochs never go back
	Owners       Invariant = "I12" // only the owner of an epoch writes in it
	Chain        Invariant = "I13" // each decision record names the one before
	Atomicity    Invariant = "I14" // commits are whole, and streams have no holes
	Conservation Invariant = "I15" // the counts add up
	Idempotence  Invariant = "I16" // the same operation again has no second effect
	RetryLaw     Invariant = "I17" // retries are as many and as far apart as they should be
	Grace        Invariant = "I18" // holders are displaced only when they may be
	Inheritance  Invariant = "I19" // effective priorities come from live parents
	Borrowing    Invariant = "I20" // what was borrowed came from what existed
	Accounting   Invariant = "I21" // operations make as many versions as their type does
	DeadLetters  Invariant = "I27" // dead letters are what could not be read, with the reason
	Cancelling   Invariant = "I28" // each cancellation is answered, and rightly
	Refusals     Invariant = "I29" // what was refused before resolution had to be
	Form         Invariant = "I30" // everything stored is of a known form
)

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
