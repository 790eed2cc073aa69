package audit

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// life is the model of an operation that was taken and has not ended.
type life struct {
	id       uuid.UUID
	entity   uuid.UUID // Nil if its target is no id
	target   string    // where it is no id
	sequence uint64
	digest   uint64
	born     uint64 // first sequence of the commit that took it
	stranger bool   // it was taken before what could be read
	vague    bool   // and nothing has told yet how it stands

	own, effective operation.Priority // 0 if unknown
	depth          int                // of its chain of parents, 0 if unknown
	parent         operation.Ref
	created        time.Time // clamped, zero if unknown
	expires        time.Time
	onLoss         operation.OnLoss
	submitted      bool // its submission was there to be read

	window     uint64 // number of the window that decided last
	status     operation.Status
	role       operation.Role
	attempt    int
	attemptAt  time.Time
	due        time.Time
	retries    int
	maxRetries int // unknown if it is

	retryReason operation.Reason // of the latest, "" if there was none or it is unknown
	losses      int
	ahead       bool // it goes ahead of the holder, which misses the entity
	sentence    *sentence
	recorded    bool // a record of it was read since it went on last
}

// sentence is how an operation must end in the commit at hand, because a decision
// says so.
type sentence struct {
	reason   operation.Reason
	winner   uuid.UUID
	priority operation.Priority // of the winner
	window   string
}

// lane is the model of what holds an entity and what waits for it. One that is unsure
// may have more in it than was read.
type lane struct {
	holder  *life
	next    *life
	carried []*life
	unsure  bool

	contest int  // number of the window that what is carried lost last, if that is known
	counted bool // a record that says so was read
}

func (p *partition) lane(entity uuid.UUID) *lane {
	l := p.lanes[entity]
	if l == nil {
		l = &lane{unsure: !p.whole}
		if l.unsure {
			l.contest = unknown
		}
		p.lanes[entity] = l
	}
	return l
}

// tidy forgets a lane that is empty.
func (p *partition) tidy(entity uuid.UUID) {
	if l := p.lanes[entity]; l != nil && l.holder == nil && l.next == nil && len(l.carried) == 0 && !l.unsure {
		delete(p.lanes, entity)
	}
}

// waits reports whether an operation is among those that contend again.
func (l *lane) waits(f *life) bool { return l.next == f || slices.Contains(l.carried, f) }

// leave takes an operation out of the lane.
func (l *lane) leave(f *life) {
	if l.holder == f {
		l.holder = nil
	}
	if l.next == f {
		l.next = nil
	}
	if i := slices.Index(l.carried, f); i >= 0 {
		l.carried = slices.Delete(l.carried, i, i+1)
		l.counted = false // its record may have been the one
	}
}

// count numbers the window that what is carried has just lost; stays says that some of it
// was carried before.
func (l *lane) count(stays bool) {
	switch {
	case len(l.carried) == 0:
		l.contest = 0
	case !stays:
		l.contest = 1
	case l.contest != unknown:
		l.contest++
	}
	l.counted = false
}

// waiting lists what contends again with each window.
func (l *lane) waiting() []*life {
	if l.next == nil {
		return l.carried
	}
	return append([]*life{l.next}, l.carried...)
}

// stranger makes a life of an operation that was taken before what could be read.
func (p *partition) stranger(id uuid.UUID) *life {
	f := &life{id: id, stranger: true, vague: true, status: operation.Pending, retries: unknown, maxRetries: unknown}
	p.lives[id] = f
	return f
}

// end ends a life.
func (p *partition) end(f *life, status operation.Status, at uint64) {
	delete(p.lives, f.id)
	if f.entity != uuid.Nil {
		p.lane(f.entity).leave(f)
		p.tidy(f.entity)
	}
	p.ledger.update(f.id, func(k *known) { k.status, k.ended = statusIndex(status), at })
	switch status {
	case operation.Succeeded:
		p.tally.Succeeded++
	case operation.Rejected:
		p.tally.Rejected++
	case operation.Cancelled:
		p.tally.Cancelled++
	case operation.Pending, operation.Executing, operation.Failed:
	}
	p.tally.Live--
}

// adoptRecord takes over what the record of an operation says that was taken before
// what could be read.
func (p *partition) adoptRecord(r *liveRecord) {
	if r.status.Terminal() {
		if f := p.lives[r.id]; f != nil {
			delete(p.lives, r.id)
			p.lane(f.entity).leave(f)
		}
		return
	}
	f := p.lives[r.id]
	if f == nil {
		f = p.stranger(r.id)
	}
	f.follow(r)
	l := p.lane(r.target)
	l.leave(f)
	switch r.role {
	case operation.HolderRole:
		l.holder = f
	case operation.NextRole:
		l.next = f
	case operation.CarriedRole:
		l.carried = append(l.carried, f)
		l.contest, l.counted = r.contest, true
	}
}

// follow takes over all that a record says.
func (f *life) follow(r *liveRecord) {
	f.entity, f.sequence, f.digest = r.target, r.sequence, r.digest
	f.own, f.effective, f.depth, f.created = r.own, r.effective, r.depth, r.created
	f.window, f.status, f.role, f.recorded = r.window, r.status, r.role, true
	f.attempt, f.attemptAt, f.due, f.retries, f.maxRetries, f.losses = r.attempt, r.attemptAt, r.due, r.retries, r.maxRetries, r.losses
}
