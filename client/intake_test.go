package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// resizing opens the plant's streams for a change to so many partitions.
func (p *plant) resizing(to int) *ecsstore.Resizing {
	p.t.Helper()
	z, err := ecsstore.NewResizing(p.t.Context(), p.js, p.c.space, ecsstore.Resize{To: to, Owner: "scale", Patience: time.Minute})
	if err != nil {
		p.t.Fatal(err)
	}
	return z
}

// seal begins a change, so that nothing takes operations.
func (p *plant) seal(to int) {
	p.t.Helper()
	steps, err := p.resizing(to).Steps()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := steps[0].Do(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// TestR23_SubmissionsWaitForAScale submits in every way while nothing takes operations,
// and finishes the change meanwhile: each is stored, once.
func TestR23_SubmissionsWaitForAScale(t *testing.T) {
	p := setup(t)
	p.hire()
	p.end(p.create("valve-7"))
	p.seal(7)
	ends := make(chan error)
	for _, submit := range []func() error{
		func() error { _, err := p.c.SubmitAndWait(t.Context(), p.modify("valve-7", 1)); return err },
		func() error { _, err := p.c.Submit(t.Context(), p.modify("valve-7", 2)); return err },
		func() error {
			pending, err := p.c.Start(t.Context(), p.modify("valve-7", 3))
			if err != nil {
				return err
			}
			defer pending.Stop()
			_, err = pending.Outcome(t.Context())
			return err
		},
		func() error {
			got, err := p.c.Cancel(t.Context(), operation.EntityID("valve-7"), uuid.New(), "")
			if err == nil && got.Cancelled {
				err = errors.New("an unknown operation was cancelled")
			}
			return err
		},
	} {
		go func() { ends <- submit() }()
	}
	select {
	case err := <-ends:
		t.Errorf("something was taken: %v", err)
	case <-time.After(700 * time.Millisecond): // longer than the library tries
	}
	if _, err := p.resizing(7).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

// TestR23_ASubmissionDoesNotWaitForEver says why it gives up.
func TestR23_ASubmissionDoesNotWaitForEver(t *testing.T) {
	p := setup(t)
	p.seal(7)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	pending, err := p.c.Start(ctx, p.create("valve-8"))
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Stop()
	_, submitted := p.c.Submit(ctx, p.create("valve-7"))
	_, started := pending.Stored(ctx)
	for _, err := range []error{submitted, started} {
		if !errors.Is(err, ErrIntakeClosed) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, ErrIntakeClosed)
		}
	}
	if !errors.Is(submitted, ErrIntakeClosed) || !strings.Contains(submitted.Error(), "from 4 to 7") {
		t.Errorf("got %v, want %v and why", submitted, ErrIntakeClosed)
	}
}

// TestR9_RepeatedAcrossAScale submits what was submitted before the number of
// partitions was changed: the broker knows the message, and what it was is looked up
// where it was decided.
func TestR9_RepeatedAcrossAScale(t *testing.T) {
	p := setup(t)
	p.hire()
	var ops []*operation.Operation
	for _, name := range []string{"valve-1", "valve-2", "valve-3", "valve-4", "valve-5"} {
		op := p.create(name)
		p.end(op)
		ops = append(ops, op)
	}
	if _, err := p.resizing(3).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := p.js.Stream(t.Context(), p.c.space.OpsStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil { // as janitors do in time
		t.Fatal(err)
	}
	for _, op := range ops {
		receipt, err := p.c.Submit(t.Context(), op)
		if err != nil || !receipt.Duplicate {
			t.Errorf("again: %+v, %v", receipt, err)
		}
		other := *op
		other.Params = p.create("valve-6").Params
		if _, err := p.c.Submit(t.Context(), &other); !errors.Is(err, ErrOpIDConflict) {
			t.Errorf("another with its id: %v, want %v", err, ErrOpIDConflict)
		}
	}
}
