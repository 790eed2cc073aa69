package consumer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// op returns an operation of a type with params.
func op(name operation.Type, target uuid.UUID, p operation.Priority, params string) operation.Operation {
	return operation.Operation{
		ID: uuid.Must(uuid.NewV7()), Type: name, Target: target, Priority: p, Params: json.RawMessage(params),
	}
}

func create(target uuid.UUID) operation.Operation {
	return op(operation.CreateEntity, target, operation.Normal,
		`{"type":"valve","components":{"counter":0,"position":{"x":1}}}`)
}

func modify(target uuid.UUID, p operation.Priority, value string) operation.Operation {
	return op(operation.ModifyField, target, p, `{"field":"counter","value":`+value+`}`)
}

func count(target uuid.UUID, p operation.Priority) operation.Operation {
	return op(operation.ComplexUpdate, target, p, `{"add":{"counter":1}}`)
}

func borrow(target, source uuid.UUID, p operation.Priority) operation.Operation {
	o := op(operation.BorrowAttribute, target, p, `{"source_field":"position","target_field":"borrowed","create":true}`)
	o.Source = source
	return o
}

func attach(target, parent uuid.UUID, p operation.Priority) operation.Operation {
	return op(operation.AttachEntity, target, p, `{"parent_id":"`+parent.String()+`"}`)
}

// under makes o a child of parent.
func under(parent, o operation.Operation) operation.Operation {
	o.ParentID = parent.ID
	if parent.Target != o.Target {
		o.ParentTarget = parent.Target
	}
	return o
}

func carry(o operation.Operation) operation.Operation {
	o.OnLoss = operation.Carry
	return o
}

func retries(n int, o operation.Operation) operation.Operation {
	o.MaxRetries = &n
	return o
}

func expiring(in time.Duration, o operation.Operation) operation.Operation {
	o.ExpiresAt = time.Now().Add(in).UTC()
	return o
}

// entity returns the id of a name, which transcripts use.
func (w *world) entity(name string) uuid.UUID {
	id := operation.EntityID(name)
	w.names[id] = name
	return id
}

// made makes entities and waits until they are there. Transcripts begin afterwards.
func (w *world) made(names ...string) []uuid.UUID {
	w.t.Helper()
	var ids []uuid.UUID
	for _, name := range names {
		ids = append(ids, w.entity(name))
		w.send(create(ids[len(ids)-1]))
	}
	after(time.Second + w.cfg.Window)
	w.zero = time.Now()
	return ids
}

// submit publishes operations in order, and gives them their names.
func (w *world) submit(ops ...operation.Operation) {
	w.t.Helper()
	for _, o := range ops {
		if _, again := w.names[o.ID]; !again {
			w.count[o.Priority]++
			w.names[o.ID] = fmt.Sprintf("%s#%d", o.Priority, w.count[o.Priority])
		}
		w.send(o)
	}
}

// send publishes operations that transcripts leave out.
func (w *world) send(ops ...operation.Operation) {
	w.t.Helper()
	for _, o := range ops {
		body, err := json.Marshal(o)
		if err != nil {
			w.t.Fatal(err)
		}
		w.ops[o.ID] = o
		w.publish(w.space.Submit(o.Priority, o.Target), body)
	}
}

// pour publishes many operations, without waiting for each.
func (w *world) pour(ops []operation.Operation) {
	w.t.Helper()
	acks := make([]jetstream.PubAckFuture, len(ops))
	for i := range ops {
		w.ops[ops[i].ID] = ops[i]
		msg := &nats.Msg{Subject: w.space.Submit(ops[i].Priority, ops[i].Target), Data: encoded(w.t, &ops[i])}
		ack, err := w.js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute))
		if err != nil {
			w.t.Fatal(err)
		}
		acks[i] = ack
	}
	for _, ack := range acks {
		select {
		case stored := <-ack.Ok():
			w.sent = append(w.sent, sent{sequence: stored.Sequence, subject: ack.Msg().Subject, body: ack.Msg().Data, partitions: w.parts})
		case err := <-ack.Err():
			w.t.Fatal(err)
		}
	}
}

// cancel publishes a cancellation and returns its id.
func (w *world) cancel(o operation.Operation) uuid.UUID {
	w.t.Helper()
	c := operation.Cancel{ID: uuid.New(), OpID: o.ID, Reason: "changed my mind"}
	body, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(w.space.Cancel(o.Target), body)
	return c.ID
}

func (w *world) publish(subject string, body []byte) {
	w.t.Helper()
	w.post(&nats.Msg{Subject: subject, Data: body})
}

func (w *world) post(msg *nats.Msg) {
	w.t.Helper()
	ack, err := w.js.PublishMsg(w.t.Context(), msg)
	if err != nil {
		w.t.Fatal(err)
	}
	if ack.Duplicate {
		return
	}
	w.sent = append(w.sent, sent{sequence: ack.Sequence, subject: msg.Subject, body: msg.Data, partitions: w.parts})
}
