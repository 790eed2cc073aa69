package audit

import (
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// effects changes entities as a completed event says, and holds it to the versions
// that were stored and to what its type may do (invariants I7, I9 and I21).
func (k *walk) effects(s *stored) {
	e := s.event
	builtin := slices.Contains(operation.BuiltinTypes(), e.opType)
	var changed []uuid.UUID
	made := 0
	for _, c := range e.changes {
		if !slices.Contains(changed, c.entity) {
			changed = append(changed, c.entity)
			k.a.change(c.entity, e.op, builtin)
			k.a.latestChange[c.entity] = e
		}
		if c.version > 0 {
			made++
			k.versioned(s, c)
		}
	}
	if builtin {
		k.account(s, made)
	}
	k.after(s, builtin, slices.Contains(changed, e.entity))
	if builtin {
		return
	}
	for _, id := range changed {
		if id != e.entity {
			k.a.entities[id].sure = false // how far a system of the user's moves it is its own affair
		}
	}
}

// versioned wants a version to be stored for a change that says so.
func (k *walk) versioned(s *stored, c effect) {
	e := k.a.entity(c.entity)
	key := versionKey{c.entity, c.version}
	v := k.versions[key]
	switch {
	case v == nil:
		k.complain(Agreement, s, s.event.op, "completed: it says that it made version %d of entity %s, and the commit has none (R20)", c.version, c.entity)
		return
	case v.version.op != s.event.op || v.version.id != c.entity || v.version.count != c.version:
		k.complain(Agreement, v, s.event.op, "version %d of entity %s says it is %s's, version %d of entity %s", c.version, c.entity, v.version.op, v.version.count, v.version.id)
	}
	if field, told, have := s.event.contradicted(c.entity, v.version.components); field != "" {
		k.complain(Agreement, v, s.event.op, "version %d of entity %s has %s in field %s, and the event says %s (R20)", c.version, c.entity, have, field, told)
	}
	delete(k.versions, key)
	k.a.report.Counts.Versions++
	k.p.tally.Versions++
	if e.sure || e.versions > 0 {
		k.a.judgeNumber(e, v)
	}
	if e.sure && v.version.revision != e.revision && slices.Contains(operation.BuiltinTypes(), s.event.opType) {
		k.complain(Versions, v, s.event.op, "version %d of entity %s is of revision %d, by the events it is %d", c.version, c.entity, v.version.revision, e.revision)
	}
	e.versions = c.version
}

// account wants an operation to have made as many versions as its type does
// (invariant I21).
func (k *walk) account(s *stored, made int) {
	least, most := 0, 0
	switch e := s.event; e.opType {
	case operation.VersionEntity, operation.ComplexUpdate, operation.DeleteEntity:
		least, most = 1, 1
	case operation.CreateEntity:
		most = 1
	case operation.AttachEntity:
		least, most = 2, 2
	case operation.PromoteToRoot, operation.DetachEntity:
		most = 2
	case operation.ModifyField, operation.BorrowAttribute:
	}
	if made < least || made > most {
		k.complain(Accounting, s, s.event.op, "completed: %s made %d versions, not %d to %d", s.event.opType, made, least, most)
	}
}

// after holds what the event says of the target to the model.
func (k *walk) after(s *stored, builtin, changed bool) {
	e := s.event
	t, known := k.a.entities[e.entity]
	if !known {
		if e.revision != 0 && k.a.whole {
			k.complain(Versions, s, e.op, "completed: it found revision %d of an entity that does not exist", e.revision)
		}
		return
	}
	before := t.revision
	if builtin && changed {
		before--
	}
	switch {
	case builtin && t.sure && (e.revision != t.revision || e.version != t.versions):
		k.complain(Versions, s, e.op, "completed: it leaves the entity at revision %d, version %d; by the events before it is revision %d, version %d",
			e.revision, e.version, t.revision, t.versions)
	case e.revision < t.revision || !builtin && t.sure && changed && e.revision <= before || e.version < t.versions:
		k.complain(Versions, s, e.op, "completed: it leaves the entity at revision %d, version %d; it was at revision %d, version %d before",
			e.revision, e.version, before, t.versions)
	}
	t.revision, t.versions = e.revision, e.version
	t.sure = t.sure || changed || builtin
}
