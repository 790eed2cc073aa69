package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

var (
	valve7 = operation.EntityID("valve-7")
	opA    = uuid.MustParse("0198c0de-0000-7000-8000-00000000000a")
	opB    = uuid.MustParse("0198c0de-0000-7000-8000-00000000000b")
)

// detailOf is of a low operation whose parent lends it a higher priority.
func detailOf(effective operation.Priority) operation.Detail {
	return operation.Detail{
		OpID: opA, OpType: operation.ModifyField, Target: valve7.String(), TargetName: "valve-7",
		Priority: operation.Low, EffectivePriority: effective, Window: "3-17",
	}
}

func TestEventLineTellsEveryKind(t *testing.T) {
	d := detailOf(operation.Low)
	change := operation.Change{Action: operation.Set, Path: "position", Value: json.RawMessage("40")}
	contender := func(id uuid.UUID, p operation.Priority) operation.Contender {
		return operation.Contender{OpID: id, Priority: p, EffectivePriority: p, Verdict: operation.Wins}
	}
	for _, c := range []struct {
		kind   operation.Kind
		detail any
		want   string
	}{
		{operation.StartedEvent, operation.StartedDetail{Detail: d, Attempt: 2}, "low attempt 2 ..0000000a"},
		{
			operation.CompletedEvent,
			operation.CompletedDetail{Detail: d, Version: 3, Revision: 12, Changes: []operation.Change{change}},
			"low v3 r12 set position=40 ..0000000a",
		},
		{operation.CompletedEvent, operation.CompletedDetail{Detail: d, Revision: 12}, "low r12, nothing to change ..0000000a"},
		{
			operation.CompletedEvent,
			operation.CompletedDetail{Detail: d, Revision: 1, Changes: []operation.Change{
				{Action: operation.Removed, Path: "a"},
				{Action: operation.Versioned, Version: 4},
				{Action: operation.Deleted},
				change,
			}},
			"low r1 removed a, versioned v4, deleted, and 1 more ..0000000a",
		},
		{operation.FailedEvent, operation.FailedDetail{Detail: d, Attempt: 1, Error: "no such entity"}, "low attempt 1: no such entity ..0000000a"},
		{
			operation.RetryEvent,
			operation.RetryDetail{Detail: d, RetryCount: 1, MaxRetries: 3, BackoffMS: 98.7, Reason: operation.TargetNotFound},
			"low 1 of 3 in 99 ms (target_not_found) ..0000000a",
		},
		{
			operation.RejectedEvent,
			operation.RejectedDetail{Detail: d, Reason: operation.Expired, Message: "expired at noon"},
			"low expired: expired at noon ..0000000a",
		},
		{
			operation.RejectedEvent, operation.RejectedDetail{
				Detail: detailOf(operation.High), Reason: operation.LostConflict, WinnerOpID: opB, WinnerPriority: operation.Critical,
			}, "low->high lost_conflict to ..0000000b (critical) in window 3-17 ..0000000a",
		},
		{operation.CancelledEvent, operation.CancelDetail{Detail: d, Message: "changed my mind"}, "low changed my mind ..0000000a"},
		{operation.CancelRefusedEvent, operation.CancelDetail{Detail: d, Status: operation.Executing}, "low it is executing ..0000000a"},
		{
			operation.ConflictEvent, operation.ConflictDetail{
				Detail: d, Contenders: []operation.Contender{contender(opB, operation.Critical), contender(opA, operation.Low)},
			}, "low 2 contend: critical > low; ..0000000b wins (window 3-17)",
		},
	} {
		event, err := operation.NewEvent(c.kind, "1", 0, valve7.String(), time.Now(), "", c.detail)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(eventLine(&event, false))
		want := strings.Join([]string{string(c.kind), "valve-7", "modify_field", c.want}, " ")
		if got := strings.Join(fields[1:], " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestEventLineAlignsWithAndWithoutColour(t *testing.T) {
	event, err := operation.NewEvent(operation.StartedEvent, "1", 0, valve7.String(), time.Now(), "", operation.StartedDetail{Detail: detailOf(operation.Low), Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	plainLine, painted := eventLine(&event, false), eventLine(&event, true)
	for _, escape := range []string{"\x1b[0m", "\x1b[2m"} {
		if !strings.Contains(painted, escape) {
			t.Errorf("no %q in %q", escape, painted)
		}
		painted = strings.ReplaceAll(painted, escape, "")
	}
	if painted != plainLine {
		t.Errorf("without its colours\n%q is not\n%q", painted, plainLine)
	}
	event.Data = json.RawMessage(`{`)
	if line := eventLine(&event, false); !strings.Contains(line, "unreadable") {
		t.Errorf("of a broken event: %q", line)
	}
}
