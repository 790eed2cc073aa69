package audit

import "strings"

func has(l *line, text string) bool { return strings.Contains(l.Data, text) }

// How an operation lives.
var lifeMutants = []mutant{
	{name: "an operation ends twice", wants: []Invariant{OneOutcome}, forge: func(f *forge) {
		l := f.line("events.rejected")
		f.insert(l, l)
	}},
	{name: "an operation ends again in a later commit", wants: []Invariant{OneOutcome}, forge: func(f *forge) {
		l := f.line("events.rejected")
		f.insert(f.behind(f.mate(l, "window"), "events.conflict"), l)
	}},
	{name: "an operation has no end", wants: []Invariant{OneOutcome}, forge: func(f *forge) {
		f.remove(f.line("events.rejected", `"lost_conflict"`))
	}},
	{name: "an operation is lost", wants: []Invariant{OneOutcome}, forge: func(f *forge) {
		for i, l := range f.store {
			if l.kind() == "op" && has(l, `"status":"executing"`) && f.get(l, "operation.params.take") == "1h" {
				f.remove(f.store[i])
				return
			}
		}
	}},
	{name: "an event about nobody", wants: []Invariant{NoGhost}, more: true, forge: func(f *forge) {
		l := f.line("events.failed")
		id, other := f.get(l, "data.op_id"), newID()
		f.replace(l, id, other)
	}},
	{name: "started is left out", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		f.remove(f.line("events.started", `"attempt":1`))
	}},
	{name: "started comes last", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		l := f.line("events.started")
		done := f.mate(l, "events.completed", f.op(l))
		f.insert(done, l)
		f.remove(l)
	}},
	{name: "an attempt is started twice", wants: []Invariant{Order}, forge: func(f *forge) {
		l := f.line("events.started", `"attempt":1`)
		f.insert(l, l)
	}},
	{name: "an operation starts that was not let through", wants: []Invariant{OneWinner}, more: true, forge: func(f *forge) {
		l := f.line("events.conflict")
		loser := f.mate(l, "events.rejected")
		started := f.mate(l, "events.started", f.op(l))
		f.replace(started, f.get(l, "data.winner_op_id"), f.get(loser, "data.op_id"))
		f.insert(l, started)
		f.remove(started)
	}},
	{name: "nothing follows a failure", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		f.remove(f.line("events.retry"))
	}},
	{name: "the retry counter starts again", wants: []Invariant{RetryLaw}, more: true, forge: func(f *forge) {
		f.set(f.line("events.retry", `"retry_count":2`), "data.retry_count", 1)
	}},
	{name: "a retry too many", wants: []Invariant{RetryLaw}, more: true, forge: func(f *forge) {
		f.set(f.line("events.retry"), "data.max_retries", 0)
	}},
	{name: "an operation gives up too early", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		l := f.line("events.retry", `"max_retries":1`)
		f.resubmit(l, `"max_retries":1`, `"max_retries":3`)
	}},
	{name: "a delay is too short", wants: []Invariant{RetryLaw}, more: true, forge: func(f *forge) {
		l := f.line("events.retry", `"retry_count":1`)
		f.set(l, "data.due", f.get(l, "time"))
	}},
	{name: "a delay is another than the event says", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		f.set(f.line("events.retry", `"retry_count":1`), "data.backoff_ms", 1)
	}},
	{name: "a delay is not waited for", wants: []Invariant{RetryLaw}, more: true, forge: func(f *forge) {
		l := f.line("events.retry", `"max_retries":1`)
		f.set(f.behind(l, "events.started", f.op(l)), "time", f.get(l, "time"))
	}},
	{name: "a recovered operation loses a retry", wants: []Invariant{RetryLaw}, more: true, forge: func(f *forge) {
		f.set(f.line("events.retry", `"recovered"`), "data.retry_count", 1)
	}},
	{name: "an executing operation is cancelled", wants: []Invariant{Cancelling}, more: true, forge: func(f *forge) {
		l := f.line("events.cancel_refused", `"status":"executing"`)
		l.Subject = strings.Replace(l.Subject, "cancel_refused", "cancelled", 1)
		f.replace(l, "cancel_refused", "cancelled")
	}},
	{name: "a cancellation is not answered", wants: []Invariant{Cancelling}, forge: func(f *forge) {
		f.remove(f.line("events.cancel_refused"))
	}},
	{name: "a cancellation is answered that nobody asked for", wants: []Invariant{Cancelling}, forge: func(f *forge) {
		f.set(f.line("events.cancel_refused"), "data.sequence", 1)
	}},
	{name: "a cancellation is answered twice", wants: []Invariant{Cancelling}, more: true, says: "answered twice", forge: func(f *forge) {
		l := f.line("events.cancel_refused")
		f.insert(l, l)
	}},
	{name: "a refusal answers another cancellation", wants: []Invariant{Cancelling}, says: "answers cancellation", forge: func(f *forge) {
		l := f.line("events.cancel_refused")
		f.replace(l, f.get(l, "data.cancel_id"), newID())
	}},
	{name: "a refusal is about another operation", wants: []Invariant{Cancelling}, more: true, says: "asks for the end of", forge: func(f *forge) {
		l := f.line("events.cancel_refused")
		f.set(l, "data.op_id", newID())
	}},
	{name: "an end answers another cancellation", wants: []Invariant{Cancelling}, says: "answers cancellation", forge: func(f *forge) {
		l := f.line("events.cancelled")
		f.replace(l, f.get(l, "data.cancel_id"), newID())
	}},
	{name: "an operation is tried again that has expired", wants: []Invariant{Refusals}, says: "started: at", forge: func(f *forge) {
		l := f.line("events.retry", `"max_retries":1`, `"system_failed"`)
		first := f.line("events.started", f.op(l))
		f.resubmit(l, `"max_retries":1`, `"max_retries":1,"expires_at":"`+f.get(first, "time")+`"`)
	}},
	{name: "an operation contends again that has expired", wants: []Invariant{Refusals}, more: true, says: "contends again at", forge: func(f *forge) {
		id := f.get(f.line("op", `"contest":2`, `"value":36`), "op_id")
		lost := f.line("events.conflict", id)
		f.resubmit(&line{Data: `{"data":{"op_id":"` + id + `"}}`}, `"on_loss":"carry"`, `"on_loss":"carry","expires_at":"`+f.get(lost, "time")+`"`)
	}},
	{name: "a child is tried again whose parent was rejected", wants: []Invariant{Inheritance}, more: true, says: "started: attempt 2", forge: func(f *forge) {
		l := f.line("events.started", `"attempt":2`)
		parent := f.line("events.rejected", `"partition":`+f.get(l, "data.partition")+`,`)
		f.resubmit(l, `"op_type"`, `"parent_op_id":"`+f.get(parent, "data.op_id")+`","parent_target_entity_id":"`+f.get(parent, "data.target_entity_id")+`","op_type"`)
	}},
	{name: "a cancellation is told another status", wants: []Invariant{Cancelling}, forge: func(f *forge) {
		f.set(f.line("events.cancel_refused", `"status":"executing"`), "data.status", "succeeded")
	}},
	{name: "a cancellation is refused that could have worked", wants: []Invariant{Cancelling}, more: true, forge: func(f *forge) {
		l := f.line("events.cancelled")
		l.Subject = strings.Replace(l.Subject, "cancelled", "cancel_refused", 1)
		f.replace(l, "cancelled", "cancel_refused")
		f.set(l, "id", f.get(l, "data.cancel_id")+"/cancel_refused/1")
		f.set(l, "data.status", "pending")
	}},
	{name: "an event says another priority", wants: []Invariant{Agreement, Inheritance}, forge: func(f *forge) {
		f.replace(f.line("events.completed", `"priority":"critical"`), `priority":"critical"`, `priority":"high"`)
	}},
	{name: "an event says another place", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.completed"), "data.sequence", 77)
	}},
	{name: "an event is about another entity", wants: []Invariant{Agreement}, more: true, forge: func(f *forge) {
		l := f.line("events.failed")
		id := f.get(l, "subject")
		l.Subject = strings.Replace(l.Subject, id, f.get(f.line("events.completed"), "subject"), 1)
		f.replace(l, id, f.get(f.line("events.completed"), "subject"))
	}},
	{name: "an event says another reason than the decision record", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"system_failed"`), "data.reason", "timeout")
	}},
	{name: "a decision record says that an operation lives", wants: []Invariant{Agreement}, forge: func(f *forge) {
		l := f.line("events.rejected")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["status"] = "pending" })
	}},
	{name: "a record says another status", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("op", `"status":"executing"`), "status", "pending")
	}},
	{name: "a record forgets attempts", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		f.set(f.line("op", `"operation":{`, `"attempt":2`), "attempt", 1)
	}},
	{name: "a record is of other content", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("op", `"operation":{`), "operation.params", map[string]any{})
	}},
	{name: "a record has another priority", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("op", `"effective_priority":"low"`), "effective_priority", "high")
	}},
	{name: "a record forgets losses", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		f.set(f.line("op", `"contest":2`), "losses", 1)
	}},
	{name: "a record forgets a window that what is carried has lost", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		f.set(f.line("op", `"contest":2`), "contest", 1)
	}},
	{name: "no record counts the last window that what is carried has lost", wants: []Invariant{RetryLaw}, says: "no record says", forge: func(f *forge) {
		f.remove(f.line("op", `"contest":2`, `"value":36`)) // the recording ends with it carried
	}},
	{name: "a record is due at another time", wants: []Invariant{RetryLaw}, forge: func(f *forge) {
		f.set(f.line("op", `"due"`), "due", "2000-01-01T00:00:00Z")
	}},
	{name: "a record is of an operation that has ended", wants: []Invariant{Agreement}, forge: func(f *forge) {
		done := f.line("op", `"status":"succeeded"`)
		done.Data = f.line("op", `"operation":{`, `"op_id":"`+f.get(done, "op_id")+`"`).Data
	}},
	{name: "an attempt is numbered twice", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		l := f.line("events.started", `"attempt":2`)
		f.replace(l, `"attempt":2`, `"attempt":1`)
		f.replace(l, `/started/2`, `/started/1`)
	}},
	{name: "another attempt succeeds", wants: []Invariant{Order}, forge: func(f *forge) {
		f.set(f.line("events.completed"), "data.attempt", 2)
	}},
	{name: "an operation is recovered that was not lost", wants: []Invariant{Order}, forge: func(f *forge) {
		f.set(f.line("events.retry", `"retry_count":1`, `"system_failed"`), "data.reason", "recovered")
	}},
	{name: "an operation is cancelled that nobody cancelled", wants: []Invariant{Cancelling}, more: true, forge: func(f *forge) {
		l := f.line("events.cancelled")
		for _, m := range f.input {
			m.Data = strings.ReplaceAll(m.Data, `"op_id":"`+f.get(l, "data.op_id")+`","reason"`, `"op_id":"`+newID()+`","reason"`)
		}
	}},
	{name: "a cancelled operation says another window", wants: []Invariant{Agreement}, forge: func(f *forge) {
		l := f.line("events.cancelled")
		f.set(l, "data.window", f.get(l, "data.partition")+"-1")
	}},
	{name: "an attempt fails that was not begun", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"expired"`), "data.reason", "has_children")
	}},
	{name: "an operation is poison that has failed", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"max_retries_exceeded"`), "data.reason", "poison")
	}},
	{name: "an operation expires at work", wants: []Invariant{Order}, more: true, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"system_failed"`), "data.reason", "expired")
	}},
	{name: "a good operation is told that it is invalid", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("events.rejected", `"expired"`), "data.reason", "invalid")
	}},
	{name: "a loser lives on", wants: []Invariant{RightWinner}, more: true, forge: func(f *forge) {
		l := f.line("events.rejected", `"lost_conflict"`)
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["status"] = "pending" })
		f.remove(l)
	}},
	{name: "an operation is settled twice", wants: []Invariant{OneOutcome}, forge: func(f *forge) {
		f.line("window", `"settled"`).edit(f.tb, func(doc map[string]any) {
			settled := doc["settled"].([]any)
			doc["settled"] = append(settled, settled[0])
		})
	}},
	{name: "an operation is settled that lives", wants: []Invariant{Form}, more: true, forge: func(f *forge) {
		f.set(f.line("window", `"settled"`), "settled.status", "pending")
	}},
	{name: "a record says another end", wants: []Invariant{Agreement}, forge: func(f *forge) {
		f.set(f.line("op", `"status":"succeeded"`), "status", "rejected")
	}},
	{name: "an operation is found expired that is not", wants: []Invariant{Refusals}, forge: func(f *forge) {
		l := f.line("events.rejected", `"parent_not_live"`)
		f.set(l, "data.reason", "expired")
		f.taken(l, f.get(l, "data.op_id"), func(t map[string]any) { t["reason"] = "expired" })
	}},
}
