package ecsstore

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// model is what systems are about, put as simply as can be: a forest of names with
// a few counters each.
type model map[string]*modelEntity

type modelEntity struct {
	place                       Place
	parent                      string
	revision, versions, borrows int
	counter                     int // the component of that name
}

// done is the outcome of an operation that succeeds.
const done operation.Reason = ""

func (m model) children(name string) (n int) {
	for _, e := range m {
		if e.place == Child && e.parent == name {
			n++
		}
	}
	return n
}

// inside reports whether name is top or below it.
func (m model) inside(name, top string) bool {
	for name != top {
		e := m[name]
		if e == nil || e.place != Child {
			return false
		}
		name = e.parent
	}
	return true
}

// live says why an entity cannot be used, if it cannot.
func (m model) live(name string, absent operation.Reason) operation.Reason {
	switch e := m[name]; {
	case e == nil:
		return absent
	case e.place == Deleted:
		return operation.EntityDeleted
	}
	return done
}

func (m model) create(name string, place Place, parent string) operation.Reason {
	if e := m[name]; e != nil {
		if e.place == Deleted {
			return operation.EntityDeleted
		}
		return operation.AlreadyExists
	}
	e := &modelEntity{place: place, revision: 1, versions: 1}
	if place == Orphan {
		e.versions = 0
	}
	if place == Child {
		if reason := m.adopts(name, parent); reason != done {
			return reason
		}
		m[parent].revision++
		e.parent = parent
	}
	m[name] = e
	return done
}

func (m model) adopts(child, parent string) operation.Reason {
	if reason := m.live(parent, operation.ParentMissing); reason != done {
		return reason
	}
	if m[parent].place == Orphan {
		return operation.OrphanEntity
	}
	if m.inside(parent, child) {
		return operation.TreeCycle
	}
	return done
}

// snapshot is one more revision and version, refused of an orphan.
func (m model) snapshot(name string, add int) operation.Reason {
	if reason := m.live(name, operation.TargetNotFound); reason != done {
		return reason
	}
	e := m[name]
	if e.place == Orphan {
		return operation.OrphanEntity
	}
	e.revision++
	e.versions++
	e.counter += add
	return done
}

func (m model) modify(name string, counter int) operation.Reason {
	reason := m.live(name, operation.TargetNotFound)
	if reason == done {
		m[name].revision++
		m[name].counter = counter
	}
	return reason
}

func (m model) borrow(name, source string) operation.Reason {
	if reason := m.live(name, operation.TargetNotFound); reason != done {
		return reason
	}
	reason := m.live(source, operation.SourceNotFound)
	if reason == done {
		m[name].revision++
		m[name].borrows++
		m[name].counter = m[source].counter
	}
	return reason
}

// leave makes a root of a child, and of an orphan if it may.
func (m model) leave(name string, orphans bool) operation.Reason {
	if reason := m.live(name, operation.TargetNotFound); reason != done {
		return reason
	}
	e := m[name]
	switch {
	case e.place == Child:
		m[e.parent].revision++
		m[e.parent].versions++
	case e.place != Orphan || !orphans:
		return done
	}
	e.place, e.parent = Root, ""
	e.revision++
	e.versions++
	return done
}

func (m model) attach(name, parent string) operation.Reason {
	if reason := m.live(name, operation.TargetNotFound); reason != done {
		return reason
	}
	e := m[name]
	if e.place != Root {
		return operation.NotARoot
	}
	if reason := m.adopts(name, parent); reason != done {
		return reason
	}
	e.place, e.parent = Child, parent
	for _, changed := range []*modelEntity{e, m[parent]} {
		changed.revision++
		changed.versions++
	}
	return done
}

func (m model) remove(name string) operation.Reason {
	if reason := m.live(name, operation.TargetNotFound); reason != done {
		return reason
	}
	if m.children(name) > 0 {
		return operation.HasChildren
	}
	e := m[name]
	if e.place == Child {
		m[e.parent].revision++
	}
	e.place, e.parent = Deleted, ""
	e.revision++
	e.versions++
	return done
}

// machine runs operations against a world and the model, several in one transaction,
// some of which are taken back.
type machine struct {
	world *world
	model model
	tx    *Txn
}

var modelNames = []string{"a", "b", "c", "d", "e", "f", "g"}

func drawName(rt *rapid.T) string { return rapid.SampledFrom(modelNames).Draw(rt, "name") }

// try runs an operation and compares the outcome to what the model says of it.
func (m *machine) try(rt *rapid.T, want operation.Reason, o *operation.Operation) {
	_, err := m.tx.Execute(Builtin()[o.Type], m.world.execution(o))
	got := done
	if f, ok := errors.AsType[*operation.Failure](err); ok {
		got = f.Reason
	}
	if got != want || (err == nil) != (want == done) {
		rt.Fatalf("%s: %v, the model says %q", o.Type, err, want)
	}
}

func (m *machine) actions() map[string]func(*rapid.T) {
	op := m.world.operation
	return map[string]func(*rapid.T){
		"create": func(rt *rapid.T) {
			name, parent := drawName(rt), drawName(rt)
			place := rapid.SampledFrom([]Place{Root, Child, Orphan}).Draw(rt, "place")
			params := map[Place]string{
				Root:   `{"type":"x","components":{"counter":0}}`,
				Orphan: `{"type":"x","components":{"counter":0},"orphan":true}`,
				Child:  fmt.Sprintf(`{"type":"x","components":{"counter":0},"parent_id":%q}`, operation.EntityID(parent)),
			}
			m.try(rt, m.model.create(name, place, parent), op(operation.CreateEntity, name, params[place]))
		},
		"version": func(rt *rapid.T) {
			name := drawName(rt)
			m.try(rt, m.model.snapshot(name, 0), op(operation.VersionEntity, name, ""))
		},
		"update": func(rt *rapid.T) {
			name, n := drawName(rt), rapid.IntRange(-5, 5).Draw(rt, "add")
			m.try(rt, m.model.snapshot(name, n), op(operation.ComplexUpdate, name, fmt.Sprintf(`{"add":{"counter":%d}}`, n)))
		},
		"modify": func(rt *rapid.T) {
			name, n := drawName(rt), int(rapid.Int32().Draw(rt, "value"))
			m.try(rt, m.model.modify(name, n), op(operation.ModifyField, name, fmt.Sprintf(`{"field":"counter","value":%d}`, n)))
		},
		"borrow": func(rt *rapid.T) {
			name, source := drawName(rt), drawName(rt)
			o := op(operation.BorrowAttribute, name, `{"source_field":"counter","target_field":"counter"}`)
			o.Source = operation.EntityID(source)
			m.try(rt, m.model.borrow(name, source), o)
		},
		"promote": func(rt *rapid.T) {
			name := drawName(rt)
			m.try(rt, m.model.leave(name, true), op(operation.PromoteToRoot, name, ""))
		},
		"detach": func(rt *rapid.T) {
			name := drawName(rt)
			m.try(rt, m.model.leave(name, false), op(operation.DetachEntity, name, ""))
		},
		"attach": func(rt *rapid.T) {
			name, parent := drawName(rt), drawName(rt)
			m.try(rt, m.model.attach(name, parent), op(operation.AttachEntity, name, under(parent)))
		},
		"delete": func(rt *rapid.T) {
			name := drawName(rt)
			m.try(rt, m.model.remove(name), op(operation.DeleteEntity, name, ""))
		},
		"commit": func(*rapid.T) {
			m.world.commit(m.tx)
			m.tx = NewTxn(m.world.load)
		},
		"rollback": m.rollback,
	}
}

// rollback runs operations that the model does not hear of and takes them back.
func (m *machine) rollback(rt *rapid.T) {
	before, mark := view(m.tx), m.tx.Mark()
	for range rapid.IntRange(1, 4).Draw(rt, "operations") {
		name := drawName(rt)
		kind := rapid.SampledFrom([]operation.Type{
			operation.CreateEntity, operation.VersionEntity, operation.PromoteToRoot, operation.DeleteEntity,
		}).Draw(rt, "type")
		params := ""
		if kind == operation.CreateEntity {
			params = below(drawName(rt))
		}
		o := m.world.operation(kind, name, params)
		_, err := m.tx.Execute(Builtin()[kind], m.world.execution(o))
		if _, ok := errors.AsType[*operation.Failure](err); err != nil && !ok {
			rt.Fatalf("%s: %v", kind, err)
		}
	}
	m.tx.Rollback(mark)
	if after := view(m.tx); after != before {
		rt.Fatalf("the rollback leaves\n%s, want\n%s", after, before)
	}
}

// agree compares each head, as the transaction sees it, to the model.
func (m *machine) agree(rt *rapid.T) {
	for _, name := range modelNames {
		e, err := m.tx.Entity(operation.EntityID(name))
		if err != nil {
			rt.Fatal(err)
		}
		want := m.model[name]
		if (e == nil) != (want == nil) {
			rt.Fatalf("entity %s: %+v, the model has %+v", name, e, want)
		}
		if e == nil {
			continue
		}
		got := modelEntity{
			place: e.Place, revision: int(e.Revision), versions: int(e.VersionCount), borrows: int(e.BorrowCount),
			parent: want.parent, counter: want.counter,
		}
		if got != *want {
			rt.Fatalf("entity %s: %+v, the model has %+v", name, got, *want)
		}
		if want.place == Child && e.Parent != operation.EntityID(want.parent) || len(e.Children) != m.model.children(name) {
			rt.Fatalf("entity %s is below %s with %d children, the model has it below %s", name, e.Parent, len(e.Children), want.parent)
		}
		if counter := e.Components["counter"]; want.place != Deleted && fmt.Sprint(counter) != fmt.Sprint(want.counter) {
			rt.Fatalf("entity %s counts %v, the model %d", name, counter, want.counter)
		}
	}
}

func TestSystemsAgreeWithAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		m := &machine{world: w, model: model{}, tx: NewTxn(w.load)}
		actions := m.actions()
		actions[""] = m.agree
		rt.Repeat(actions)
		w.commit(m.tx)
		w.check()
		if t.Failed() {
			rt.FailNow()
		}
	})
}
