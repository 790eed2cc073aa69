package consumer

import (
	"context"
	"log/slog"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Attribute keys of log lines.
const (
	logEvent     = "event" // its kind
	logOp        = "op"
	logEntity    = "entity"
	logWindow    = "window"
	logPartition = "partition"
	logTrace     = "trace_id"
	logSpan      = "span_id"
)

// shortKeys makes keys of log lines from those of spans.
var shortKeys = strings.NewReplacer("hierarchy.operation.", "", "hierarchy.", "", ".", "_")

// line is what there is to log of an operation when its commit is stored. Like traces
// and figures, logs tell of nothing else. They hold no parameters and no values.
type line struct {
	level  slog.Level
	kind   operation.Kind
	from   origin
	detail any
}

// noteLine notes an event if it is to be logged.
func (d *draft) noteLine(kind operation.Kind, from origin, detail any) {
	level := slog.LevelDebug
	if r, ok := detail.(*operation.RejectedDetail); ok && r.Reason == operation.Poison {
		level = slog.LevelWarn
	}
	if d.round.verbose || level > slog.LevelDebug {
		d.lines = append(d.lines, line{level, kind, from, detail})
	}
}

// logDraft logs a stored draft: the window and each event in detail, and as a warning
// the messages that no operation could be made of.
func (e *engine) logDraft(ctx context.Context, d *draft) {
	place := []slog.Attr{slog.Int(logPartition, d.p.id), slog.String(logWindow, d.window.ID)}
	for i := range d.part.Dead {
		dead := &d.part.Dead[i]
		e.log.LogAttrs(ctx, slog.LevelWarn, "message dead-lettered", append(place[:2:2],
			slog.String("subject", dead.Subject), slog.Uint64("sequence", dead.Sequence), slog.String("reason", dead.Reason))...)
	}
	if !d.round.verbose && len(d.lines) == 0 {
		return
	}
	e.log.LogAttrs(ctx, slog.LevelDebug, "window resolved", append(place[:2:2],
		slog.String("cause", string(d.window.Cause)), slog.Int("operations", len(d.window.Taken)), slog.Int("conflicts", d.tally.conflicts))...)
	for _, l := range d.lines {
		if about, id := aboutOf(l.detail); about != nil {
			e.log.LogAttrs(ctx, l.level, "operation", append(l.attributes(about, id), place...)...)
		}
	}
}

func (l line) attributes(about *operation.Detail, id uuid.UUID) []slog.Attr {
	out := []slog.Attr{slog.String(logEvent, string(l.kind)), slog.String(logOp, id.String()), slog.String(logEntity, about.Target)}
	for _, a := range (note{kind: l.kind, detail: l.detail}).attributes() {
		out = append(out, slog.Any(shortKeys.Replace(string(a.Key)), a.Value.AsInterface()))
	}
	if span := traceheader.SpanContext(l.from.parent, l.from.state); span.IsValid() {
		out = append(out, slog.String(logTrace, span.TraceID().String()), slog.String(logSpan, span.SpanID().String()))
	}
	return out
}
