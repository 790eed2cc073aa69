package consumer

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// item is one message of the operations stream, read and decoded. One of op,
// cancel and invalid is set.
type item struct {
	claim    *claimed // the claim under which it was read
	sequence uint64
	received time.Time // by the broker
	staged   time.Time // by this worker
	sub      subjects.Submission
	subject  string
	raw      []byte
	digest   string
	origin   origin

	op      *operation.Operation
	cancel  *operation.Cancel
	invalid *operation.InvalidError
}

// decode reads what was published. Nothing that a publisher sends is an error here:
// what cannot be read is an item that says so.
func (it *item) decode(custom func(operation.Type) bool) {
	var err error
	if it.sub.Class == subjects.CancelToken {
		var c operation.Cancel
		if c, err = operation.DecodeCancel(it.raw); err == nil {
			it.cancel = &c
			return
		}
	} else if it.op, err = operation.Decode(it.raw, it.sub.Class, it.sub.Target, custom); err == nil {
		it.digest = it.op.Digest()
		return
	}
	it.digest = operation.DigestOf(it.raw)
	if bad, ok := errors.AsType[*operation.InvalidError](err); ok {
		it.invalid = bad
		return
	}
	it.invalid = &operation.InvalidError{Message: err.Error()}
}

// id returns the operation's id, Nil if it has none that could be read.
func (it *item) id() uuid.UUID {
	switch {
	case it.op != nil:
		return it.op.ID
	case it.invalid != nil && it.sub.Class != subjects.CancelToken:
		return it.invalid.OpID
	}
	return uuid.Nil
}

// priority returns the priority in the subject, 0 if there is none.
func (it *item) priority() operation.Priority {
	p, err := operation.ParsePriority(it.sub.Class)
	if err != nil {
		return 0
	}
	return p
}

// record returns the record of the operation in the item as it enters its window.
func (it *item) record(skew time.Duration) *operation.Record {
	return &operation.Record{
		OpID: it.op.ID, Status: operation.Pending, Operation: it.op, Sequence: it.sequence,
		ReceivedAt: it.received, CreatedAt: resolver.Clamp(it.op.CreatedAt, it.received, skew),
		Digest: it.digest, TraceParent: it.origin.parent, TraceState: it.origin.state,
		EffectivePriority: it.op.Priority, Depth: 1,
	}
}

// messageID returns the id of the operation or the cancellation, "" if there is none
// that could be read.
func (it *item) messageID() string {
	switch id := it.id(); {
	case it.cancel != nil:
		return it.cancel.ID.String()
	case id != uuid.Nil:
		return id.String()
	}
	return ""
}
