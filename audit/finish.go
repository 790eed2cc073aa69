package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// finish holds what the part says besides its events to the model that they have
// driven.
func (k *walk) finish() {
	final := k.endings()
	for id, s := range k.ends {
		if _, ok := final[id]; !ok {
			k.complain(Agreement, s, id, "%s: no decision record of the commit says that it has ended", s.event.kind)
		}
	}
	for id, n := range k.fresh {
		if n.taken.fate == operation.Contended && !n.met {
			k.complain(OneWinner, k.window(n.window), id, "it was taken to contend, and no decision has it (R4)")
		}
	}
	for _, f := range k.condemned {
		if k.p.lives[f.id] == f {
			k.complain(RightWinner, k.window(len(k.part.windows)), f.id, "it has lost in window %s (%s), and no event ends it (R5)", f.sentence.window, f.sentence.reason)
			f.sentence = nil
		}
	}
	for _, f := range k.touched {
		if k.p.lives[f.id] == f && f.status == operation.Failed {
			k.complain(Order, k.window(len(k.part.windows)), f.id, "an attempt has failed, and neither a retry nor a rejection follows in its commit (R12)")
		}
	}
	for _, s := range k.versions {
		k.complain(Agreement, s, s.version.op, "version %d of entity %s was stored, and no event of the commit tells of it (R20)", s.version.number, s.version.entity)
	}
	for sequence, s := range k.dead {
		k.complain(DeadLetters, s, uuid.Nil, "a dead letter says it is of sequence %d, which no window of the commit has taken as one", sequence)
	}
	for sequence, c := range k.cancels {
		if !c.answered && c.sub != nil {
			k.complain(Cancelling, k.window(c.window), c.sub.cancel, "the cancellation at %d was not answered (R17)", sequence)
		}
	}
	for _, s := range k.part.records {
		k.record(s)
	}
}

// ending is how a decision record says that an operation stands.
type ending struct {
	status operation.Status
	reason operation.Reason
}

// endings holds what the windows say of the end of operations to the events, and
// returns what they say.
func (k *walk) endings() map[uuid.UUID]ending {
	final := map[uuid.UUID]ending{}
	note := func(s *stored, id uuid.UUID, status operation.Status, reason operation.Reason) {
		if before, ok := final[id]; ok && before.status.Terminal() {
			k.complain(OneOutcome, s, id, "window %s says that it is %s, and it was %s before", s.window.id, status, before.status)
		}
		if status.Terminal() {
			final[id] = ending{status, reason}
			k.ended(s, id, status, reason)
		}
	}
	for _, s := range k.part.windows {
		for i := range s.window.taken {
			if t := &s.window.taken[i]; t.fate.Counted() {
				note(s, t.op, t.status, t.reason)
			}
		}
		for _, t := range s.window.settled {
			if !t.status.Terminal() {
				k.complain(Form, s, t.op, "window %s says that it has ended as %q", s.window.id, t.status)
			}
			note(s, t.op, t.status, t.reason)
		}
	}
	return final
}

// ended wants an event to end the operation as a window says.
func (k *walk) ended(s *stored, id uuid.UUID, status operation.Status, reason operation.Reason) {
	told := k.ends[id]
	if told == nil {
		k.complain(OneOutcome, s, id, "window %s says that it has ended as %s, and no event of the commit tells of it (R20)", s.window.id, status)
		if f := k.p.lives[id]; f != nil {
			k.p.end(f, status, k.c.first)
		}
		return
	}
	outcome, _ := told.event.kind.Outcome()
	if outcome != status || status == operation.Rejected && told.event.reason != reason {
		k.complain(Agreement, s, id, "window %s says that it has ended as %s %s, the event as %s %s", s.window.id, status, reason, outcome, told.event.reason)
	}
}

// record holds the record of an operation to the model.
func (k *walk) record(s *stored) {
	r := s.record
	f := k.p.lives[r.id]
	if r.status.Terminal() {
		if status, known := k.status(r.id); f != nil || known && status != r.status {
			k.complain(Agreement, s, r.id, "its record says that it has ended as %s, by the events it is %s", r.status, status)
		}
		return
	}
	switch {
	case f == nil && k.p.whole:
		k.complain(Agreement, s, r.id, "its record says that it is %s, and it has ended or was never taken", r.status)
		return
	case f == nil, f.stranger:
		k.p.adoptRecord(r)
		k.p.lives[r.id].vague = false
		return
	}
	f.recorded = true
	l := k.p.lane(f.entity)
	if r.role == operation.CarriedRole {
		if l.contest == unknown {
			l.contest = r.contest
		}
		l.counted = true
	}
	switch {
	case r.role == operation.CarriedRole && r.contest != l.contest:
		k.complain(RetryLaw, s, r.id, "its record is of window %d that the entity's carried operations have lost, and there were %d (R5)", r.contest, l.contest)
	case r.status != f.status || r.role != f.role:
		k.complain(Agreement, s, r.id, "its record says %s, %s; by the events it is %s, %s", r.role, r.status, f.role, f.status)
	case r.attempt != f.attempt || r.retries != f.retries || r.losses != f.losses:
		k.complain(RetryLaw, s, r.id, "its record says %d attempts, %d retries, %d losses; by the events it is %d, %d, %d",
			r.attempt, r.retries, r.losses, f.attempt, f.retries, f.losses)
	case r.digest != f.digest || r.content != f.digest || r.sequence != f.sequence || r.target != f.entity:
		k.complain(Agreement, s, r.id, "its record is of content %016x (%016x), submitted at %d for %s; taken was %016x, submitted at %d for %s",
			r.digest, r.content, r.sequence, r.target, f.digest, f.sequence, f.entity)
	case r.effective != f.effective || !r.created.Equal(f.created) || r.window != f.window:
		k.complain(Agreement, s, r.id, "its record says %s, created at %s, window %d; by the decision it is %s, %s, %d",
			r.effective, clock(r.created), r.window, f.effective, clock(f.created), f.window)
	case !r.attemptAt.Equal(f.attemptAt) || !r.due.Equal(f.due) && (!r.due.IsZero() || r.status != operation.Pending):
		k.complain(RetryLaw, s, r.id, "its record says that attempt %d began at %s and the next is due at %s; by the events it is %s and %s",
			r.attempt, clock(r.attemptAt), clock(r.due), clock(f.attemptAt), clock(f.due))
	}
}

// begin prepares the reading of both streams.
func (a *auditor) begin(ctx context.Context, retention time.Duration) error {
	a.retention = retention
	if err := a.store.look(ctx); err != nil {
		return err
	}
	if err := a.input.look(ctx); err != nil {
		return err
	}
	a.whole = a.o.Since == (Start{}) && !a.expired(a.store.born)
	if !a.whole && a.o.Since == (Start{}) {
		a.incomplete("events and decision records are kept %v: what is older than that cannot be checked", retention)
	}
	a.input.trimmed = max(a.input.state.FirstSeq, 1) - 1
	if a.input.trimmed > 0 {
		a.incomplete("the operations stream begins at %d: what was submitted before cannot be compared with what was taken", a.input.trimmed+1)
	}
	return nil
}

// finish looks at what is left when everything was read: lives must have records, and
// heads that events tell of must be there.
func (a *auditor) finish(ctx context.Context) error {
	if c := a.open; c != nil {
		if a.now().Sub(c.at) < tailPatience {
			a.open = nil // its end may be on its way
		} else if err := a.close(ctx); err != nil {
			return err
		}
	}
	for id := range a.unseen {
		e := a.entities[id]
		last, err := a.last(ctx, a.o.Space.State(id))
		if err != nil {
			return err
		}
		if last <= a.closed {
			a.complain(Agreement, spot{partition: nowhere, entity: id, op: e.last}, "by the events it was changed by %s, and no head of that or later was stored (R20)", e.last)
		}
		delete(a.unseen, id)
	}
	for _, p := range a.parts {
		if err := a.finishPartition(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (a *auditor) finishPartition(ctx context.Context, p *partition) error {
	for id, f := range p.lives {
		if f.recorded || f.stranger {
			continue
		}
		last, err := a.last(ctx, a.o.Space.Record(p.id, id))
		if err != nil {
			return err
		}
		if last <= a.closed {
			a.complain(OneOutcome, spot{partition: p.id, entity: f.entity, op: id}, "it was taken as %d, is %s, and has neither an end nor a record: it is lost (R16, R21)", f.sequence, f.status)
		}
		f.recorded = true
	}
	for entity, l := range p.lanes {
		if err := a.finishLane(ctx, p, entity, l); err != nil {
			return err
		}
	}
	if !p.seen || p.base != nil {
		return nil
	}
	last, err := a.last(ctx, a.o.Space.Fence(p.id))
	if err == nil && last <= a.closed {
		a.complain(Chain, spot{partition: p.id}, "no fence of it was stored with its latest window, number %d, or later", p.number)
	}
	return err
}

// finishLane wants a record to tell how often what an entity carries has lost.
func (a *auditor) finishLane(ctx context.Context, p *partition, entity uuid.UUID, l *lane) error {
	if len(l.carried) == 0 || l.counted || l.contest == unknown {
		return nil
	}
	for _, f := range l.carried {
		last, err := a.last(ctx, a.o.Space.Record(p.id, f.id))
		if err != nil || last > a.closed {
			return err
		}
	}
	a.complain(RetryLaw, spot{partition: p.id, entity: entity, op: l.carried[0].id},
		"%d operations are carried, and no record says that they have lost window %d of those that they were in together (R5)", len(l.carried), l.contest)
	l.counted = true
	return nil
}

// last returns the sequence of the latest message of a subject, 0 if there is none.
// The answer is the stream leader's.
func (a *auditor) last(ctx context.Context, subject string) (uint64, error) {
	msg, err := a.latest(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the latest %s: %w", subject, err)
	}
	return msg, nil
}

// leader asks for the latest message of a subject as only the stream's leader answers.
func (a *auditor) leader(ctx context.Context, subject string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return 0, err
	}
	reply, err := a.o.JS.Conn().RequestWithContext(ctx, a.api()+"STREAM.MSG.GET."+a.store.name, body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return 0, err
	}
	if answer.Error != nil {
		return 0, answer.Error
	}
	return answer.Message.Sequence, nil
}

// api returns the prefix of the subjects on which JetStream is asked.
func (a *auditor) api() string {
	switch o := a.o.JS.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return "$JS.API."
}
