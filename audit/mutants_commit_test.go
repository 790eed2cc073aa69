package audit

import (
	"slices"
	"strconv"
	"strings"
)

// Who may write what, and when.
var ownershipMutants = []mutant{
	{name: "no condition on the fence", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		delete(f.line("fence", `"windows":3`).Header, headerExpected)
	}},
	{name: "an old condition on the fence", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		f.line("fence", `"windows":3`).Header[headerExpected] = f.line("fence", `"windows":1`).sequence()
	}},
	{name: "a fence is written as if it were the first", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		f.line("fence", `"windows":3`).Header[headerExpected] = "0"
	}},
	{name: "no condition on a head", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		delete(f.line("state", `"revision":3`).Header, headerExpected)
	}},
	{name: "an old condition on a head", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		f.line("state", `"revision":3`).Header[headerExpected] = "1"
	}},
	{name: "what was read had changed", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		for _, l := range f.store {
			if strings.Contains(l.Header[headerExpectedOn], ".state.") && l.Header[headerExpected] != "0" {
				l.Header[headerExpected] = "1"
				return
			}
		}
	}},
	{name: "a condition on no head", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		for _, l := range f.store {
			if l.Header[headerExpectedOn] != "" {
				l.Header[headerExpectedOn] = "hierarchy.state.*"
				return
			}
		}
	}},
	{name: "a worker commits that has lost its partition", wants: []Invariant{Epochs}, forge: func(f *forge) {
		window := f.line("window", `"owner":"w2"`)
		for _, l := range f.commit(f.behind(window, "window", `"owner":"w2"`)) {
			epoch(l, 2, 1)
			l.Data = strings.ReplaceAll(l.Data, `"w2"`, `"w1"`)
		}
	}},
	{name: "a claim does not raise the epoch", wants: []Invariant{Owners}, forge: func(f *forge) {
		for _, l := range f.store {
			epoch(l, 2, 1)
		}
	}},
	{name: "events of another worker", wants: []Invariant{Owners}, forge: func(f *forge) {
		f.replace(f.line("events.completed"), `"worker":"w1"`, `"worker":"w9"`)
	}},
	{name: "a decision record follows from another", wants: []Invariant{Chain}, raw: true, forge: func(f *forge) {
		l := f.line("window", `"previous":`)
		f.set(l, "previous", strings.Repeat("0", 64))
	}},
	{name: "the fence names another decision record", wants: []Invariant{Chain}, raw: true, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "chain", strings.Repeat("0", 64))
	}},
	{name: "the fence has another cursor", wants: []Invariant{Chain}, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "cursor", 1)
	}},
	{name: "a fence is another worker's", wants: []Invariant{Owners}, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "owner", "w9")
	}},
	{name: "a claim is another worker's", wants: []Invariant{Owners}, forge: func(f *forge) {
		l := f.line("fence", `"windows":3`)
		commit := f.commit(l)
		again := f.insert(commit[len(commit)-1], l)
		again.Header[headerBatchID] = newID()
		again.Header[headerBatchSequence], again.Header[headerBatchCommit] = "1", "1"
		f.set(again, "owner", "w9")
		f.set(again, "batch_id", again.batch())
	}},
	{name: "a fence replaces what comes later", wants: []Invariant{Conditions}, raw: true, forge: func(f *forge) {
		f.line("fence", `"windows":3`).Header[headerExpected] = "99999"
	}},
	{name: "there is no fence", wants: []Invariant{Chain}, more: true, forge: func(f *forge) {
		f.store = slices.DeleteFunc(f.store, func(l *line) bool { return l.kind() == "fence" })
	}},
	{name: "the first window begins late", wants: []Invariant{Tiling}, forge: func(f *forge) {
		f.set(f.line("window"), "after", 1)
	}},
	{name: "the first decision records are missing", wants: []Invariant{Tiling}, more: true, forge: func(f *forge) {
		f.remove(f.commit(f.line("window"))...)
	}},
	{name: "the latest counts are wrong", wants: []Invariant{Conservation}, forge: func(f *forge) {
		f.rolledUp()
		f.set(f.line("fence"), "counts.versions", 1)
	}},
	{name: "the number of partitions changes by itself", wants: []Invariant{Tiling}, forge: func(f *forge) {
		f.set(f.line("window", `"previous"`), "partitions", 7)
		f.set(f.behind(f.line("window", `"previous"`), "window"), "partitions", 7)
	}},
	{name: "the counts drift", wants: []Invariant{Conservation}, forge: func(f *forge) {
		l := f.line("fence", `"windows":3`)
		l.edit(f.tb, func(doc map[string]any) {
			counts := doc["counts"].(map[string]any)
			counts["succeeded"], counts["rejected"] = counts["rejected"], counts["succeeded"]
		})
	}},
	{name: "the counts do not add up", wants: []Invariant{Conservation}, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "counts.live", 7)
	}},
}

// epoch changes the epoch of a fence or a decision record.
func epoch(l *line, before, after int) {
	if l.kind() == "fence" || l.kind() == "window" {
		l.Data = strings.ReplaceAll(l.Data, `"epoch":`+strconv.Itoa(before)+`,`, `"epoch":`+strconv.Itoa(after)+`,`)
	}
}

func (l *line) sequence() string { return itoa(l.Sequence) }

// What a commit is made of.
var commitMutants = []mutant{
	{name: "an event outside of a commit", wants: []Invariant{Atomicity, Agreement, OneOutcome}, raw: true, forge: func(f *forge) {
		l := f.line("events.rejected")
		l.Header = nil
	}},
	{name: "a commit is published in two", wants: []Invariant{Atomicity, Agreement}, more: true, raw: true, forge: func(f *forge) {
		for i, l := range f.commit(f.line("events.conflict")) {
			if i > 3 {
				l.Header[headerBatchID] = "another"
			}
		}
	}},
	{name: "commits are interleaved", wants: []Invariant{Atomicity}, raw: true, forge: func(f *forge) {
		l := f.line("events.conflict")
		l.Header[headerBatchSequence] = "1"
	}},
	{name: "a commit is lost that counted as stored", wants: []Invariant{Tiling}, more: true, forge: func(f *forge) {
		f.remove(f.commit(f.line("events.cancel_refused"))...)
	}},
	{name: "a commit is stored twice", wants: []Invariant{Tiling, Idempotence, Versions}, more: true, forge: func(f *forge) {
		commit := f.commit(f.line("events.conflict"))
		behind, id := commit[len(commit)-1], newID()
		for _, l := range commit {
			behind = f.insert(behind, l)
		}
		for _, l := range f.store[f.index(behind)-len(commit)+1 : f.index(behind)+1] {
			l.Header[headerBatchSequence] = itoa(uint64(f.index(l) - f.index(behind) + len(commit)))
			l.Header[headerBatchID] = id
			l.Data = strings.ReplaceAll(l.Data, commit[0].batch(), id)
		}
	}},
	{name: "half of a commit is stored", wants: []Invariant{Agreement}, more: true, raw: true, forge: func(f *forge) {
		commit := f.commit(f.line("events.conflict"))
		f.remove(commit[len(commit)-3:]...)
	}},
	{name: "an event is missing", wants: []Invariant{Agreement, Cancelling}, raw: true, forge: func(f *forge) {
		f.remove(f.line("events.cancel_refused"))
	}},
	{name: "an event was altered", wants: []Invariant{Agreement}, raw: true, forge: func(f *forge) {
		f.replace(f.line("events.rejected"), `"message":"`, `"message":"x`)
	}},
	{name: "a decision record is missing", wants: []Invariant{Agreement, Tiling}, more: true, raw: true, forge: func(f *forge) {
		f.remove(f.line("window", `"fate":"cancelling"`))
	}},
	{name: "nothing that workers write", wants: []Invariant{Form}, forge: func(f *forge) {
		f.insert(f.line("events.conflict"), f.line("events.conflict")).Subject = "hierarchy.notes.1"
	}},
	{name: "a head stands behind the events", wants: []Invariant{Form, Conditions}, forge: func(f *forge) {
		l := f.line("state", `"revision":2`)
		f.insert(f.mate(l, "window"), l)
		f.remove(l)
	}},
	{name: "an event of another partition", wants: []Invariant{Agreement}, forge: func(f *forge) {
		l := f.line("events.completed", `"partition":0,`)
		f.replace(l, `/partition/0"`, `/partition/9"`)
		f.replace(l, `"partition":0,`, `"partition":9,`)
		f.replace(l, `"window":"0-`, `"window":"9-`)
	}},
	{name: "a decision record of another commit", wants: []Invariant{Atomicity}, forge: func(f *forge) {
		f.set(f.line("window"), "batch_id", newID())
	}},
	{name: "a fence of another commit", wants: []Invariant{Atomicity}, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "batch_id", newID())
	}},
	{name: "a fence of another partition", wants: []Invariant{Form}, forge: func(f *forge) {
		f.set(f.line("fence", `"windows":3`), "partition", 9)
	}},
	{name: "an event contradicts its subject", wants: []Invariant{Form}, more: true, forge: func(f *forge) {
		f.set(f.line("events.completed"), "type", "hierarchy.operation.failed.v1")
	}},
	{name: "an event has the id of another", wants: []Invariant{Form}, more: true, forge: func(f *forge) {
		f.set(f.line("events.completed"), "id", "another/completed/1")
	}},
	{name: "no JSON", wants: []Invariant{Form}, raw: true, forge: func(f *forge) {
		f.line("op").Data = "{"
	}},
}
