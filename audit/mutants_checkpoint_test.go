package audit

import "encoding/json"

// What checkpoints tell, which workers that claim a partition rely on.
var checkpointMutants = []mutant{
	{name: "a checkpoint forgets an operation", wants: []Invariant{Idempotence}, says: "not the", forge: func(f *forge) {
		f.summed(func(taken []any) []any { return taken[1:] })
	}},
	{name: "a checkpoint tells of an operation twice", wants: []Invariant{Idempotence}, says: "not the", forge: func(f *forge) {
		f.summed(func(taken []any) []any { return append(taken, taken[0]) })
	}},
	{name: "a checkpoint tells of other content", wants: []Invariant{Idempotence}, says: "that was not taken", forge: func(f *forge) {
		f.summed(func(taken []any) []any { taken[0].(map[string]any)["digest"] = "0123456789abcdef"; return taken })
	}},
	{name: "a checkpoint tells of what was never taken", wants: []Invariant{Idempotence}, says: "that was not taken", forge: func(f *forge) {
		f.summed(func(taken []any) []any { taken[0].(map[string]any)["op_id"] = newID(); return taken })
	}},
	{name: "a checkpoint tells another status", wants: []Invariant{Idempotence}, says: "has it as cancelled", forge: func(f *forge) {
		f.summed(func(taken []any) []any { taken[0].(map[string]any)["status"] = "cancelled"; return taken })
	}},
	{name: "a checkpoint has one ended that lives", wants: []Invariant{Idempotence}, says: "has it as rejected", forge: func(f *forge) {
		l := f.line("checkpoint", `"status":"pending"`)
		f.replace(l, `"status":"pending"`, `"status":"rejected"`)
	}},
	{name: "a checkpoint has another end for an earlier one", wants: []Invariant{Idempotence}, says: "has it as cancelled", forge: func(f *forge) {
		f.set(f.line("checkpoint", `"settled":`), "settled.status", "cancelled")
	}},
	{name: "a checkpoint is left out", wants: []Invariant{Chain}, says: "names a checkpoint", more: true, forge: func(f *forge) {
		f.leaveOut(f.line("checkpoint"))
	}},
	{name: "a checkpoint leaves a gap", wants: []Invariant{Chain}, says: "the latest one ends", more: true, forge: func(f *forge) {
		l := f.line("checkpoint", `"after":`)
		f.set(f.behind(l, "checkpoint", `"partition":`+f.get(l, "partition")+`,`), "after", 1)
	}},
	{name: "a checkpoint ends early", wants: []Invariant{Chain}, says: "and the latest is", more: true, forge: func(f *forge) {
		l := f.line("checkpoint", `"chain":`)
		f.set(l, "through", json.Number(f.get(l, "windows.sequence")))
	}},
	{name: "a fence names a checkpoint that is not there", wants: []Invariant{Chain}, says: "names a checkpoint", forge: func(f *forge) {
		f.set(f.mate(f.line("checkpoint"), "fence"), "checkpoint", 1)
	}},
}

// summed edits what the first checkpoint tells of the first window in it.
func (f *forge) summed(change func(taken []any) []any) {
	f.tb.Helper()
	f.line("checkpoint", `"windows":`).edit(f.tb, func(doc map[string]any) {
		window := doc["windows"].([]any)[0].(map[string]any)
		window["taken"] = change(window["taken"].([]any))
	})
}
