package operation

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Fence is the record that owns a partition. Each commit rewrites it under
// compare-and-swap, so that a commit of anybody but the present owner is refused.
type Fence struct {
	Partition int       `json:"partition"`
	Owner     string    `json:"owner"`
	Epoch     uint64    `json:"epoch"`  // grows by one with each claim
	Cursor    uint64    `json:"cursor"` // operations stream sequence up to which all is resolved
	BatchID   string    `json:"batch_id"`
	Windows   uint64    `json:"windows"` // number of the last window
	Chain     string    `json:"chain"`   // SHA-256 of the last window record, in hexadecimal
	Ledger    uint64    `json:"ledger"`  // store sequence of the oldest window record the ledger needs
	Crashes   int       `json:"crashes,omitempty"`
	Released  bool      `json:"released,omitempty"` // its owner let go of it in good order
	Counts    Counts    `json:"counts"`
	Time      time.Time `json:"time"`

	// Checkpoint is the store sequence of a window record: of those up to it checkpoints
	// tell all that the ledger needs. It is 0 if there is no checkpoint.
	Checkpoint uint64 `json:"checkpoint,omitempty"`
	// Partitions is how many partitions there are: one from that number on is
	// retired. A worker that knows another number must not touch the partition. It is
	// 0 as long as nobody has claimed the partition.
	Partitions int `json:"partitions,omitempty"`
	// Generation is how often the fences of all partitions have been rewritten
	// together, which is how their number is changed.
	Generation uint64 `json:"generation,omitempty"`
	// Resizing is the number of partitions that the fence's owner is about to change
	// to, 0 if it is none of that kind: until it is done no worker may claim the
	// partition.
	Resizing int `json:"resizing,omitempty"`
}

// Retired reports whether the partition is out of use since the number of partitions
// was changed. Its fence and its records stay, and its counts still count.
func (f Fence) Retired() bool { return f.Partitions > 0 && f.Partition >= f.Partitions }

// Unclean reports whether the owner has not let go of the partition in good order.
func (f Fence) Unclean() bool { return f.Epoch > 0 && !f.Released }

// Claimed returns the fence of a partition's next owner.
func (f Fence) Claimed(partition int, owner string) Fence {
	if f.Unclean() {
		f.Crashes++
	}
	f.Partition, f.Owner, f.Released = partition, owner, false
	f.Epoch++
	return f
}

// Counts are the running totals of a partition (rule R21). Duplicates of an
// operation already taken count nowhere.
type Counts struct {
	Submitted    uint64 `json:"submitted"`
	Succeeded    uint64 `json:"succeeded"`
	Rejected     uint64 `json:"rejected"`
	Cancelled    uint64 `json:"cancelled"`
	DeadLettered uint64 `json:"dead_lettered"`
	Live         uint64 `json:"live"` // executing, waiting, next or carried
	Versions     uint64 `json:"versions"`
}

// WindowID names a window: the partition and the window's number in it.
func WindowID(partition int, number uint64) string {
	return fmt.Sprintf("%d-%d", partition, number)
}

// CloseCause says why a window was closed.
type CloseCause string

// Why a window closes.
const (
	ClosedByTimer CloseCause = "timer" // its time was over
	ClosedFull    CloseCause = "full"  // one commit could hold no more
	ClosedByDue   CloseCause = "due"   // no new operation: a retry, a result, a grace period or a carried operation was due
	ClosedIdle    CloseCause = "idle"  // nothing decided: the cursor of an idle partition moves on

	// ClosedByResize: nothing decided, the number of partitions was changed. Every
	// partition that is or was in use has such a record in the one commit that does it;
	// the cursors of all move to the end of the operations stream.
	ClosedByResize CloseCause = "resize"
)

// Window is the decision record of one window of a partition: what it took, what it
// decided, and enough to decide it again (rule R11). A commit may have several of one
// partition.
type Window struct {
	ID        string     `json:"id"`
	Partition int        `json:"partition"`
	Number    uint64     `json:"number"`
	Owner     string     `json:"owner"`
	Epoch     uint64     `json:"epoch"`
	BatchID   string     `json:"batch_id"`
	After     uint64     `json:"after"`  // the cursor before
	Cursor    uint64     `json:"cursor"` // the cursor now
	Cause     CloseCause `json:"cause"`
	Opened    time.Time  `json:"opened"`
	Closed    time.Time  `json:"closed"`
	Taken     []Taken    `json:"taken,omitempty"`
	Settled   []Settled  `json:"settled,omitempty"`
	Decisions []Decision `json:"decisions,omitempty"`
	Digest    string     `json:"digest"`             // SHA-256 of the partition's events, versions and dead letters in the commit; in its last window
	Previous  string     `json:"previous,omitempty"` // SHA-256 of the partition's previous window record

	Partitions int `json:"partitions,omitempty"` // how many there are from this window on
}

// Fate is what a window did with a message of the operations stream.
type Fate string

// The fates of a message. Contended is the only one that leads to a decision.
const (
	Contended  Fate = "contended"
	Refused    Fate = "refused"    // rejected before resolution: invalid, expired, parent
	Withdrawn  Fate = "withdrawn"  // cancelled before resolution
	Duplicate  Fate = "duplicate"  // the same operation again (rule R9)
	DeadLetter Fate = "dead"       // not attributable, or another's op_id
	Cancelling Fate = "cancelling" // a cancellation, answered
)

// Counted reports whether the message asked for an operation that had not been
// taken before.
func (f Fate) Counted() bool { return f == Contended || f == Refused || f == Withdrawn }

// Taken is one message of the operations stream that a window took.
type Taken struct {
	Sequence uint64    `json:"sequence"`
	OpID     uuid.UUID `json:"op_id,omitzero"`
	Digest   string    `json:"digest,omitempty"` // of the content, see [Operation.Digest]
	Fate     Fate      `json:"fate"`
	Status   Status    `json:"status,omitempty"` // of the operation when the window was committed
	Reason   Reason    `json:"reason,omitempty"`
	Target   string    `json:"target,omitempty"` // the entity's token, where no decision of the window names it
}

// Ledger is a page of what a partition remembers of operations that were taken before
// the number of partitions was changed, by whichever partition their entities then
// belonged to (rule R9). It stands in for the decision records of that time. Every
// Taken has its Target and the operation's latest status.
type Ledger struct {
	Partition  int     `json:"partition"`
	Partitions int     `json:"partitions"` // how many there are now
	Taken      []Taken `json:"taken"`
}

// Checkpoint sums up window records of a partition: what they have taken, and how that
// stood when the checkpoint was written. A worker that claims the partition reads it
// instead of them. Several may follow each other in one commit.
type Checkpoint struct {
	Partition int    `json:"partition"`
	After     uint64 `json:"after"`           // store sequence that the checkpoint before goes up to, 0 if there is none
	Through   uint64 `json:"through"`         // that this one goes up to, a window record's
	Chain     string `json:"chain,omitempty"` // SHA-256 of that window record; the last checkpoint of a commit has it

	Windows []CheckpointWindow `json:"windows,omitempty"`
	Settled []Settled          `json:"settled,omitempty"` // operations of earlier windows that ended
}

// CheckpointWindow is what a window took, as a checkpoint tells it: the operations that
// count (see [Fate.Counted]).
type CheckpointWindow struct {
	Sequence uint64       `json:"sequence"` // of the window record in the store
	Taken    []Remembered `json:"taken"`
}

// Remembered is what rule R9 needs of an operation.
type Remembered struct {
	OpID   uuid.UUID `json:"op_id"`
	Digest string    `json:"digest"`
	Status Status    `json:"status"`
}

// Settled is an operation of an earlier window that ended in this commit.
type Settled struct {
	OpID   uuid.UUID `json:"op_id"`
	Status Status    `json:"status"`
	Reason Reason    `json:"reason,omitempty"`
}

// Role is why an operation outlives the window that took it.
type Role string

// The roles of a live operation on its entity.
const (
	HolderRole  Role = "holder"
	NextRole    Role = "next"
	CarriedRole Role = "carried"
)

// Record is the durable record of an operation that outlives its window. Once the
// operation is terminal the record keeps its status for a while and no content.
type Record struct {
	OpID              uuid.UUID  `json:"op_id"`
	Status            Status     `json:"status"`
	Role              Role       `json:"role,omitempty"`
	Operation         *Operation `json:"operation,omitempty"` // while not terminal
	Sequence          uint64     `json:"sequence"`
	ReceivedAt        time.Time  `json:"received_at"`
	CreatedAt         time.Time  `json:"created_at"` // clamped
	Digest            string     `json:"digest"`
	TraceParent       string     `json:"traceparent,omitempty"`
	TraceState        string     `json:"tracestate,omitempty"`
	EffectivePriority Priority   `json:"effective_priority"`
	InheritedFrom     uuid.UUID  `json:"inherited_from,omitzero"`
	Depth             int        `json:"depth"`  // operations in its chain of parents, itself included
	Window            string     `json:"window"` // that decided last
	Attempt           int        `json:"attempt,omitempty"`
	AttemptAt         time.Time  `json:"attempt_at,omitzero"`    // start of the latest attempt
	Due               time.Time  `json:"due,omitzero"`           // of the next attempt
	Retries           int        `json:"retries,omitempty"`      // made after a failed attempt
	RetryReason       Reason     `json:"retry_reason,omitempty"` // of the latest
	Crashes           int        `json:"crashes,omitempty"`      // workers that went away during an attempt
	Careful           bool       `json:"careful,omitempty"`      // run alone: its worker may have died of it
	Losses            int        `json:"losses,omitempty"`       // windows lost in a row, see [UpdateCarried]
	Contest           int        `json:"contest,omitempty"`      // of a carried operation: number of the window it lost last
	Reason            Reason     `json:"reason,omitempty"`
	LastError         string     `json:"last_error,omitempty"`
}

// UpdateCarried brings records of carried operations up to date, which must be all that
// their entities carry. What an entity carries loses its windows together, and those windows are
// numbered (see [Record.Contest]). The record of one operation at least is written for each,
// and tells of all.
func UpdateCarried(records []*Record) {
	latest := map[uuid.UUID]*Record{}
	for _, r := range records {
		if r.Role != CarriedRole {
			continue
		}
		if other := latest[r.Operation.Target]; other == nil || other.Contest < r.Contest {
			latest[r.Operation.Target] = r
		}
	}
	for _, r := range records {
		if r.Role == CarriedRole {
			last := latest[r.Operation.Target]
			r.Losses += last.Contest - r.Contest
			r.Contest, r.Window = last.Contest, last.Window
		}
	}
}
