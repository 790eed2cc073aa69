package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Values of --contend.
const (
	contendAll  = "all"
	contendPace = "pace"
)

// atOnce bounds the operations under way in the default mode.
const atOnce = 256

// ended is how an operation of the file ended: with an outcome or an error.
type ended struct {
	entry   *fileOp
	outcome client.Outcome
	err     error
}

// sender sends the operations of a file.
type sender struct {
	a        *app
	c        *client.Client
	ops      []fileOp
	mu       sync.Mutex // guards the two below
	ends     []ended    // in the order in which they ended
	progress *progressbar.ProgressBar
}

func (a *app) submitFile(cmd *cobra.Command, f *submitFlags) error {
	if err := useless(cmd, cmd.LocalNonPersistentFlags(), "of no use beside --file", "file", "contend", "fresh", "wait"); err != nil {
		return err
	}
	if f.contend != "" && f.contend != contendAll && f.contend != contendPace {
		return usage(cmd, fmt.Errorf("--contend is %q: want %s or %s", f.contend, contendAll, contendPace))
	}
	l, err := a.connect("submit")
	if err != nil {
		return err
	}
	defer l.Close()
	salt := ""
	if f.fresh {
		salt = uuid.NewString()
	}
	ops, err := readOps(f.file, a.in, salt, func(op *operation.Operation) error {
		_, err := l.client.Message(cmd.Context(), op)
		return err
	})
	if err != nil {
		return usage(cmd, err)
	}
	s := &sender{a: a, c: l.client, ops: ops, progress: a.bar("outcomes", len(ops))}
	began := time.Now()
	if f.contend == "" {
		s.inOrder(inherited(cmd.Context()))
	} else {
		s.contending(inherited(cmd.Context()), f.contend == contendPace)
	}
	_ = s.progress.Finish()
	return s.summary(time.Since(began))
}

// inOrder sends each operation when those have ended that it must wait for.
func (s *sender) inOrder(ctx context.Context) {
	done, failed := make([]chan struct{}, len(s.ops)), make([]error, len(s.ops))
	for i := range done {
		done[i] = make(chan struct{})
	}
	slots := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, before := range order(s.ops) {
		group.Go(func() {
			defer close(done[i])
			for _, b := range before {
				<-done[b]
				failed[i] = cmp.Or(failed[i], failed[b])
			}
			if failed[i] != nil {
				s.end(ended{entry: &s.ops[i], err: fmt.Errorf("an operation before it has no outcome: %w", failed[i])})
				return
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			failed[i] = s.one(ctx, &s.ops[i])
		})
	}
	group.Wait()
}

func (s *sender) one(ctx context.Context, entry *fileOp) error {
	ctx, cancel := s.a.bounded(ctx)
	defer cancel()
	outcome, err := s.c.SubmitAndWait(ctx, entry.op)
	s.end(ended{entry: entry, outcome: outcome, err: err})
	return err
}

// contending sends all operations in the file's order without waiting for outcomes,
// each as long after the first as its created_at says if it is to keep the pace.
func (s *sender) contending(ctx context.Context, pace bool) {
	var group sync.WaitGroup
	began := time.Now()
	for i := range s.ops {
		entry := &s.ops[i]
		if pace && !s.pause(ctx, began, entry) {
			s.end(ended{entry: entry, err: context.Cause(ctx)})
			continue
		}
		inner, cancel := s.a.bounded(ctx)
		pending, err := s.c.Start(inner, entry.op)
		if err != nil {
			cancel()
			s.end(ended{entry: entry, err: err})
			continue
		}
		group.Go(func() {
			defer cancel()
			defer pending.Stop()
			outcome, err := pending.Outcome(inner)
			s.end(ended{entry: entry, outcome: outcome, err: err})
		})
	}
	group.Wait()
}

// pause waits until an operation is due. It reports false if ctx ends first.
func (s *sender) pause(ctx context.Context, began time.Time, entry *fileOp) bool {
	first := s.ops[0].op.CreatedAt
	if first.IsZero() || entry.op.CreatedAt.IsZero() {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(time.Until(began.Add(entry.op.CreatedAt.Sub(first)))):
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sender) end(e ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, e)
	_ = s.progress.Add(1)
}

// tally counts outcomes of a kind.
type tally struct {
	Outcome    string           `json:"outcome"` // a status, or error
	Reason     operation.Reason `json:"reason,omitempty"`
	Operations int              `json:"operations"`
}

// fileResult is an outcome as --json writes it.
type fileResult struct {
	Line   int              `json:"line"`
	Name   string           `json:"name,omitempty"`
	Target string           `json:"target"`
	Type   operation.Type   `json:"op_type"`
	OpID   uuid.UUID        `json:"op_id"`
	Status operation.Status `json:"status,omitempty"`
	Reason operation.Reason `json:"reason,omitempty"`
	Text   string           `json:"message,omitempty"`
	Winner uuid.UUID        `json:"winner_op_id,omitzero"`
	Error  string           `json:"error,omitempty"`
}

func newFileResult(e *ended) fileResult {
	out := fileResult{
		Line: e.entry.line, Name: e.entry.name, Target: e.entry.target, Type: e.entry.op.Type, OpID: e.entry.op.ID,
		Status: e.outcome.Status, Reason: e.outcome.Reason, Text: e.outcome.Message, Winner: e.outcome.Winner,
	}
	if e.err != nil {
		out.Error = e.err.Error()
	}
	return out
}

// summary shows how the operations ended. It is an error if one has no outcome.
func (s *sender) summary(took time.Duration) error {
	slices.SortFunc(s.ends, func(a, b ended) int { return cmp.Compare(a.entry.line, b.entry.line) })
	counts := map[tally]int{}
	var failed error
	for i := range s.ends {
		e := &s.ends[i]
		kind := tally{Outcome: string(e.outcome.Status), Reason: e.outcome.Reason}
		if e.err != nil {
			kind = tally{Outcome: "error"}
			failed = cmp.Or(failed, e.err)
		}
		counts[kind]++
	}
	tallies := make([]tally, 0, len(counts))
	for kind, n := range counts {
		kind.Operations = n
		tallies = append(tallies, kind)
	}
	slices.SortFunc(tallies, func(a, b tally) int {
		return cmp.Or(cmp.Compare(b.Operations, a.Operations), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	if s.a.global.json {
		return errors.Join(s.showJSON(tallies, took), s.unfinished(failed))
	}
	s.showEnds()
	s.showTallies(tallies, took)
	return s.unfinished(failed)
}

// unfinished is the error of operations without outcome, in one line.
func (s *sender) unfinished(first error) error {
	if first == nil {
		return nil
	}
	n := 0
	for _, e := range s.ends {
		if e.err != nil {
			n++
		}
	}
	return fmt.Errorf("%d of %d operations have no outcome; the first: %w", n, len(s.ops), first)
}

func (s *sender) showJSON(tallies []tally, took time.Duration) error {
	for i := range s.ends {
		if err := s.a.writeJSON(newFileResult(&s.ends[i])); err != nil {
			return err
		}
	}
	return s.a.writeJSON(map[string]any{
		"operations": len(s.ops), "outcomes": tallies, "seconds": took.Seconds(),
	})
}

// mostShown bounds the single outcomes that are shown without --verbose.
const mostShown = 40

// showEnds lists the operations that did not succeed, with --verbose all.
func (s *sender) showEnds() {
	t, named := s.a.table(), s.names()
	shown, hidden := 0, 0
	for i := range s.ends {
		e := &s.ends[i]
		if e.err == nil && e.outcome.Succeeded() && !s.a.global.verbose {
			continue
		}
		if shown == mostShown && !s.a.global.verbose {
			hidden++
			continue
		}
		shown++
		fmt.Fprintf(t, "line %d\t%s\t%s\t%s\t%s\n", e.entry.line, e.entry.label(), e.entry.target, e.entry.op.Type, named.Replace(endText(e)))
	}
	_ = t.Flush()
	if hidden > 0 {
		s.a.printf("and %d more; --verbose shows all", hidden)
	}
	if shown > 0 {
		s.a.printf("")
	}
}

// names puts the names that the file uses where the outcomes have ids.
func (s *sender) names() *strings.Replacer {
	var pairs []string
	for i := range s.ops {
		entry := &s.ops[i]
		pairs = append(pairs, entry.op.ID.String(), entry.label(), entry.op.Target.String(), entry.target)
	}
	return strings.NewReplacer(pairs...)
}

func endText(e *ended) string {
	if e.err != nil {
		return "error: " + e.err.Error()
	}
	return string(e.outcome.Status) + outcomeText(&e.outcome)
}

func (s *sender) showTallies(tallies []tally, took time.Duration) {
	t := s.a.table()
	fmt.Fprintln(t, "OUTCOME\tREASON\tOPERATIONS")
	for _, kind := range tallies {
		fmt.Fprintf(t, "%s\t%s\t%d\n", kind.Outcome, cmp.Or(string(kind.Reason), "-"), kind.Operations)
	}
	fmt.Fprintf(t, "all\t\t%d\n", len(s.ops))
	_ = t.Flush()
	s.a.printf("in %v, %.0f operations/s", took.Round(time.Millisecond), float64(len(s.ops))/took.Seconds())
}
