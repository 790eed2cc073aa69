package audit

import "strings"

// What becomes of entities.
var entityMutants = []mutant{
	{name: "an update is lost", wants: []Invariant{Versions}, more: true, forge: func(f *forge) {
		l := f.line("events.completed", `"revision":3`)
		f.set(l, "data.revision", 2)
	}},
	{name: "a version is missing", wants: []Invariant{Agreement, Versions, Conservation}, forge: func(f *forge) {
		f.remove(f.line("version"))
	}},
	{name: "a version is there twice", wants: []Invariant{Agreement}, more: true, forge: func(f *forge) {
		l := f.line("version")
		f.insert(f.line("events.conflict"), l)
	}},
	{name: "a version number is left out", wants: []Invariant{Versions}, more: true, forge: func(f *forge) {
		l := f.line("version", `"version":2`)
		entity := f.get(l, "entity")
		l.Subject = strings.TrimSuffix(l.Subject, "2") + "3"
		f.replace(l, `"version":2`, `"version":3`)
		f.replace(l, `"version_count":2`, `"version_count":3`)
		done := f.mate(l, "events.completed", entity)
		f.replace(done, `"version":2`, `"version":3`)
		f.replace(f.mate(l, "state", entity), `"version_count":2`, `"version_count":3`)
	}},
	{name: "a version is another operation's", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("version"), "op_id", newID())
	}},
	{name: "a version says another number", wants: []Invariant{Form}, more: true, forge: func(f *forge) {
		f.set(f.line("version"), "version", 9)
	}},
	{name: "a version is of another revision", wants: []Invariant{Versions}, forge: func(f *forge) {
		f.set(f.line("version"), "head.revision", 9)
	}},
	{name: "a field is modified and a version made", wants: []Invariant{Accounting}, more: true, forge: func(f *forge) {
		l := f.line("events.completed", `"version_entity"`)
		f.replace(l, `"version_entity"`, `"modify_field"`)
	}},
	{name: "a version is not made", wants: []Invariant{Accounting}, more: true, forge: func(f *forge) {
		l := f.line("events.completed", `"complex_update"`)
		f.remove(f.mate(l, "version", f.get(l, "data.op_id")))
		l.edit(f.tb, func(doc map[string]any) {
			for _, c := range doc["data"].(map[string]any)["changes"].([]any) {
				delete(c.(map[string]any), "version")
			}
		})
	}},
	{name: "a head is written without an event", wants: []Invariant{Agreement}, more: true, forge: func(f *forge) {
		l := f.line("state", `"revision":2`)
		forged := f.insert(l, l)
		f.replace(forged, f.get(l, "id"), newID())
		forged.Subject = "hierarchy.state." + f.get(forged, "id")
	}},
	{name: "an event tells of a head that was not written", wants: []Invariant{Agreement}, forge: func(f *forge) {
		var last *line
		for _, l := range f.store {
			if l.kind() == "state" {
				last = l
			}
		}
		f.remove(last)
	}},
	{name: "a head was changed by a loser", wants: []Invariant{Agreement}, more: true, forge: func(f *forge) {
		winner := f.line("events.conflict")
		loser := f.mate(winner, "events.rejected", f.get(winner, "data.op_id"))
		f.replace(f.mate(winner, "state", f.get(winner, "subject")), f.get(winner, "data.op_id"), f.get(loser, "data.op_id"))
	}},
	{name: "a head has another value than the event says", wants: []Invariant{Agreement}, forge: func(f *forge) {
		done := f.line("events.completed", `"action":"set"`)
		f.set(f.mate(done, "state", f.get(done, "subject")), "components.counter", 99)
	}},
	{name: "a version has another value than the event says", wants: []Invariant{Agreement}, forge: func(f *forge) {
		done := f.line("events.completed", `"action":"added"`)
		f.set(f.mate(done, "version", f.get(done, "data.op_id")), "head.components.counter", 99)
	}},
	{name: "a head forgets a revision", wants: []Invariant{Versions}, more: true, forge: func(f *forge) {
		f.replace(f.line("state", `"revision":3`), `"revision":3`, `"revision":2`)
	}},
	{name: "a head counts another number of versions", wants: []Invariant{Versions}, more: true, forge: func(f *forge) {
		f.set(f.line("state", `"revision":2`), "version_count", 7)
	}},
	{name: "a history is out of order", wants: []Invariant{Versions}, forge: func(f *forge) {
		f.set(f.line("state", `"revision":3`), "modification_history.revision", 5)
	}},
	{name: "a field is borrowed from the future", wants: []Invariant{Borrowing}, more: true, forge: func(f *forge) {
		f.line("state", `"attribute_sources":{`).edit(f.tb, func(doc map[string]any) {
			for _, s := range doc["attribute_sources"].(map[string]any) {
				s.(map[string]any)["revision"] = 99
			}
		})
	}},
	{name: "a field is borrowed from nobody", wants: []Invariant{Borrowing}, more: true, forge: func(f *forge) {
		f.line("state", `"attribute_sources":{`).edit(f.tb, func(doc map[string]any) {
			for _, s := range doc["attribute_sources"].(map[string]any) {
				s.(map[string]any)["entity"] = newID()
			}
		})
	}},
	{name: "a result is told of an entity that does not exist", wants: []Invariant{Versions}, more: true, forge: func(f *forge) {
		l := f.line("events.completed", `"promote_to_root"`)
		f.replace(l, f.get(l, "subject"), newID())
		l.Subject = "hierarchy.events.completed." + f.get(l, "subject")
	}},
}
