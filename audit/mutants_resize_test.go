package audit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hierarchy-events/hierarchy/operation"
)

// The recording has the number of partitions changed from 4 to 6, and from 6 to 3.

// How the number of partitions changes, and what belongs to which.
var resizeMutants = []mutant{
	{name: "the generation goes back", wants: []Invariant{Epochs}, says: "generation 0", forge: func(f *forge) {
		f.set(f.line("fence", `"owner":"w3"`, `"generation":1`), "generation", 0)
	}},
	{name: "the generation grows by itself", wants: []Invariant{Epochs}, says: "generation 2", forge: func(f *forge) {
		f.set(f.line("fence", `"owner":"w3"`, `"generation":1`), "generation", 2)
	}},
	{name: "a change is of two generations", wants: []Invariant{Epochs}, says: "generation 7", forge: func(f *forge) {
		f.set(f.line("fence", `"partition":3`, `"released":true`, `"generation":1`), "generation", 7)
	}},
	{name: "a change begins no generation", wants: []Invariant{Epochs}, says: "it is generation 1", forge: func(f *forge) {
		for _, l := range f.store {
			if l.kind() == "fence" {
				l.Data = strings.Replace(l.Data, `,"generation":1`, "", 1)
			}
		}
	}},
	{name: "a fence is left out of a change", wants: []Invariant{Tiling}, more: true, says: "5 fences for 6 partitions", forge: func(f *forge) {
		f.leaveOut(f.line("fence", `"partition":5`, `"released":true`, `"generation":1`))
	}},
	{name: "a fence is left out of a change, and the others replaced", wants: []Invariant{Tiling}, more: true, says: "5 fences for 6 partitions", forge: func(f *forge) {
		f.leaveOut(f.line("fence", `"partition":5`, `"released":true`, `"generation":1`))
		f.rolledUp()
	}},
	{name: "a partition is left out of a change", wants: []Invariant{Tiling}, more: true, says: "from 4 to 6, and the commit is of 5", forge: func(f *forge) {
		l := f.line("fence", `"partition":5`, `"released":true`, `"generation":1`)
		f.leaveOut(f.mate(l, "window", `"partition":5`))
		f.leaveOut(l)
	}},
	{name: "a partition that is no more is left out of a change", wants: []Invariant{Tiling}, more: true, says: "from 6 to 3, and the commit is of 5", forge: func(f *forge) {
		l := f.line("fence", `"partition":5`, `"released":true`, `"generation":2`)
		f.leaveOut(f.mate(l, "window", `"partition":5`))
		f.leaveOut(l)
	}},
	{name: "a change is to two numbers", wants: []Invariant{Tiling}, says: "does not say just that", forge: func(f *forge) {
		l := f.line("fence", `"partition":2`, `"released":true`, `"generation":1`)
		f.set(l, "partitions", 5)
		f.set(f.mate(l, "window", `"partition":2`), "partitions", 5)
	}},
	{name: "a change does something else", wants: []Invariant{Tiling, OneOutcome}, says: "does something else", forge: func(f *forge) {
		f.set(f.line("window", `"resize"`), "settled", []any{map[string]any{"op_id": newID(), "status": "rejected"}})
	}},
	{name: "the number changes while something lives", wants: []Invariant{Tiling}, says: "it lives", forge: func(f *forge) { f.resize() }},
	{name: "a fence says another number of partitions", wants: []Invariant{Tiling}, says: "there are 5 partitions", forge: func(f *forge) {
		f.set(f.line("fence", `"owner":"w3"`, `"generation":1`), "partitions", 5)
	}},
	{name: "an operation is taken by another partition", wants: []Invariant{Tiling}, says: "belongs to number", forge: func(f *forge) {
		f.stays("gauge-3-0", 4, 3) // a worker has gone on with the number of before
	}},
	{name: "a cancellation is taken by another partition", wants: []Invariant{Tiling}, more: true, says: "belongs to number", forge: func(f *forge) {
		for _, l := range f.input {
			if tokens := strings.Split(l.Subject, "."); len(tokens) == 5 && tokens[3] == "cancel" {
				tokens[4] = fits(func(h uint32) bool { return strconv.Itoa(share(h, 4)) != tokens[2] })
				l.Subject = strings.Join(tokens, ".")
			}
		}
	}},
}

// What partitions remember when their number has changed.
var pageMutants = []mutant{
	{name: "a page tells another status", wants: []Invariant{Idempotence}, says: "remembered as cancelled", forge: func(f *forge) {
		f.page(func(taken []any) []any { taken[0].(map[string]any)["status"] = "cancelled"; return taken })
	}},
	{name: "a page tells of other content", wants: []Invariant{Idempotence}, says: "no partition has taken", forge: func(f *forge) {
		f.page(func(taken []any) []any { taken[0].(map[string]any)["digest"] = "0123456789abcdef"; return taken })
	}},
	{name: "a page tells of another entity", wants: []Invariant{Idempotence}, says: "which it was not", forge: func(f *forge) {
		f.page(func(taken []any) []any {
			taken[0].(map[string]any)["target"] = fits(func(h uint32) bool { return share(h, 6) == 5 })
			return taken
		})
	}},
	{name: "a page has what belongs elsewhere", wants: []Invariant{Idempotence}, says: "belongs to partition 4 of 6", forge: func(f *forge) {
		var other map[string]any
		f.line("ledger", `"partition":4`).edit(f.tb, func(doc map[string]any) { other = doc["taken"].([]any)[0].(map[string]any) })
		f.page(func(taken []any) []any { return append(taken, other) })
	}},
	{name: "a page forgets an operation", wants: []Invariant{Idempotence}, says: "is not handed it on", forge: func(f *forge) {
		f.page(func(taken []any) []any { return taken[1:] })
	}},
	{name: "a page is left out", wants: []Invariant{Idempotence}, says: "is not handed it on", forge: func(f *forge) {
		f.remove(f.line("ledger", `"partition":5`))
	}},
	{name: "a page is written for no change", wants: []Invariant{Tiling}, says: "not being changed", forge: func(f *forge) {
		f.set(f.mate(f.line("ledger"), "fence"), "resizing", 0)
	}},
}

// page edits what the last partition is handed on by the first change.
func (f *forge) page(change func(taken []any) []any) {
	f.tb.Helper()
	f.line("ledger", `"partition":5`).edit(f.tb, func(doc map[string]any) { doc["taken"] = change(doc["taken"].([]any)) })
}

// leaveOut removes a message as if it had never been written: no gap remains, as it
// does of what was replaced.
func (f *forge) leaveOut(l *line) {
	f.remove(l)
	for _, m := range f.store {
		if m.Sequence > l.Sequence {
			m.Sequence--
		}
		if n, err := strconv.ParseUint(m.Header[headerExpected], 10, 64); err == nil && n > l.Sequence {
			m.Header[headerExpected] = itoa(n - 1)
		}
		n, _ := strconv.ParseUint(m.Header[headerBatchSequence], 10, 64)
		if m.batch() == l.batch() && m.Sequence >= l.Sequence {
			m.Header[headerBatchSequence] = itoa(n - 1)
		}
	}
}

// resize ends the recording with a change of the number of partitions that was undone:
// there are 3 as before.
func (f *forge) resize() {
	f.tb.Helper()
	var fences, windows []*line
	id, at := newID(), f.store[len(f.store)-1].Sequence
	for p := range 3 {
		fence, window := f.resized(p, id)
		fences, windows = append(fences, fence), append(windows, window)
	}
	for i, l := range append(fences, windows...) {
		l.Header[headerBatchID], l.Header[headerBatchSequence] = id, itoa(uint64(i)+1) //nolint:gosec // an index
		delete(l.Header, headerBatchCommit)
		l.Sequence = at + uint64(i) + 1 //nolint:gosec // an index
		f.store = append(f.store, l)
	}
	f.store[len(f.store)-1].Header[headerBatchCommit] = "1"
}

// resized returns the fence and the decision record of a partition for such a change.
func (f *forge) resized(partition int, id string) (fence, window *line) {
	f.tb.Helper()
	of := `"partition":` + strconv.Itoa(partition) + `,`
	var was *line
	for _, l := range slices.Backward(f.store) {
		if l.kind() == "fence" && strings.Contains(l.Data, of) {
			was = l
			break
		}
	}
	lines := copyOf([]*line{was, f.line("window", of, `"resize"`, `"partitions":3`)})
	fence, window = lines[0], lines[1]
	number := func(path string) int { n, _ := strconv.Atoi(f.get(was, path)); return n }
	n, epoch, cursor := number("windows")+1, number("epoch")+1, number("cursor")
	fence.edit(f.tb, func(doc map[string]any) {
		doc["owner"], doc["epoch"], doc["windows"], doc["batch_id"] = "scale-3", epoch, n, id
		doc["released"], doc["generation"] = true, 3
	})
	window.edit(f.tb, func(doc map[string]any) {
		doc["id"], doc["number"] = operation.WindowID(partition, uint64(n)), n //nolint:gosec // small
		doc["epoch"], doc["batch_id"], doc["after"], doc["cursor"] = epoch, id, cursor, cursor
	})
	fence.Header[headerExpected] = itoa(was.Sequence)
	return fence, window
}

// stays gives an entity another id, by which the partition that has taken it is the one
// of some number of partitions, and not of the number that there is.
func (f *forge) stays(name string, before, now int) {
	f.tb.Helper()
	was := operation.EntityID(name).String()
	partition, _ := strconv.Atoi(f.get(f.line("window", was), "partition"))
	f.rename(was, fits(func(h uint32) bool { return share(h, before) == partition && share(h, now) != partition }))
}

// fits returns an id whose hash is as wanted.
func fits(wanted func(hash uint32) bool) string {
	for {
		if id := newID(); wanted(hashOf(id)) {
			return id
		}
	}
}

// rename gives an entity another id wherever it is named.
func (f *forge) rename(was, id string) {
	f.tb.Helper()
	digests := map[string]string{}
	for _, l := range f.input {
		before := digest(l)
		l.Subject, l.Data = strings.ReplaceAll(l.Subject, was, id), strings.ReplaceAll(l.Data, was, id)
		digests[before] = digest(l)
	}
	for _, l := range f.store {
		l.Subject, l.Data = strings.ReplaceAll(l.Subject, was, id), strings.ReplaceAll(l.Data, was, id)
		if on, ok := l.Header[headerExpectedOn]; ok {
			l.Header[headerExpectedOn] = strings.ReplaceAll(on, was, id)
		}
		for before, after := range digests {
			l.Data = strings.ReplaceAll(l.Data, before, after)
		}
	}
}
