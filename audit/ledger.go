package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// remembered is how many operations of a partition workers remember, so that the
// same one again is no second one (rule R9).
const remembered = 32_768

// known is what the audit remembers of an operation that a partition took. A
// million of them are in memory at a time: it is kept small.
type known struct {
	digest         uint64
	ended          uint64 // first sequence of the commit that ended it, 0 while it lives
	number         uint32 // how many the partition had taken before, modulo 2^32
	at             uint32 // when it was taken, in seconds since 1970
	target         uint32 // hash of its target, see hashOf
	own, effective uint8  // priorities
	depth          uint8  // operations in its chain of parents, 0 if unknown
	status         uint8  // index into statusList
}

var statusList = operation.Statuses()

func statusIndex(s operation.Status) uint8 {
	for i, have := range statusList {
		if have == s {
			return uint8(i) //nolint:gosec // there are six
		}
	}
	return 0
}

func (k *known) state() operation.Status { return statusList[k.status] }

func (k *known) terminal() bool { return k.ended > 0 }

// ledger remembers the operations that a partition took last: at least as many as
// workers do, at most twice as many.
type ledger struct {
	taken         uint32
	latest, older map[uuid.UUID]known
}

func (l *ledger) find(id uuid.UUID) (known, bool) {
	if k, ok := l.latest[id]; ok {
		return k, true
	}
	k, ok := l.older[id]
	return k, ok
}

// all yields what is remembered.
func (l *ledger) all(yield func(uuid.UUID, known) bool) {
	for _, m := range []map[uuid.UUID]known{l.older, l.latest} {
		for id, k := range m {
			if !yield(id, k) {
				return
			}
		}
	}
}

// enter adds an operation that was just taken.
func (l *ledger) enter(id uuid.UUID, k known) {
	if len(l.latest) >= remembered || l.latest == nil {
		l.older, l.latest = l.latest, make(map[uuid.UUID]known)
	}
	k.number = l.taken
	l.taken++
	l.latest[id] = k
}

// update changes what is remembered of an operation, if anything is.
func (l *ledger) update(id uuid.UUID, change func(*known)) {
	for _, m := range []map[uuid.UUID]known{l.latest, l.older} {
		if k, ok := m[id]; ok {
			change(&k)
			m[id] = k
			return
		}
	}
}

// fresh reports whether workers are sure to remember an operation at a time: it is
// among the latest, and the decision record of its window has not expired.
func (l *ledger) fresh(k known, now time.Time, retention time.Duration) bool {
	age := now.Sub(time.Unix(int64(k.at), 0))
	return l.taken-k.number <= remembered && age < retention-expirySlack
}
