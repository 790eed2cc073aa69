package audit

import (
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// entity is the model of an entity. There may be millions: it is kept small.
type entity struct {
	revision uint64
	versions uint64
	from     uint64    // the sequence of its head lies from here,
	span     uint32    // within so many after it; 0 if the audit does not know
	sure     bool      // revision and versions are those of the head, not just at least
	unborn   bool      // it has no head yet
	changed  bool      // by the commit at hand
	last     uuid.UUID // operation that changed it last
}

// entity returns the model of an entity, which begins empty.
func (a *auditor) entity(id uuid.UUID) *entity {
	e := a.entities[id]
	if e == nil {
		e = &entity{sure: a.whole, unborn: a.whole}
		a.entities[id] = e
	}
	return e
}

// learnVersion learns from a version in a commit of which the rest may be gone.
// Versions are not removed, so that there may be no gap all the same.
func (a *auditor) learnVersion(s *stored) {
	v := s.version
	e, known := a.entities[v.entity]
	if !known {
		e = a.entity(v.entity)
	}
	if known || a.o.Since == (Start{}) {
		a.judgeNumber(e, s)
	}
	*e = entity{versions: v.number, revision: max(e.revision, v.revision)}
}

// judgeNumber wants versions to be numbered in order (invariant I7).
func (a *auditor) judgeNumber(e *entity, s *stored) {
	if v := s.version; v.number != e.versions+1 {
		a.complain(Versions, spot{partition: nowhere, sequences: []uint64{s.sequence}, entity: v.entity, op: v.op},
			"version %d follows version %d", v.number, e.versions)
	}
}

func (a *auditor) learnHead(s *stored) {
	h := s.head
	e := a.entity(h.id)
	*e = entity{versions: h.versions, revision: h.revision, sure: true, from: s.sequence, span: 1, last: h.latest()}
}

// latest returns the operation that changed the head last.
func (h *head) latest() uuid.UUID {
	if len(h.history) == 0 {
		return uuid.Nil
	}
	return h.history[len(h.history)-1].op
}

// change lets a completed operation change an entity: one revision further, and as
// many versions as it says.
func (a *auditor) change(id, op uuid.UUID, builtin bool) *entity {
	e := a.entity(id)
	if e.revision == 0 && !a.whole {
		e.sure = false
	}
	if builtin {
		e.revision++
	}
	e.last, e.changed = op, true
	a.unseen[id] = true
	return e
}

// judgeHead holds a head to what events have told of the entity (invariants I7 to
// I9). What it must show is the state at the end of its commit.
func (a *auditor) judgeHead(s *stored) {
	h := s.head
	e := a.entity(h.id)
	at := spot{partition: nowhere, sequences: []uint64{s.sequence}, entity: h.id, op: h.latest()}
	a.judgeHeadCondition(e, s, at)
	switch {
	case !e.changed:
		a.complain(Agreement, at, "its head was written by a commit in which no event tells of a change (R20)")
	case e.last != h.latest():
		a.complain(Agreement, at, "its head was changed last by %s, by the events it is %s (R20)", h.latest(), e.last)
	case e.sure && (e.revision != h.revision || e.versions != h.versions):
		a.complain(Versions, at, "its head has revision %d and %d versions, by the events it is revision %d and %d versions", h.revision, h.versions, e.revision, e.versions)
	case e.revision > h.revision || e.versions > h.versions:
		a.complain(Versions, at, "its head has revision %d and %d versions, less than revision %d and %d versions before", h.revision, h.versions, e.revision, e.versions)
	}
	a.judgeValues(h, at)
	a.judgeHistory(h, at)
	a.judgeLenders(h, at)
	e.revision, e.versions, e.sure = h.revision, h.versions, true
	e.from, e.span, e.changed, e.unborn = s.sequence, 1, false, false
	delete(a.unseen, h.id)
}

// judgeHeadCondition wants a head to have been written on condition that the one
// before was still there (invariant I8).
func (a *auditor) judgeHeadCondition(e *entity, s *stored, at spot) {
	switch {
	case !s.expects || s.on != "":
		a.complain(Conditions, at, "its head was written without a condition: another worker could have changed it meanwhile (R18)")
	case !e.at(s.expected):
		a.complain(Conditions, at, "its head replaces one at %d, and the one before lies at %s (R18)", s.expected, e.place())
	}
}

// at reports whether the entity's head may lie at a sequence.
func (e *entity) at(sequence uint64) bool {
	switch {
	case e.span > 0:
		return e.from <= sequence && sequence < e.from+uint64(e.span)
	case e.unborn:
		return sequence == 0
	}
	return true
}

func (e *entity) place() string {
	switch {
	case e.span == 1:
		return itoa(e.from)
	case e.span > 1:
		return itoa(e.from) + " to " + itoa(e.from+uint64(e.span)-1)
	}
	return "none"
}

// judgeValues wants the fields of a head to be what the latest event about it says.
func (a *auditor) judgeValues(h *head, at spot) {
	e := a.latestChange[h.id]
	if e == nil {
		return
	}
	if field, told, have := e.contradicted(h.id, h.components); field != "" {
		a.complain(Agreement, at, "its head has %s in field %s, and the event says %s (R20)", have, field, told)
	}
}

// judgeHistory wants a head's history to end with its revision and to have no entry
// of an operation that did not succeed.
func (a *auditor) judgeHistory(h *head, at spot) {
	for i := range h.history {
		m := &h.history[i]
		if i > 0 && m.revision <= h.history[i-1].revision || i == len(h.history)-1 && m.revision != h.revision {
			a.complain(Versions, at, "its history has revision %d in place %d of %d, and the head is of revision %d", m.revision, i+1, len(h.history), h.revision)
			return
		}
		if a.whole && i >= len(h.history)-checkedHistory && !a.succeeded(m.op) {
			at.op = m.op
			a.complain(Agreement, at, "its history has revision %d by operation %s, which has not succeeded (R5, R20)", m.revision, m.op)
			return
		}
	}
}

// checkedHistory is how many of the latest entries of a history are looked up.
const checkedHistory = 4

// succeeded reports whether an operation has succeeded, or may have: it is too old
// to be remembered.
func (a *auditor) succeeded(op uuid.UUID) bool {
	for _, p := range a.parts {
		if k, ok := p.ledger.find(op); ok && k.state() == operation.Succeeded {
			return true
		}
	}
	for _, p := range a.parts {
		if p.ledger.older != nil {
			return true
		}
	}
	return false
}

// judgeLenders wants what was borrowed to come from what has existed (invariant I20).
func (a *auditor) judgeLenders(h *head, at spot) {
	for _, l := range h.lenders {
		source, ok := a.entities[l.entity]
		switch {
		case !ok && a.whole:
			a.complain(Borrowing, at, "a field of it was borrowed from entity %s, which has never existed", l.entity)
		case ok && source.sure && (l.revision > source.revision || l.version > source.versions):
			a.complain(Borrowing, at, "a field of it was borrowed from revision %d, version %d of entity %s, which has come to revision %d, version %d",
				l.revision, l.version, l.entity, source.revision, source.versions)
		}
	}
}

// settleEntities notes where the heads lie that a commit has written and that are
// not there any more.
func (a *auditor) settleEntities(c *commit) {
	clear(a.latestChange)
	for _, p := range c.parts {
		for _, s := range p.events {
			for _, change := range s.event.changes {
				e := a.entities[change.entity]
				if e == nil || !e.changed {
					continue
				}
				e.changed, e.unborn = false, false
				e.from = c.first + uint64(len(c.parts))
				e.span = uint32(min(max(c.inner, e.from+1)-e.from, 1<<20)) //nolint:gosec // it is bounded
			}
		}
	}
}

// judgeChecks holds the conditions on entities that a commit only read (invariant I8).
func (a *auditor) judgeChecks(c *commit) {
	prefix := a.o.Space.Prefix() + ".state."
	check := func(s *stored) {
		if !s.expects || s.on == "" {
			return
		}
		if len(s.on) != len(prefix)+36 || s.on[:len(prefix)] != prefix {
			a.complain(Conditions, spot{partition: s.partition, sequences: []uint64{s.sequence}}, "its condition is on %s, which is no head", s.on)
			return
		}
		id, err := uuid.Parse(s.on[len(prefix):])
		if e, ok := a.entities[id]; err == nil && ok && !e.at(s.expected) && !e.changed {
			a.complain(Conditions, spot{partition: s.partition, sequences: []uint64{s.sequence}, entity: id},
				"the commit has read its head at %d, and it lies at %s (R18)", s.expected, e.place())
		}
	}
	for _, list := range [][]*stored{c.fences, c.heads, c.checks} {
		for _, s := range list {
			check(s)
		}
	}
	for _, p := range c.parts {
		for _, list := range [][]*stored{p.records, p.versions, p.events, p.dead, p.windows} {
			for _, s := range list {
				check(s)
			}
		}
	}
}
