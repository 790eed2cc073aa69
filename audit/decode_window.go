package audit

import (
	"crypto/sha256"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
)

// decodeWindow reads a decision record, and judges its decisions.
func decodeWindow(s *stored, tail string, _ nats.Header) error {
	if err := s.locate(windowFamily, tail); err != nil {
		return err
	}
	r := reader{data: s.data}
	w := r.window()
	if err := r.done(); err != nil {
		return fmt.Errorf("reading a decision record: %w", err)
	}
	if w.partition != s.partition || w.id != operation.WindowID(w.partition, w.number) {
		return fmt.Errorf("the decision record says it is window %q, number %d of partition %d", w.id, w.number, w.partition)
	}
	w.sum = sha256.Sum256(s.data)
	for i := range w.decisions {
		w.faults = append(w.faults, judge(&w.decisions[i])...)
	}
	s.window = &w
	return nil
}

func (r *reader) window() (w window) {
	for key := range r.members() {
		switch string(key) {
		case "id":
			w.id = string(r.text())
		case "partition":
			w.partition = r.count()
		case "number":
			w.number = r.uint()
		case "owner":
			w.owner = string(r.text())
		case "epoch":
			w.epoch = r.uint()
		case "batch_id":
			w.batch = string(r.text())
		case "after":
			w.after = r.uint()
		case "cursor":
			w.cursor = r.uint()
		case "cause":
			w.cause = operation.CloseCause(r.text())
		case "closed":
			w.closed = r.time()
		case "taken":
			for range r.elements() {
				w.taken = append(w.taken, r.taken())
			}
		case "settled":
			for range r.elements() {
				w.settled = append(w.settled, r.settled())
			}
		case "decisions":
			for range r.elements() {
				w.decisions = append(w.decisions, r.decision())
			}
		case "digest":
			w.digest = string(r.text())
		case "previous":
			w.previous = string(r.text())
		case "partitions":
			w.partitions = r.count()
		}
	}
	return w
}

func (r *reader) taken() (t taken) {
	for key := range r.members() {
		switch string(key) {
		case "sequence":
			t.sequence = r.uint()
		case "op_id":
			t.op = r.id()
		case "digest":
			t.digest = r.digest()
		case "fate":
			t.fate = word(fates, r.text())
		case "status":
			t.status = word(statuses, r.text())
		case "reason":
			t.reason = word(reasons, r.text())
		case "target":
			t.target = string(r.text())
		}
	}
	return t
}

// decodeLedger reads a page of what a partition remembers from before the number of
// partitions was changed.
func decodeLedger(s *stored, tail string, _ nats.Header) error {
	if err := s.locate(ledgerFamily, tail); err != nil {
		return err
	}
	r, p := reader{data: s.data}, &page{}
	for key := range r.members() {
		switch string(key) {
		case "partitions":
			p.partitions = r.count()
		case "partition":
			if n := r.count(); n != s.partition {
				return fmt.Errorf("the page of a ledger says it is of partition %d", n)
			}
		case "taken":
			for range r.elements() {
				p.taken = append(p.taken, r.taken())
			}
		}
	}
	if err := r.done(); err != nil {
		return fmt.Errorf("reading a page of a ledger: %w", err)
	}
	s.page = p
	return nil
}

// decodeCheckpoint reads what sums up decision records.
func decodeCheckpoint(s *stored, tail string, _ nats.Header) error {
	if err := s.locate(checkpointFamily, tail); err != nil {
		return err
	}
	r, c := reader{data: s.data}, &sums{}
	for key := range r.members() {
		switch string(key) {
		case "partition":
			if n := r.count(); n != s.partition {
				return fmt.Errorf("the checkpoint says it is of partition %d", n)
			}
		case "after":
			c.after = r.uint()
		case "through":
			c.through = r.uint()
		case "chain":
			c.chain = string(r.text())
		case "windows":
			for range r.elements() {
				c.taken = r.summed(c.taken)
			}
		case "settled":
			for range r.elements() {
				c.settled = append(c.settled, r.settled())
			}
		}
	}
	if err := r.done(); err != nil {
		return fmt.Errorf("reading a checkpoint: %w", err)
	}
	s.sums = c
	return nil
}

// summed appends what a checkpoint tells of a window.
func (r *reader) summed(to []summed) []summed {
	first, window := len(to), uint64(0)
	for key := range r.members() {
		switch string(key) {
		case "sequence":
			window = r.uint()
		case "taken":
			for range r.elements() {
				t := r.taken()
				to = append(to, summed{op: t.op, digest: t.digest, status: t.status})
			}
		}
	}
	for i := first; i < len(to); i++ {
		to[i].window = window
	}
	return to
}

func (r *reader) settled() (s settled) {
	for key := range r.members() {
		switch string(key) {
		case "op_id":
			s.op = r.id()
		case "status":
			s.status = word(statuses, r.text())
		case "reason":
			s.reason = word(reasons, r.text())
		}
	}
	return s
}

func (r *reader) decision() (d decision) {
	for key := range r.members() {
		switch string(key) {
		case "entity":
			d.entity = r.id()
		case "holder":
			d.holder = r.holder()
		case "preempts":
			d.preempts = r.bool()
		case "contenders":
			r.next()
			start := r.pos
			for range r.elements() {
				d.contenders = append(d.contenders, r.contender())
			}
			d.text = r.data[start:r.pos]
		}
	}
	return d
}

func (r *reader) holder() *holder {
	if r.null() {
		return nil
	}
	var h holder
	for key := range r.members() {
		switch string(key) {
		case "op_id":
			h.op = r.id()
		case "effective_priority":
			h.effective = r.priority()
		case "status":
			h.status = word(statuses, r.text())
		case "protected":
			h.protected = r.bool()
		case "missing":
			h.missing = r.bool()
		case "attempt_at":
			h.attemptAt = r.time()
		}
	}
	return &h
}

func (r *reader) contender() (c contender) {
	for key := range r.members() {
		switch string(key) {
		case "op_id":
			c.op = r.id()
		case "priority":
			c.own = r.priority()
		case "effective_priority":
			c.effective = r.priority()
		case "inherited_from":
			c.from = r.id()
		case "parent_op_id":
			c.parent = r.id()
		case "created_at":
			c.created = r.time()
		case "sequence":
			c.sequence = r.uint()
		case "losses":
			c.losses = r.count()
		case "on_loss":
			c.onLoss = operation.OnLoss(r.text())
		case "creates":
			c.creates = r.bool()
		case "verdict":
			c.verdict = word(verdicts, r.text())
		case "reason":
			c.reason = word(reasons, r.text())
		case "separator":
			c.separator = word(separators, r.text())
		}
	}
	return c
}
