package audit

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// submission is a message of the operations stream, read and decoded. One of
// cancel, invalid and op is set, as with whoever takes it.
type submission struct {
	sequence  uint64
	received  time.Time
	partition int
	target    string
	entity    uuid.UUID // Nil if the target is no id
	mark      bool      // it marks where intake was closed, to change the number of partitions
	stranger  bool      // its subject is not one of the stream's

	id      uuid.UUID // of the operation, Nil if none could be read
	digest  uint64    // of the operation, or else of the message
	other   uint64    // the digest it has if its type is known to the workers
	raw     uint64    // digest of the message
	cancel  uuid.UUID // of the operation that is to be cancelled
	asks    uuid.UUID // id of the cancellation itself
	op      bool      // it is an operation
	custom  bool      // it is one if its type is known to the workers
	own     operation.Priority
	parent  operation.Ref // Nil if it has none
	created time.Time
	expires time.Time
	retries int
	onLoss  operation.OnLoss
}

// decodeSubmission reads a message of the operations stream as workers do.
func decodeSubmission(space subjects.Space, sequence uint64, received time.Time, subject string, data []byte) *submission {
	s := &submission{sequence: sequence, received: received, raw: digestOf(data), partition: nowhere}
	s.digest = s.raw
	if subject == space.Sealed() {
		s.mark = true
		return s
	}
	sub, err := space.ParseSubmission(subject)
	if err != nil {
		s.stranger = true
		return s
	}
	s.partition, s.target = sub.Partition, strings.Clone(sub.Target)
	s.entity = entityOf(sub.Target)
	if sub.Class == subjects.CancelToken {
		if c, err := operation.DecodeCancel(data); err == nil {
			s.cancel, s.asks, s.digest = c.OpID, c.ID, 0
		}
		return s
	}
	s.decode(data, sub)
	return s
}

// decode reads an operation. Types that are not built in may be known to the
// workers or not; only what they did tells.
func (s *submission) decode(body []byte, sub subjects.Submission) {
	op, err := operation.Decode(body, sub.Class, sub.Target, nil)
	if err == nil {
		s.op, s.digest = true, number(op.Digest())
		s.content(op)
		return
	}
	if op, err2 := operation.Decode(body, sub.Class, sub.Target, anyType); err2 == nil {
		s.custom, s.other = true, number(op.Digest())
		s.content(op)
		return
	}
	s.own, _ = operation.ParsePriority(sub.Class)
	if bad, ok := err.(*operation.InvalidError); ok { //nolint:errorlint // Decode returns it bare
		s.id = bad.OpID
	}
}

func anyType(operation.Type) bool { return true }

func (s *submission) content(op *operation.Operation) {
	s.id, s.own, s.created, s.expires = op.ID, op.Priority, op.CreatedAt, op.ExpiresAt
	s.retries, s.onLoss = op.Retries(), op.OnLoss
	s.parent, _ = op.Parent()
}

// number returns the digest of an operation as a number.
func number(digest string) uint64 {
	var b [8]byte
	if n, err := hex.Decode(b[:], []byte(digest)); n != len(b) || err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b[:])
}

// is reports whether a digest is that of the submission. Two are possible where it
// depends on the workers whether the type is known.
func (s *submission) is(digest uint64) bool {
	return digest == s.digest || s.custom && digest == s.other
}

// input is the operations stream. It is read no further than the decision records
// have come, so that what is held of it is what they have not taken yet.
type input struct {
	source
	feed    *feed[*submission]
	waiting map[int][]*submission // by partition, in the order of the stream
	read    uint64                // the last sequence that was read
	trimmed uint64                // up to here the stream has been purged
	idle    int                   // times in a row that nothing came
	rewound bool                  // it ends before what was taken of it
	strange func(sequences []uint64, format string, args ...any)
}

// advance reads up to a sequence.
func (in *input) advance(ctx context.Context, upTo uint64) error {
	for in.read < upTo && in.feed != nil {
		if there, err := in.there(ctx, upTo); err != nil || !there {
			return err
		}
		c, err := in.feed.next(ctx, idleLook)
		if err != nil {
			return err
		}
		if c == nil {
			return nil
		}
		if len(c.decoded) == 0 {
			in.idle++ // look whether what is awaited has been purged
		}
		for _, s := range c.decoded {
			if err := in.add(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// there reports whether the stream has something left to read up to a sequence.
func (in *input) there(ctx context.Context, upTo uint64) (bool, error) {
	if in.state.LastSeq >= upTo && in.idle == 0 {
		return true, nil
	}
	if err := in.look(ctx); err != nil {
		return false, err
	}
	in.idle = 0
	if in.state.LastSeq < upTo && !in.rewound {
		in.rewound = true
		in.strange([]uint64{in.state.LastSeq}, "the operations stream ends at %d, and decision records have taken it up to %d: it has rewound (R25)", in.state.LastSeq, upTo)
	}
	upTo = min(upTo, in.state.LastSeq)
	return in.read < upTo && in.state.FirstSeq <= upTo && in.state.Msgs > 0, nil
}

func (in *input) add(ctx context.Context, s *submission) error {
	if want := max(in.read, in.trimmed) + 1; s.sequence > want {
		// Only what all partitions have resolved may be purged, and from the front.
		if err := in.look(ctx); err != nil {
			return err
		}
		in.trimmed = max(in.trimmed, min(max(in.state.FirstSeq, 1), s.sequence)-1)
		if in.trimmed+1 < s.sequence {
			in.strange([]uint64{in.trimmed + 1, s.sequence}, "the operations stream has a hole: %d is followed by %d", max(want, in.trimmed+1)-1, s.sequence)
		}
	}
	in.read = s.sequence
	if s.mark {
		return nil
	}
	if s.stranger {
		in.strange([]uint64{s.sequence}, "a message of the operations stream is of no partition")
		return nil
	}
	in.waiting[s.partition] = append(in.waiting[s.partition], s)
	return nil
}

// drop removes and returns what nobody has taken of a partition up to a sequence.
func (in *input) drop(partition int, upTo uint64) []*submission {
	queue := in.waiting[partition]
	i := 0
	for i < len(queue) && queue[i].sequence <= upTo {
		i++
	}
	in.waiting[partition] = queue[i:]
	return queue[:i:i]
}

// find returns an operation that waits to be taken, nil if there is none.
func (in *input) find(ref operation.Ref) *submission {
	for _, queue := range in.waiting {
		for _, s := range queue {
			if s.id == ref.ID && s.entity == ref.Target && s.op {
				return s
			}
		}
	}
	return nil
}

// left returns how many messages wait, those that were not read yet included.
func (in *input) left() uint64 {
	n := uint64(0)
	for _, queue := range in.waiting {
		n += uint64(len(queue))
	}
	if in.state.LastSeq > in.read {
		n += in.state.LastSeq - max(in.read, in.state.FirstSeq-min(1, in.state.FirstSeq))
	}
	return n
}
