package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// commit is one atomic batch, or what is left of it: its fences, heads and records
// are gone where later ones have replaced them.
type commit struct {
	id     string
	first  uint64 // sequence of its first message, whether that is still there or not
	end    uint64 // sequence of its latest message
	at     time.Time
	stage  family // of its latest message
	fences []*stored
	heads  []*stored
	parts  []*part
	checks []*stored
	strays []*stored // that stand in another partition's part
	inner  uint64    // sequence of the first message of its first part
}

// part is what one partition has in a commit.
type part struct {
	partition int
	records   []*stored
	versions  []*stored
	events    []*stored
	dead      []*stored
	ledger    []*stored
	sums      []*stored
	windows   []*stored
}

// pages reports whether the part is nothing but pages of a ledger.
func (p *part) pages() bool {
	return len(p.ledger) > 0 && len(p.records)+len(p.versions)+len(p.events)+len(p.dead)+len(p.sums)+len(p.windows) == 0
}

func (p *part) last() *window { return p.windows[len(p.windows)-1].window }

// begun returns the commit that a message is the first visible one of.
func (a *auditor) begun(s *stored) *commit {
	c := &commit{id: s.batch, first: s.sequence - s.index + 1, at: s.at}
	if c.first <= a.closed {
		a.complain(Atomicity, spot{partition: s.partition, sequences: []uint64{a.closed, s.sequence}},
			"commit %s begins at %d, within the one before, which ends at %d", c.id, c.first, a.closed)
	}
	return c
}

// add puts the next message into the open commit.
func (a *auditor) add(s *stored) {
	c := a.open
	if s.sequence-s.index+1 != c.first {
		a.complain(Atomicity, spot{partition: s.partition, sequences: []uint64{s.sequence}},
			"message %d of commit %s, which begins at %d, was stored at %d", s.index, c.id, c.first, s.sequence)
	}
	c.end = s.sequence
	if s.problem != "" {
		return
	}
	if s.family < headFamily && c.stage >= headFamily || s.family == headFamily && c.inner > 0 {
		a.complain(Form, spot{partition: s.partition, sequences: []uint64{s.sequence}}, "%s is out of place in commit %s", s.subject, c.id)
	}
	c.stage = max(c.stage, min(s.family, recordFamily))
	switch s.family {
	case fenceFamily:
		c.fences = append(c.fences, s)
	case headFamily:
		c.heads = append(c.heads, s)
	case checkFamily:
		c.checks = append(c.checks, s)
	case recordFamily, versionFamily, eventFamily, deadFamily, ledgerFamily, checkpointFamily, windowFamily:
		if c.inner == 0 {
			c.inner = s.sequence
		}
		a.part(s)
	case strangeFamily:
	}
}

// part puts a message into the part of its partition. A part ends with its decision
// records.
func (a *auditor) part(s *stored) {
	c := a.open
	var p *part
	if n := len(c.parts); n > 0 {
		p = c.parts[n-1]
	}
	if p == nil || len(p.windows) > 0 && (s.family != windowFamily || s.partition != p.partition) {
		p = &part{partition: nowhere}
		c.parts = append(c.parts, p)
	}
	switch {
	case s.partition == nowhere: // versions belong to whatever part they stand in
	case p.partition == nowhere:
		p.partition = s.partition
	case p.partition != s.partition:
		c.strays = append(c.strays, s)
	}
	switch s.family { //nolint:exhaustive // the others stand in no part
	case recordFamily:
		p.records = append(p.records, s)
	case versionFamily:
		p.versions = append(p.versions, s)
	case eventFamily:
		p.events = append(p.events, s)
	case deadFamily:
		p.dead = append(p.dead, s)
	case ledgerFamily:
		p.ledger = append(p.ledger, s)
	case checkpointFamily:
		p.sums = append(p.sums, s)
	case windowFamily:
		p.windows = append(p.windows, s)
	}
}

// close judges the open commit.
func (a *auditor) close(ctx context.Context) error {
	c := a.open
	a.open, a.closed = nil, max(a.closed, c.end)
	a.report.Counts.Commits++
	if !a.skipped && a.o.Since != (Start{}) {
		a.skipped = true
		a.skim(c)
		return nil
	}
	if a.expired(c.at) {
		a.skim(c)
		return nil
	}
	return a.judgeCommit(ctx, c)
}

// skim learns from a commit what helps to understand those that follow, and checks
// nothing but the versions, which are never removed.
func (a *auditor) skim(c *commit) {
	a.lapse()
	for _, p := range c.parts {
		for _, s := range p.versions {
			a.learnVersion(s)
		}
		for _, s := range p.records {
			a.partition(s.partition).adoptRecord(s.record)
		}
	}
	for _, s := range c.heads {
		a.learnHead(s)
	}
	for _, s := range c.fences {
		a.partition(s.partition).adoptFence(s)
	}
}

// lapse forgets what may be out of date, since some of what was stored is gone.
func (a *auditor) lapse() {
	if !a.whole && !a.judged {
		return
	}
	a.whole, a.judged, a.partitions = false, false, 0
	clear(a.parts)
	clear(a.twins)
	for _, e := range a.entities {
		*e = entity{revision: e.revision, versions: e.versions}
	}
	clear(a.unseen)
}

// judgeCommit holds a commit to the invariants.
func (a *auditor) judgeCommit(ctx context.Context, c *commit) error {
	a.judged = true
	before := a.partitions
	for _, s := range c.strays {
		a.complain(Agreement, spot{partition: s.partition, sequences: []uint64{s.sequence}},
			"%s stands among what another partition has in the commit", s.subject)
	}
	for _, p := range c.parts {
		if p.pages() {
			a.judgePages(c, p)
			continue
		}
		if len(p.windows) == 0 {
			a.complain(Agreement, spot{partition: p.partition, sequences: []uint64{c.first, c.end}},
				"partition %d has no decision record in commit %s", p.partition, c.id)
			continue
		}
		if err := a.input.advance(ctx, p.last().cursor); err != nil {
			return err
		}
		a.judgePart(c, p)
	}
	a.judgeResize(c, before)
	a.judgeChecks(c)
	for _, s := range c.heads {
		a.judgeHead(s)
	}
	a.settleEntities(c)
	for _, s := range c.fences {
		a.judgeFence(c, s)
	}
	for i, p := range c.parts {
		if len(p.windows) > 0 {
			a.writers[p.last().owner] = c.first
			a.partition(p.partition).committed(c.first + uint64(i)) //nolint:gosec // fences stand in the order of the parts
		}
	}
	return nil
}

// digest returns the digest of a part as its last decision record has it.
func (p *part) digest() string {
	h := sha256.New()
	zero := []byte{0}
	for _, list := range [][]*stored{p.versions, p.events, p.dead} {
		for _, s := range list {
			_, _ = h.Write([]byte(s.subject))
			_, _ = h.Write(zero)
			_, _ = h.Write(s.data)
			_, _ = h.Write(zero)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
