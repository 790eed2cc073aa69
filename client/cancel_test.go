package client

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// hold is a type of operation that holds its entity for as long as a test wants.
const hold operation.Type = "hold"

// stands waits until an operation has a record with a role and a status.
func (p *plant) stands(op *operation.Operation, role operation.Role, status operation.Status) {
	p.t.Helper()
	natstest.Await(p.t, string(op.Type)+" to be "+string(status)+" as "+string(role), func(ctx context.Context) bool {
		for r, err := range p.c.Reader().Live(ctx, subjects.Partition(op.Target, 4)) {
			if err == nil && r.OpID == op.ID && r.Role == role && r.Status == status {
				return true
			}
		}
		return false
	})
}

// TestR17_CancelInEachState cancels operations in each state that there is.
func TestR17_CancelInEachState(t *testing.T) {
	p := setup(t)
	end := make(chan struct{})
	p.c, _ = New(p.js.Conn(), WithTypes(func(name operation.Type) bool { return name == hold }))
	p.hire(func(cfg *consumer.Config) {
		cfg.RetryBase, cfg.RetryMax = time.Minute, time.Minute
		cfg.Slow = map[operation.Type]ecsstore.SlowSystem{hold: ecsstore.SlowFunc(
			func(ctx context.Context, _ ecsstore.Task) (ecsstore.Patch, error) {
				select {
				case <-end:
				case <-ctx.Done():
				}
				return ecsstore.Patch{}, ctx.Err()
			})}
	})
	p.end(p.create("valve-7"))
	holder, next, carried := p.op(Request{Type: hold, Target: "valve-7"}), p.modify("valve-7", 1), p.modify("valve-7", 2)
	next.Priority, carried.OnLoss = operation.High, operation.Carry
	retrying, wrong := p.modify("valve-8", 3), p.modify("valve-7", "open")
	for _, step := range []struct {
		op     *operation.Operation
		role   operation.Role
		status operation.Status
	}{
		{holder, operation.HolderRole, operation.Executing},
		{next, operation.NextRole, operation.Pending},
		{carried, operation.CarriedRole, operation.Pending},
		{retrying, operation.HolderRole, operation.Pending},
	} {
		if _, err := p.c.Submit(t.Context(), step.op); err != nil {
			t.Fatal(err)
		}
		p.stands(step.op, step.role, step.status)
	}
	for _, op := range []*operation.Operation{carried, next, retrying} {
		p.cancels(op, true, "")
	}
	p.cancels(holder, false, operation.Executing)
	close(end)
	if outcome, err := p.c.Wait(t.Context(), holder.Target, holder.ID); err != nil || !outcome.Succeeded() {
		t.Errorf("the holder: %+v, %v", outcome, err)
	}
	p.end(wrong)
	p.cancels(holder, false, operation.Succeeded)
	p.cancels(wrong, false, operation.Rejected)
	p.cancels(next, false, operation.Cancelled)
	p.cancels(&operation.Operation{ID: uuid.New(), Target: holder.Target}, false, "")
}

func (p *plant) cancels(op *operation.Operation, want bool, status operation.Status) {
	p.t.Helper()
	got, err := p.c.Cancel(p.t.Context(), op.Target, op.ID, "changed my mind")
	if err != nil || got.Cancelled != want || got.Status != status {
		p.t.Errorf("cancelled %t, the operation is %q, %v; want %t, %q", got.Cancelled, got.Status, err, want, status)
	}
}
