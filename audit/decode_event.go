package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
)

// decodeEvent reads an event and checks its envelope against its subject and data.
func decodeEvent(s *stored, tail string, _ nats.Header) error {
	s.family = eventFamily
	name, target, found := strings.Cut(tail, ".")
	kind, known := kinds[name]
	if !found || !known || strings.Contains(target, ".") {
		return errors.New("its subject is that of no event")
	}
	e := &event{kind: kind, target: target}
	e.entity = entityOf(target)
	r := reader{data: s.data}
	env := e.envelope(&r)
	if err := r.done(); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	s.partition = env.partition
	s.event = e
	return env.check(e)
}

// envelope is what an event says of itself beside its data.
type envelope struct {
	id, source, kind, subject, target, spec []byte
	partition                               int
	windowPartition                         int
}

// envelope reads an event into e and returns what it says of itself.
func (e *event) envelope(r *reader) (env envelope) {
	env.partition = unknown
	for key := range r.members() {
		switch string(key) {
		case "specversion":
			env.spec = r.text()
		case "id":
			env.id = r.text()
		case "source":
			env.source = r.text()
		case "type":
			env.kind = r.text()
		case "subject":
			env.subject = r.text()
		case "time":
			e.at = r.time()
		case "data":
			e.data(r, &env)
		}
	}
	return env
}

func (e *event) data(r *reader, env *envelope) {
	for key := range r.members() {
		switch string(key) {
		case "op_id":
			e.op = r.id()
		case "op_type":
			e.opType = word(types, r.text())
		case "target_entity_id":
			env.target = r.text()
		case "priority":
			e.own = r.priority()
		case "effective_priority":
			e.effective = r.priority()
		case "worker":
			e.worker = r.text()
		case "partition":
			env.partition = r.count()
		case "window":
			env.windowPartition, e.window = windowID(r.text())
		case "sequence":
			e.sequence = r.uint()
		default:
			e.detail(string(key), r)
		}
	}
}

// detail reads what only some kinds have.
func (e *event) detail(key string, r *reader) {
	switch key {
	case "attempt":
		e.attempt = r.count()
	case "version":
		e.version = r.uint()
	case "revision":
		e.revision = r.uint()
	case "changes":
		for range r.elements() {
			e.changes = append(e.changes, r.effect())
		}
	case "reason":
		e.reason = word(reasons, r.text())
	case "retry_count":
		e.retries = r.count()
	case "max_retries":
		e.maxRetries = r.count()
	case "backoff_ms":
		e.backoff = r.float()
	case "due":
		e.due = r.time()
	case "winner_op_id":
		e.winner = r.id()
	case "winner_priority":
		e.winnerPriority = r.priority()
	case "cancel_id":
		e.cancel = r.id()
	case "status":
		e.status = word(statuses, r.text())
	case "contenders":
		e.contenders = r.raw()
	}
}

func (r *reader) effect() (c effect) {
	for key := range r.members() {
		switch string(key) {
		case "entity":
			c.entity = r.id()
		case "action":
			c.action = word(actions, r.text())
		case "version":
			c.version = r.uint()
		case "path":
			c.path = string(r.text())
		case "value":
			c.value = r.raw()
		}
	}
	return c
}

// check compares the envelope with the subject and with the data.
func (env *envelope) check(e *event) error {
	switch {
	case string(env.kind) != operation.EventType(e.kind):
		return fmt.Errorf("an event of kind %s has the type %q", e.kind, env.kind)
	case string(env.subject) != e.target || string(env.target) != e.target:
		return fmt.Errorf("an event about %s says it is about %q and %q", e.target, env.subject, env.target)
	case string(env.source) != operation.EventSource(env.partition) || env.windowPartition != env.partition:
		return fmt.Errorf("an event of partition %d says it comes from %q and window %d-", env.partition, env.source, env.windowPartition)
	case string(env.spec) != "1.0":
		return fmt.Errorf("an event has the CloudEvents version %q", env.spec)
	}
	head, tail, _ := cutLast(env.id, '/')
	e.serial, _ = strconv.Atoi(string(tail))
	if want := e.name(env.partition); string(head) != want || e.kind == operation.ConflictEvent && string(tail) != e.target {
		return fmt.Errorf("an event that should be %s... has the id %q", want, env.id)
	}
	return nil
}

// name returns the event's id without its last part.
func (e *event) name(partition int) string {
	switch e.kind { //nolint:exhaustive // the others are named after their operation
	case operation.ConflictEvent:
		return operation.WindowID(partition, e.window) + "/" + string(e.kind)
	case operation.CancelRefusedEvent:
		return e.cancel.String() + "/" + string(e.kind)
	}
	return e.op.String() + "/" + string(e.kind)
}

func cutLast(text []byte, sep byte) (head, tail []byte, found bool) {
	i := bytes.LastIndexByte(text, sep)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+1:], true
}
