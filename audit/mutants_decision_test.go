package audit

import (
	"maps"
	"slices"
	"strings"
)

// swap makes the second contender the first in all but its verdict: each takes the
// other's.
func swap(contenders []any) []any {
	first, second := contenders[0].(map[string]any), contenders[1].(map[string]any)
	for _, key := range []string{"verdict", "reason", "separator"} {
		first[key], second[key] = second[key], first[key]
		for _, c := range []map[string]any{first, second} {
			if c[key] == nil {
				delete(c, key)
			}
		}
	}
	contenders[0], contenders[1] = second, first
	return contenders
}

// firsts edits the first contender.
func firsts(key string, value any) func([]any) []any {
	return func(contenders []any) []any {
		contenders[0].(map[string]any)[key] = value
		return contenders
	}
}

// lasts edits the last contender.
func lasts(key string, value any) func([]any) []any {
	return func(contenders []any) []any {
		contenders[len(contenders)-1].(map[string]any)[key] = value
		return contenders
	}
}

// What windows decide.
var decisionMutants = []mutant{
	{name: "the tie-break is reversed", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"created_at"`), swap)
	}},
	{name: "the lower priority wins", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), swap)
	}},
	{name: "a child wins over its parent", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"parent"`), swap)
	}},
	{name: "created_at is not clamped", wants: []Invariant{RightWinner}, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"created_at"`), firsts("created_at", "1999-12-31T23:00:00Z"))
	}},
	{name: "another comparison is named", wants: []Invariant{RightWinner}, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), lasts("separator", "sequence"))
	}},
	{name: "two win", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), lasts("verdict", "wins"))
	}},
	{name: "nobody wins", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), firsts("verdict", "loses"))
	}},
	{name: "a contender is left out", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), func(cs []any) []any { return cs[:len(cs)-1] })
	}},
	{name: "a contender is there twice", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), func(cs []any) []any { return append(cs, cs[len(cs)-1]) })
	}},
	{name: "a contender nobody submitted", wants: []Invariant{NoGhost}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), lasts("op_id", newID()))
	}},
	{name: "a contender of another entity", wants: []Invariant{Agreement, OneWinner}, more: true, forge: func(f *forge) {
		later := f.get(f.behind(f.line("events.conflict"), "events.conflict"), "data.contenders.op_id")
		f.decision(f.line("events.conflict"), lasts("op_id", later))
	}},
	{name: "a conflict is not told", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.remove(f.line("events.conflict"))
	}},
	{name: "a conflict is told that was not decided", wants: []Invariant{Agreement}, forge: func(f *forge) {
		l := f.line("events.conflict")
		f.insert(l, l)
	}},
	{name: "a conflict is told otherwise", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.conflict"), "data.contenders.losses", 3)
	}},
	{name: "a loser is told another winner", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"lost_conflict"`), "data.winner_op_id", newID())
	}},
	{name: "a loser is told another priority", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"lost_conflict"`), "data.winner_priority", "low")
	}},
	{name: "a loser is told another window", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"lost_conflict"`), "data.window", "0-1")
	}},
	{name: "an operation loses without a decision", wants: []Invariant{Agreement}, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.set(l, "data.reason", "lost_conflict")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["reason"] = "lost_conflict" })
	}},
	{name: "the holder is overlooked", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.line("window", `"holder":{`).edit(f.tb, func(doc map[string]any) {
			delete(doc["decisions"].([]any)[0].(map[string]any), "holder")
		})
	}},
	{name: "another is the holder", wants: []Invariant{OneWinner}, forge: func(f *forge) {
		f.set(f.line("window", `"holder":{`), "decisions.holder.op_id", newID())
	}},
	{name: "a creation goes ahead of a holder that misses nothing", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.line("window", `"missing":true`, `"creates":true`).edit(f.tb, func(doc map[string]any) {
			delete(doc["decisions"].([]any)[0].(map[string]any)["holder"].(map[string]any), "missing")
		})
	}},
	{name: "a holder is said to miss the entity, and waits for something else", wants: []Invariant{OneWinner}, forge: func(f *forge) {
		f.set(f.line("window", `"status":"pending","protected":true,"attempt_at"`), "decisions.holder.missing", true)
	}},
	{name: "the holder is taken for idle", wants: []Invariant{OneWinner, Grace}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"status":"executing"`, `"holder":{`), "decisions.holder.status", "pending")
	}},
	{name: "an operation that waits does not contend", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		l := f.line("window", `"holder":{`, `"verdict":"waits"`, `"verdict":"loses"`)
		entity := f.get(l, "decisions.entity")
		f.decision(f.mate(l, "events.conflict", entity), func(cs []any) []any { return slices.Delete(cs, 1, 2) })
	}},
	{name: "a holder is displaced within its grace period", wants: []Invariant{Grace}, forge: func(f *forge) {
		l := f.line("window", `"preempts":true`)
		holder := `"op_id":"` + f.get(l, "decisions.holder.op_id") + `"`
		before, at := f.get(l, "decisions.holder.attempt_at"), f.get(l, "closed")
		for _, l := range f.store {
			if !has(l, holder) {
				continue // others may have begun at the same time
			}
			if l.kind() == "events.started" {
				l.Data = strings.ReplaceAll(l.Data, `"time":"`+before, `"time":"`+at)
			}
			l.Data = strings.ReplaceAll(l.Data, `"attempt_at":"`+before, `"attempt_at":"`+at)
		}
	}},
	{name: "a holder is not displaced that may be", wants: []Invariant{Grace, OneWinner}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"preempts":true`), "decisions.preempts", false)
	}},
	{name: "a holder is displaced that executes", wants: []Invariant{Grace}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"holder":{`, `"status":"executing"`), "decisions.preempts", true)
	}},
	{name: "a holder counts as protected too long", wants: []Invariant{Grace}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"preempts":true`), "decisions.holder.protected", true)
	}},
	{name: "a priority from nowhere", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), func(cs []any) []any {
			return firsts("effective_priority", "critical")(firsts("priority", "normal")(cs))
		})
	}},
	{name: "the parent's priority is not inherited", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"inherited_from"`), func(cs []any) []any {
			c := cs[0].(map[string]any)
			c["effective_priority"] = c["priority"]
			delete(c, "inherited_from")
			return cs
		})
	}},
	{name: "the depth of parents is not limited", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_too_deep"`)
		id := f.get(l, "data.op_id")
		f.taken(l, id, func(t map[string]any) { t["fate"] = "contended" })
		f.decision(f.mate(l, "events.conflict"), func(cs []any) []any {
			c := maps.Clone(cs[len(cs)-1].(map[string]any))
			c["parent_op_id"], c["op_id"] = c["op_id"], id
			return append(cs, c)
		})
	}},
	{name: "a child of a dead parent contends", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		dead := f.line("events.rejected", `"expired"`, `"priority":"high"`)
		l := f.behind(dead, "events.rejected", `"parent_not_live"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"] = "contended" })
		f.set(f.mate(l, "window", f.get(l, "data.op_id")), "decisions", []any{map[string]any{
			"entity": f.get(l, "subject"), "contenders": []any{map[string]any{
				"op_id": f.get(l, "data.op_id"), "priority": "low", "effective_priority": "low", "verdict": "wins",
				"parent_op_id": f.get(dead, "data.op_id"), "created_at": f.get(f.mate(l, "window"), "closed"),
			}},
		}})
	}},
	{name: "a child of a live parent is rejected", wants: []Invariant{Refusals}, more: true, forge: func(f *forge) {
		l := f.line("events.conflict", `"separator":"parent"`)
		child := f.mate(l, "events.rejected", `"lost_conflict"`, `"normal"`)
		f.decision(l, func(cs []any) []any {
			return slices.DeleteFunc(cs, func(c any) bool { return c.(map[string]any)["op_id"] == f.get(child, "data.op_id") })
		})
		f.set(child, "data.reason", "parent_not_live")
		f.taken(l, f.get(child, "data.op_id"), func(t map[string]any) { t["fate"], t["reason"] = "refused", "parent_not_live" })
	}},
	{name: "a priority is below its own", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), firsts("priority", "critical"))
		f.decision(f.line("events.conflict", `"separator":"priority"`), firsts("effective_priority", "high"))
	}},
	{name: "somebody lends for nothing", wants: []Invariant{Inheritance}, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), firsts("inherited_from", newID()))
	}},
	{name: "a priority is inherited without a parent", wants: []Invariant{Inheritance}, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"inherited_from"`), func(cs []any) []any {
			delete(cs[0].(map[string]any), "parent_op_id")
			return cs
		})
	}},
	{name: "a child of another parent", wants: []Invariant{Inheritance}, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"inherited_from"`), firsts("parent_op_id", newID()))
	}},
	{name: "an operation is its own ancestor", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		l := f.line("events.conflict", `"inherited_from"`)
		for _, m := range f.input {
			if has(m, f.op(l)) {
				m.Data = strings.Replace(m.Data, `"parent_op_id":"`+f.get(l, "data.contenders.parent_op_id"), `"parent_op_id":"`+f.get(l, "data.op_id"), 1)
				m.Data = strings.ReplaceAll(m.Data, `"parent_target_entity_id":`, `"source_entity_id":`)
			}
		}
	}},
	{name: "the first is behind itself", wants: []Invariant{RightWinner}, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), firsts("separator", "sequence"))
	}},
	{name: "a loser loses for another reason", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), lasts("reason", "expired"))
	}},
	{name: "a decision about nobody", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"decisions"`), "decisions.contenders", []any{})
	}},
	{name: "on_loss is not what was asked for", wants: []Invariant{Agreement, RightWinner}, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), lasts("on_loss", "carry"))
	}},
	{name: "an operation has lost before it contended", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.decision(f.line("events.conflict"), firsts("losses", 2))
	}},
	{name: "the holder has begun at another time", wants: []Invariant{Grace}, forge: func(f *forge) {
		f.set(f.line("window", `"holder":{`, `"status":"executing"`), "decisions.holder.attempt_at", "2000-01-01T00:00:00Z")
	}},
	{name: "an operation contends that was refused", wants: []Invariant{Tiling}, more: true, forge: func(f *forge) {
		l := f.line("events.conflict")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["fate"] = "withdrawn" })
	}},
	{name: "a loser is carried that did not ask for it", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"separator":"priority"`), func(cs []any) []any {
			delete(cs[1].(map[string]any), "reason")
			cs[1].(map[string]any)["verdict"] = "carried"
			return cs
		})
	}},
	{name: "the losses of a carried one are forgotten", wants: []Invariant{Inheritance}, more: true, forge: func(f *forge) {
		f.decision(f.line("events.conflict", `"losses":1`), func(cs []any) []any {
			for _, c := range cs {
				delete(c.(map[string]any), "losses")
			}
			return cs
		})
	}},
}
