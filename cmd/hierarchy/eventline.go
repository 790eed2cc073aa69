package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// eventView is the data of an event of whatever kind, as far as a line shows it.
type eventView struct {
	operation.Detail
	Attempt        int                   `json:"attempt"`
	Version        uint64                `json:"version"`
	Revision       uint64                `json:"revision"`
	Changes        []operation.Change    `json:"changes"`
	Error          string                `json:"error"`
	RetryCount     int                   `json:"retry_count"`
	MaxRetries     int                   `json:"max_retries"`
	BackoffMS      float64               `json:"backoff_ms"`
	Reason         operation.Reason      `json:"reason"`
	Message        string                `json:"message"`
	WinnerOpID     uuid.UUID             `json:"winner_op_id"`
	WinnerPriority operation.Priority    `json:"winner_priority"`
	CancelID       uuid.UUID             `json:"cancel_id"`
	Status         operation.Status      `json:"status"`
	Contenders     []operation.Contender `json:"contenders"`
	ResolutionMS   float64               `json:"resolution_ms"`
}

var kindColours = map[operation.Kind]colour{
	operation.CompletedEvent: green, operation.RejectedEvent: red, operation.CancelledEvent: red,
	operation.FailedEvent: yellow, operation.RetryEvent: yellow, operation.ConflictEvent: cyan,
	operation.StartedEvent: faint, operation.CancelRefusedEvent: yellow,
}

// Widths of an event line's columns. Longer content pushes what follows.
const (
	kindWidth     = len(operation.CancelRefusedEvent)
	entityWidth   = 12
	typeWidth     = len(operation.BorrowAttribute)
	priorityWidth = len("critical")
)

// eventLine shows an event to people, in one line.
func eventLine(event *operation.Event, coloured bool) string {
	var v eventView
	kind := event.Kind()
	if err := event.Decode(&v); err != nil {
		return fmt.Sprintf("%s  %s  unreadable: %v", clock(event.Time), kind, err)
	}
	columns := []string{
		paint(coloured, faint, clock(event.Time), 0),
		paint(coloured, kindColours[kind], string(kind), kindWidth),
		paint(coloured, plain, cmp.Or(v.TargetName, v.Target), entityWidth),
		paint(coloured, plain, string(v.OpType), typeWidth),
		paint(coloured, plain, v.rank(), priorityWidth),
		v.story(kind),
	}
	if kind != operation.ConflictEvent && v.OpID != uuid.Nil {
		columns = append(columns, paint(coloured, faint, short(v.OpID), 0))
	}
	return strings.TrimRight(strings.Join(columns, "  "), " ")
}

// rank shows the priority and, where it is inherited, the effective one.
func (v *eventView) rank() string {
	switch {
	case v.Priority == 0:
		return ""
	case v.EffectivePriority != 0 && v.EffectivePriority != v.Priority:
		return v.Priority.String() + "->" + v.EffectivePriority.String()
	}
	return v.Priority.String()
}

// story says what the event tells.
func (v *eventView) story(kind operation.Kind) string {
	switch kind {
	case operation.StartedEvent:
		return fmt.Sprintf("attempt %d", v.Attempt)
	case operation.CompletedEvent:
		return v.completed()
	case operation.FailedEvent:
		return fmt.Sprintf("attempt %d: %s", v.Attempt, cmp.Or(v.Error, string(v.Reason)))
	case operation.RetryEvent:
		return fmt.Sprintf("%d of %d in %.0f ms (%s)", v.RetryCount, v.MaxRetries, v.BackoffMS, v.Reason)
	case operation.RejectedEvent:
		return v.rejected()
	case operation.CancelledEvent:
		return cmp.Or(v.Message, "cancelled")
	case operation.CancelRefusedEvent:
		return "it is " + cmp.Or(string(v.Status), "unknown")
	case operation.ConflictEvent:
		return v.conflict()
	}
	return ""
}

func (v *eventView) completed() string {
	at := fmt.Sprintf("r%d", v.Revision)
	if v.Version > 0 {
		at = fmt.Sprintf("v%d %s", v.Version, at)
	}
	if len(v.Changes) == 0 {
		return at + ", nothing to change"
	}
	return at + "  " + changesText(v.Changes)
}

// changesText shows what changed, the first few in words.
func changesText(changes []operation.Change) string {
	const most = 3
	var parts []string
	for i, c := range changes {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(changes)-most))
			break
		}
		parts = append(parts, changeText(&c))
	}
	return strings.Join(parts, ", ")
}

func changeText(c *operation.Change) string {
	const room = 40
	switch {
	case c.Path != "" && c.Value != nil:
		return fmt.Sprintf("%s %s=%s", c.Action, c.Path, compact(c.Value, room))
	case c.Path != "":
		return fmt.Sprintf("%s %s", c.Action, c.Path)
	case c.Version != 0:
		return fmt.Sprintf("%s v%d", c.Action, c.Version)
	}
	return string(c.Action)
}

func (v *eventView) rejected() string {
	if v.WinnerOpID == uuid.Nil {
		return fmt.Sprintf("%s: %s", v.Reason, v.Message)
	}
	return fmt.Sprintf("%s to %s (%s) in window %s", v.Reason, short(v.WinnerOpID), v.WinnerPriority, v.Window)
}

func (v *eventView) conflict() string {
	ranks := make([]string, len(v.Contenders))
	for i := range v.Contenders {
		ranks[i] = v.Contenders[i].EffectivePriority.String()
	}
	first := ""
	if len(v.Contenders) > 0 {
		first = fmt.Sprintf("; %s %s", short(v.Contenders[0].OpID), v.Contenders[0].Verdict)
	}
	return fmt.Sprintf("%d contend: %s%s (window %s)", len(v.Contenders), strings.Join(ranks, " > "), first, v.Window)
}
