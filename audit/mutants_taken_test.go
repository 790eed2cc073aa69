package audit

import "strings"

// What windows take.
var takenMutants = []mutant{
	{name: "windows overlap by one", wants: []Invariant{Tiling}, forge: func(f *forge) {
		l := f.line("window", `"previous":`, `"taken"`)
		l.edit(f.tb, func(doc map[string]any) { doc["after"] = 0 })
	}},
	{name: "an operation is taken again", wants: []Invariant{Idempotence, Tiling}, more: true, forge: func(f *forge) {
		l := f.line("window", `"taken"`)
		f.behind(l, "window", `"taken"`, `"partition":`+f.get(l, "partition")+`,`).edit(f.tb, func(doc map[string]any) {
			l.edit(f.tb, func(first map[string]any) {
				doc["taken"] = append(first["taken"].([]any), doc["taken"].([]any)...)
			})
		})
	}},
	{name: "an operation is passed over", wants: []Invariant{Tiling}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.mate(l, "window", f.get(l, "data.op_id")).edit(f.tb, func(doc map[string]any) { doc["taken"] = doc["taken"].([]any)[:1] })
	}},
	{name: "a window is numbered twice", wants: []Invariant{Tiling}, more: true, forge: func(f *forge) {
		l := f.behind(f.line("window", `"previous":`), "window", `"previous":`)
		f.replace(l, f.get(l, "id"), f.get(l, "partition")+"-1")
		f.set(l, "number", 1)
	}},
	{name: "a window takes what nobody submitted", wants: []Invariant{NoGhost}, more: true, forge: func(f *forge) {
		l := f.line("window", `"taken"`)
		for i, m := range f.input {
			if itoa(m.Sequence) == f.get(l, "taken.sequence") {
				f.input[i].Subject = strings.Replace(m.Subject, "hierarchy.partition.", "hierarchy.partition.9", 1)
			}
		}
	}},
	{name: "other content was taken", wants: []Invariant{NoGhost}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"lost_conflict"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["digest"] = "0123456789abcdef" })
	}},
	{name: "duplicates are recognised by their id alone", wants: []Invariant{Idempotence}, more: true, forge: func(f *forge) {
		l := f.line("window", `"op_id_conflict"`)
		l.edit(f.tb, func(doc map[string]any) {
			for _, t := range doc["taken"].([]any) {
				if t := t.(map[string]any); t["fate"] == "dead" {
					t["fate"] = "duplicate"
					delete(t, "reason")
				}
			}
		})
		f.remove(f.mate(l, "dead"))
	}},
	{name: "a duplicate of nothing", wants: []Invariant{Idempotence}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) {
			t["fate"] = "duplicate"
			delete(t, "status")
			delete(t, "reason")
		})
		f.remove(l)
	}},
	{name: "a duplicate has an outcome of its own", wants: []Invariant{Idempotence}, more: true, forge: func(f *forge) {
		f.line("window", `"duplicate"`).edit(f.tb, func(doc map[string]any) {
			for _, t := range doc["taken"].([]any) {
				if t := t.(map[string]any); t["fate"] == "duplicate" {
					t["fate"], t["status"] = "contended", "succeeded"
				}
			}
		})
	}},
	{name: "the same operation is taken for another", wants: []Invariant{Idempotence, DeadLetters}, more: true, forge: func(f *forge) {
		f.line("window", `"duplicate"`).edit(f.tb, func(doc map[string]any) {
			for _, t := range doc["taken"].([]any) {
				if t := t.(map[string]any); t["fate"] == "duplicate" {
					t["fate"], t["reason"] = "dead", "op_id_conflict"
				}
			}
		})
	}},
	{name: "an id is taken that nobody has", wants: []Invariant{Idempotence, DeadLetters}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"], t["reason"] = "dead", "op_id_conflict" })
	}},
	{name: "a dead letter is missing", wants: []Invariant{DeadLetters}, forge: func(f *forge) {
		f.remove(f.line("dead"))
	}},
	{name: "a dead letter is another's", wants: []Invariant{DeadLetters}, forge: func(f *forge) {
		f.line("dead", "what is this").Data = "this is"
	}},
	{name: "a dead letter has another reason", wants: []Invariant{DeadLetters}, forge: func(f *forge) {
		f.line("dead", "what is this").Header[headerDeadReason] = "op_id_conflict: no"
	}},
	{name: "a dead letter of nothing", wants: []Invariant{DeadLetters}, forge: func(f *forge) {
		f.insert(f.line("dead"), f.line("dead")).Header[headerDeadSequence] = "1"
	}},
	{name: "what can be attributed is a dead letter", wants: []Invariant{DeadLetters}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"invalid"`)
		sequence := f.get(l, "data.sequence")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"] = "dead" })
		dead := f.insert(l, f.line("dead"))
		dead.Subject = "hierarchy.dead." + f.get(l, "data.partition")
		dead.Header[headerDeadSequence] = sequence
		for _, m := range f.input {
			if itoa(m.Sequence) == sequence {
				dead.Data = m.Data
			}
		}
		f.remove(l)
	}},
	{name: "a good operation is refused as invalid", wants: []Invariant{Refusals}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.set(l, "data.reason", "invalid")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["reason"] = "invalid" })
	}},
	{name: "a malformed operation is let in", wants: []Invariant{Refusals}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"invalid"`)
		f.set(l, "data.reason", "parent_cycle")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["reason"] = "parent_cycle" })
	}},
	{name: "an operation is taken for a cancellation", wants: []Invariant{Refusals}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"] = "cancelling" })
	}},
	{name: "an unknown fate", wants: []Invariant{Form}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"] = "forgotten" })
	}},
	{name: "the operations stream has a hole", wants: []Invariant{Atomicity, NoGhost}, forge: func(f *forge) {
		f.input = append(f.input[:20], f.input[21:]...)
	}},
	{name: "something strange in the operations stream", wants: []Invariant{Atomicity}, forge: func(f *forge) {
		last := *f.input[len(f.input)-1]
		last.Sequence++
		last.Subject = "hierarchy.notes"
		f.input = append(f.input, &last)
	}},
}
