//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// slow is a type of operations that this process executes, asked by the worker.
const (
	slow        operation.Type = "slow"
	slowSubject string         = "plant.slow"
)

func slowType(name operation.Type) bool { return name == slow }

// How operations end, besides the reasons for which they are rejected.
const (
	succeeded = "succeeded"
	lost      = string(operation.LostConflict)
)

// lab is a site in which the reference cases are tried. Its windows are so long that
// what is sent together meets in one.
type lab struct {
	*site
	*record
	t *testing.T
}

// in returns the lab of a subtest.
func (l *lab) in(t *testing.T) *lab {
	t.Helper()
	return &lab{site: l.site, record: l.record, t: t}
}

// op makes the operation of a request.
func (l *lab) op(r client.Request) *operation.Operation {
	l.t.Helper()
	op, err := r.Operation()
	if err != nil {
		l.t.Fatal(err)
	}
	op.ID = uuid.Must(uuid.NewV7())
	return op
}

// modify is the request that most cases contend with.
func modify(target string, p operation.Priority) client.Request {
	return client.Request{
		Type: operation.ModifyField, Target: target, Priority: p, Params: map[string]any{"field": "value", "value": 7},
	}
}

func slowly(target string, p operation.Priority) client.Request {
	return client.Request{Type: slow, Target: target, Priority: p, Params: map[string]any{}}
}

// under makes a request the child of an operation.
func under(parent *operation.Operation, r client.Request) client.Request {
	r.Parent, r.ParentTarget = parent.ID.String(), parent.Target.String()
	return r
}

// send publishes requests together.
func (l *lab) send(requests ...client.Request) []*operation.Operation {
	l.t.Helper()
	var ops []*operation.Operation
	for _, r := range requests {
		ops = append(ops, l.op(r))
	}
	l.publish(ops...)
	return ops
}

// publish publishes operations together and returns the sequence of the last.
func (l *lab) publish(ops ...*operation.Operation) (last uint64) {
	l.t.Helper()
	var pending []*client.Pending
	for _, op := range ops {
		p, err := l.client.Start(l.t.Context(), op)
		if err != nil {
			l.t.Fatal(err)
		}
		defer p.Stop()
		pending = append(pending, p)
	}
	for _, p := range pending {
		receipt, err := p.Stored(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		last = receipt.Sequence
	}
	return last
}

// resolved publishes an operation and returns it when the window it was in is decided,
// whatever that said of it.
func (l *lab) resolved(r client.Request) *operation.Operation {
	l.t.Helper()
	op := l.op(r)
	sequence := l.publish(op)
	await(l.t, "the window of "+op.ID.String()+" to be decided", func(ctx context.Context) bool {
		fences, err := l.read.Fences(ctx)
		if err != nil {
			return false
		}
		partition := subjects.Partition(op.Target, len(fences))
		for _, f := range fences {
			if f.Partition == partition {
				return f.Cursor >= sequence
			}
		}
		return false
	})
	return op
}

// awaits waits for the n-th event of a kind about an operation.
func (l *lab) awaits(op *operation.Operation, kind operation.Kind, n int) {
	l.t.Helper()
	await(l.t, string(kind)+" of "+op.ID.String(), func(context.Context) bool {
		return l.count(op, kind) >= n
	})
}

// ends waits for the ends of operations and returns them: succeeded, or the reason
// for the rejection.
func (l *lab) ends(ops ...*operation.Operation) []string {
	l.t.Helper()
	var out []string
	for _, op := range ops {
		outcome, err := l.client.Wait(l.t.Context(), op.Target, op.ID)
		if err != nil {
			l.t.Fatal(err)
		}
		end := string(outcome.Status)
		if outcome.Reason != "" {
			end = string(outcome.Reason)
		}
		out = append(out, end)
		await(l.t, "the event of what was waited for", func(context.Context) bool {
			kinds := l.kinds(op)
			return len(kinds) > 0 && terminal(kinds[len(kinds)-1])
		})
	}
	return out
}

func terminal(kind operation.Kind) bool {
	_, ends := kind.Outcome()
	return ends
}

// wants compares the ends of operations.
func (l *lab) wants(ops []*operation.Operation, ends ...string) {
	l.t.Helper()
	if diff := cmp.Diff(ends, l.ends(ops...)); diff != "" {
		l.t.Errorf("ends (- want, + got):\n%s", diff)
	}
}

func (l *lab) succeeds(r client.Request) *operation.Operation {
	l.t.Helper()
	ops := l.send(r)
	l.wants(ops, succeeded)
	return ops[0]
}

// made makes entities with a counter, a field and a position.
func (l *lab) made(names ...string) {
	l.t.Helper()
	var requests []client.Request
	var ends []string
	for _, name := range names {
		requests = append(requests, client.Request{Type: operation.CreateEntity, Target: name, Params: map[string]any{
			"type": "valve", "components": map[string]any{"counter": 0, "value": 0, "position": map[string]any{"x": 1}},
		}})
		ends = append(ends, succeeded)
	}
	l.wants(l.send(requests...), ends...)
}

// follows checks that one operation started after another had ended, and once.
func (l *lab) follows(first, second *operation.Operation) {
	l.t.Helper()
	both := l.all(func(e seen) bool {
		return e.OpID == first.ID && terminal(e.kind) || e.OpID == second.ID && e.kind == operation.StartedEvent
	})
	if len(both) != 2 || both[0].OpID != first.ID {
		l.t.Errorf("%s was to start after the end of %s, and once: %v", second.ID, first.ID, both)
	}
}

// effective checks the effective priority that the events of an operation tell.
func (l *lab) effective(op *operation.Operation, want operation.Priority) {
	l.t.Helper()
	for _, e := range l.of(op) {
		if e.Effective != want {
			l.t.Errorf("%s of %s says %s, want %s", e.kind, op.ID, e.Effective, want)
		}
	}
}

// metric returns what the metrics of the lab's worker say under a name.
func (l *lab) metric(name string) float64 {
	l.t.Helper()
	got, err := l.workers[0].metric(l.t.Context(), name)
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}

// counts waits until a metric is what it has to be.
func (l *lab) counts(name string, want float64) {
	l.t.Helper()
	await(l.t, fmt.Sprintf("%s to be %g", name, want), func(ctx context.Context) bool {
		got, err := l.workers[0].metric(ctx, name)
		return err == nil && got == want
	})
}

// answer executes the slow operations until the subtest ends.
func (l *lab) answer(execute func(operation.Operation) error) {
	l.t.Helper()
	sub, err := l.nc.Subscribe(slowSubject, func(msg *nats.Msg) {
		go func() { // ends with the answer
			if err := msg.Respond(reply(msg.Data, execute)); err != nil {
				l.t.Errorf("answering: %v", err)
			}
		}()
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = sub.Unsubscribe() })
	l.flush()
}

// reply executes what is asked and returns the answer.
func reply(asked []byte, execute func(operation.Operation) error) []byte {
	var request consumer.RemoteRequest
	var reply consumer.RemoteReply
	err := json.Unmarshal(asked, &request)
	if err == nil {
		err = execute(*request.Operation)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	body, err := json.Marshal(reply)
	if err != nil {
		return fmt.Append(nil, err) // which the asker cannot read, and says so
	}
	return body
}
