package audit

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// family is what a message of the store is, in the order in which families stand in
// a commit: first all fences, then all heads, then for each partition the rest.
type family int

const (
	fenceFamily family = iota
	headFamily
	recordFamily
	versionFamily
	eventFamily
	deadFamily
	ledgerFamily
	checkpointFamily
	windowFamily
	checkFamily
	strangeFamily // none of ours
)

// stored is a message of the store, decoded as far as the audit needs it. One of the
// pointers is set, unless the message could not be read: then problem says why.
type stored struct {
	sequence uint64
	at       time.Time // by the broker's clock
	subject  string
	data     []byte

	batch    string // its commit
	index    uint64 // in the commit, from 1
	last     bool   // it ends the commit
	expects  bool   // it was stored under a condition,
	expected uint64 // that the last sequence of a subject is this one;
	on       string // the subject, if it is not its own

	family    family
	partition int
	problem   string

	fence   *operation.Fence
	head    *head
	record  *liveRecord
	version *version
	event   *event
	dead    *dead
	page    *page
	sums    *sums
	window  *window
}

// head is what the audit needs of an entity's head.
type head struct {
	id       uuid.UUID
	revision uint64
	versions uint64
	deleted  bool
	history  []change
	lenders  []lender

	components []byte // as they stand in it
}

// change is an entry of a head's history.
type change struct {
	revision uint64
	op       uuid.UUID
	at       time.Time
}

// lender is where a borrowed field came from.
type lender struct {
	entity            uuid.UUID
	version, revision uint64
}

// version is what the audit needs of a version's record.
type version struct {
	entity   uuid.UUID
	number   uint64
	op       uuid.UUID
	id       uuid.UUID // of the head in it
	revision uint64    // of the head in it
	count    uint64    // of the head's versions

	components []byte // of the head, as they stand in it
}

// liveRecord is the record of an operation that outlives its window. Content is the
// digest of the operation in it, where there is one.
type liveRecord struct {
	id                  uuid.UUID
	status              operation.Status
	role                operation.Role
	target              uuid.UUID
	sequence            uint64
	digest, content     uint64
	created             time.Time
	effective           operation.Priority
	own                 operation.Priority
	depth               int
	window              uint64
	attempt             int
	attemptAt, due      time.Time
	retries, maxRetries int
	losses, contest     int
}

// dead is what the headers of a dead letter say.
type dead struct {
	sequence uint64
	reason   string
	digest   uint64 // of the data
}

// event is an event with what the audit needs of its data, of whatever kind.
type event struct {
	kind   operation.Kind
	target string    // in the subject
	entity uuid.UUID // Nil if the target is no id
	at     time.Time
	serial int // the attempt that its id ends in

	op                  uuid.UUID
	opType              operation.Type
	own, effective      operation.Priority
	worker              []byte
	window              uint64
	sequence            uint64
	attempt             int
	version, revision   uint64
	changes             []effect
	reason              operation.Reason
	retries, maxRetries int
	backoff             float64 // milliseconds
	due                 time.Time
	winner              uuid.UUID
	winnerPriority      operation.Priority
	cancel              uuid.UUID
	status              operation.Status
	contenders          []byte // as they stand in the event
}

// effect is one of the changes that a completed event tells of.
type effect struct {
	entity  uuid.UUID
	action  operation.Action
	version uint64
	path    string // of a field
	value   []byte // that it got, as it stands in the event
}

// window is a decision record. Of its decisions, faults says what is wrong with
// them taken by themselves.
type window struct {
	id            string
	partition     int
	number        uint64
	owner         string
	epoch         uint64
	batch         string
	after, cursor uint64
	cause         operation.CloseCause
	closed        time.Time
	taken         []taken
	settled       []settled
	decisions     []decision
	digest        string
	previous      string
	partitions    int      // how many there are, 0 where the record does not say
	sum           [32]byte // SHA-256 of the record
	faults        []fault
}

// taken is one message of the operations stream that a window took.
type taken struct {
	sequence uint64
	op       uuid.UUID
	digest   uint64
	fate     operation.Fate
	status   operation.Status
	reason   operation.Reason
	target   string // where no decision of the window names it
}

// page is a page of what a partition remembers from before the number of partitions
// was changed.
type page struct {
	partitions int // how many there will be
	taken      []taken
}

// sums is a checkpoint: what decision records have taken, as it stood later.
type sums struct {
	after, through uint64
	chain          string
	taken          []summed
	settled        []settled
}

// summed is an operation that a checkpoint tells of.
type summed struct {
	window uint64 // sequence of the decision record that took it
	op     uuid.UUID
	digest uint64
	status operation.Status
}

// settled is an operation of an earlier window that ended.
type settled struct {
	op     uuid.UUID
	status operation.Status
	reason operation.Reason
}

// decision is what a window says of one entity's contenders.
type decision struct {
	entity     uuid.UUID
	holder     *holder
	preempts   bool
	contenders []contender
	text       []byte // of the contenders
}

// holder is the entity's holder as the decision has it.
type holder struct {
	op        uuid.UUID
	effective operation.Priority
	status    operation.Status
	protected bool
	missing   bool
	attemptAt time.Time // zero where the record does not say
}

// contender is one of those that contended.
type contender struct {
	op, from, parent uuid.UUID
	own, effective   operation.Priority
	created          time.Time
	sequence         uint64
	losses           int
	onLoss           operation.OnLoss
	creates          bool
	verdict          operation.Verdict
	reason           operation.Reason
	separator        operation.Separator
}

func (d *decision) first() *contender { return &d.contenders[0] }

// provides reports whether the first makes the entity that the holder misses, so that
// it goes ahead and the holder stays (rule R13).
func (d *decision) provides() bool {
	return d.first().creates && d.holder != nil && d.holder.status == operation.Pending && d.holder.missing
}

// concerns reports whether an operation contends.
func (d *decision) concerns(op uuid.UUID) bool {
	return slices.ContainsFunc(d.contenders, func(c contender) bool { return c.op == op })
}

// condemns reports whether an operation has to end by the decision. It may be one that
// an earlier decision of the same commit has let win or wait.
func (d *decision) condemns(op uuid.UUID) bool {
	return d.preempts && d.holder.id() == op ||
		slices.ContainsFunc(d.contenders[1:], func(c contender) bool { return c.op == op && c.verdict == operation.Loses })
}

// fault is something wrong that was found before it is known where.
type fault struct {
	invariant  Invariant
	entity, op uuid.UUID
	message    string
}
