package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// auditor is one audit. It is for one goroutine; decoding alone happens in others.
type auditor struct {
	o      Options
	rules  Rules
	store  source
	feed   *feed[*stored]
	input  input
	report Report

	retention time.Duration // of events and decision records
	now       func() time.Time
	latest    func(ctx context.Context, subject string) (uint64, error) // sequence of the latest message of a subject
	whole     bool                                                      // everything that ever happened is there to be read
	judged    bool                                                      // a commit was, since the latest one that was not

	open         *commit // being read
	closed       uint64  // last sequence of the commits that were judged
	checked      uint64  // what was left was looked at after this one
	pending      uint64  // messages behind the latest one read
	skipped      bool    // the first commit, of which the beginning may be missing, was passed over
	parts        map[int]*partition
	partitions   int // how many there are, 0 if no record has told
	entities     map[uuid.UUID]*entity
	latestChange map[uuid.UUID]*event // of each entity that the commit at hand changes
	writers      map[string]uint64    // first sequence of each worker's latest commit
	unseen       map[uuid.UUID]bool   // entities whose head was replaced before it was read
	twins        map[content]known    // operations that another one of the same id has displaced in a ledger
}

func newAuditor(o Options) *auditor {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if o.Rules == (Rules{}) {
		o.Rules = DefaultRules()
	}
	a := &auditor{
		o: o, rules: o.Rules, now: time.Now, parts: map[int]*partition{},
		latestChange: map[uuid.UUID]*event{}, entities: map[uuid.UUID]*entity{}, writers: map[string]uint64{}, unseen: map[uuid.UUID]bool{},
		twins: map[content]known{},
	}
	a.latest = a.leader
	a.report.Violations = []Violation{}
	a.input.waiting = map[int][]*submission{}
	a.input.strange = func(sequences []uint64, format string, args ...any) {
		a.complain(Atomicity, spot{partition: nowhere, sequences: sequences, input: true}, format, args...)
	}
	return a
}

// complain reports a violation.
func (a *auditor) complain(i Invariant, at spot, format string, args ...any) {
	if len(a.report.Violations) >= a.o.Limit {
		a.report.Further++
		return
	}
	v := Violation{
		Invariant: i, Partition: at.partition, Stream: a.store.name, Sequences: at.sequences,
		Entity: at.entity, OpID: at.op, Message: fmt.Sprintf(format, args...),
	}
	if at.input {
		v.Stream = a.input.name
	}
	a.report.Violations = append(a.report.Violations, v)
	if a.o.Found != nil {
		a.o.Found(v)
	}
}

// enough reports whether so much is wrong that the audit may end.
func (a *auditor) enough() bool { return !a.o.Follow && len(a.report.Violations) >= a.o.Limit }

// incomplete notes what could not be checked, once.
func (a *auditor) incomplete(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(a.report.Incomplete, text) {
		a.report.Incomplete = append(a.report.Incomplete, text)
	}
}

// expirySlack is how much earlier than its time something may have been removed, by
// clocks that differ and times that are rounded.
const expirySlack = 5 * time.Second

// expired reports whether some of what was stored at a time may have been removed.
func (a *auditor) expired(at time.Time) bool {
	return at.Before(a.now().Add(expirySlack - a.retention))
}

// run reads the store's stream to its end, or until ctx is done.
func (a *auditor) run(ctx context.Context) error {
	for {
		c, err := a.feed.next(ctx, idleLook)
		switch {
		case err != nil:
			return err
		case c == nil:
			return a.finish(ctx)
		case len(c.decoded) == 0:
			if err := a.quiet(ctx); err != nil {
				return err
			}
			continue
		}
		for _, s := range c.decoded {
			if err := a.see(ctx, s); err != nil {
				return err
			}
		}
		a.pending = c.pending
		a.progress(c)
		if a.enough() {
			return errEnough
		}
		if a.over(c) {
			return a.finish(ctx)
		}
	}
}

func (a *auditor) progress(c *chunk[*stored]) {
	if a.o.Progress != nil {
		a.o.Progress(a.report.Counts.Messages, a.report.Counts.Messages+c.pending)
	}
}

// over reports whether an audit that does not follow has come to where the stream
// ended when it began, and to the end of a commit.
func (a *auditor) over(c *chunk[*stored]) bool {
	return !a.o.Follow && a.open == nil && c.last >= a.store.state.LastSeq
}

// see takes the next message of the store's stream.
func (a *auditor) see(ctx context.Context, s *stored) error {
	a.report.Counts.Messages++
	if a.report.From == 0 {
		a.report.From = s.sequence
	}
	a.report.To = s.sequence
	if s.problem != "" {
		a.complain(Form, spot{partition: s.partition, sequences: []uint64{s.sequence}}, "%s: %s", s.subject, s.problem)
	}
	if s.batch == "" || s.index == 0 {
		a.complain(Atomicity, spot{partition: s.partition, sequences: []uint64{s.sequence}}, "%s was not stored as part of a commit", s.subject)
		return nil
	}
	if a.open != nil && a.open.id != s.batch {
		if err := a.close(ctx); err != nil {
			return err
		}
	}
	if a.open == nil {
		a.open = a.begun(s)
	}
	a.add(s)
	if s.last {
		return a.close(ctx)
	}
	return nil
}

// quiet judges a commit that has lost its last message, once no more of it can come.
func (a *auditor) quiet(ctx context.Context) error {
	switch {
	case a.pending > 0:
	case a.open != nil && a.now().Sub(a.open.at) >= tailPatience:
		return a.close(ctx)
	case a.open == nil && a.o.Follow && a.checked < a.closed:
		a.checked = a.closed
		return a.finish(ctx)
	}
	return nil
}

// tailPatience is how long the messages of a commit may be apart when they are read.
const tailPatience = 5 * time.Second

// result completes the report.
func (a *auditor) result() Report {
	c := &a.report.Counts
	c.Partitions, c.Entities, c.Live = uint64(len(a.parts)), uint64(len(a.entities)), 0
	for _, p := range a.parts {
		c.Live += uint64(len(p.lives))
	}
	c.Pending = a.input.left()
	return a.report
}
