package ecsstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func (a *archive) event(kind operation.Kind, entity uuid.UUID, n int) {
	a.t.Helper()
	detail := operation.CancelDetail{Detail: operation.Detail{OpID: entity, Target: entity.String()}}
	event, err := operation.NewEvent(operation.CancelledEvent, fmt.Sprint(n), 0, entity.String(), time.Now(), "", detail)
	if err != nil {
		a.t.Fatal(err)
	}
	event.Type = operation.EventType(kind)
	a.put(a.space.Event(kind, entity), event)
}

// ids returns the ids of the events that a filter matches.
func (a *archive) ids(f ecsstore.EventFilter) (ids []string) {
	a.t.Helper()
	for event, err := range a.read.Events(a.t.Context(), f) {
		if err != nil {
			a.t.Fatal(err)
		}
		ids = append(ids, event.Body.ID)
	}
	return ids
}

func TestScansTellWhatIsMissing(t *testing.T) {
	read := ecsstore.NewReader(natstest.Start(t).JetStream(t), subjects.Space{})
	for _, filter := range []ecsstore.EventFilter{{}, {Follow: true}} {
		var got error
		for _, err := range read.Events(t.Context(), filter) {
			got = err
		}
		if !errors.Is(got, ecsstore.ErrNotInitialized) {
			t.Errorf("Events(%+v): %v, want ErrNotInitialized", filter, got)
		}
	}
	if _, err := read.Fences(t.Context()); !errors.Is(err, ecsstore.ErrNotInitialized) {
		t.Errorf("Fences: %v, want ErrNotInitialized", err)
	}
}

func TestEventsAreFiltered(t *testing.T) {
	a := newArchive(t)
	one, other := operation.EntityID("one"), operation.EntityID("other")
	done, lost := operation.CompletedEvent, operation.RejectedEvent
	a.event(done, one, 1)
	a.event(lost, one, 2)
	a.event(done, other, 3)
	a.event(operation.StartedEvent, other, 4)
	for _, c := range []struct {
		filter ecsstore.EventFilter
		want   []string
	}{
		{ecsstore.EventFilter{}, []string{"1", "2", "3", "4"}},
		{ecsstore.EventFilter{Entity: one}, []string{"1", "2"}},
		{ecsstore.EventFilter{Kinds: []operation.Kind{done}}, []string{"1", "3"}},
		{ecsstore.EventFilter{Kinds: []operation.Kind{done, lost}, Entity: other}, []string{"3"}},
		{ecsstore.EventFilter{Since: time.Unix(0, 0)}, []string{"1", "2", "3", "4"}},
		{ecsstore.EventFilter{Since: time.Now().Add(time.Hour)}, nil},
	} {
		if diff := gocmp.Diff(c.want, a.ids(c.filter)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.filter, diff)
		}
	}
}

func TestEventsGoOnAfterOneThatCannotBeRead(t *testing.T) {
	a := newArchive(t)
	id := operation.EntityID("one")
	a.event(operation.CompletedEvent, id, 1)
	a.put(a.space.Event(operation.CompletedEvent, id), "no event")
	a.event(operation.CompletedEvent, id, 3)
	var got []string
	for event, err := range a.read.Events(t.Context(), ecsstore.EventFilter{}) {
		if err != nil {
			got = append(got, "error")
			continue
		}
		got = append(got, event.Body.ID)
	}
	if want := []string{"1", "error", "3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestR20_FollowSeesEachEventOnceAcrossARestart(t *testing.T) {
	a := newArchive(t)
	id := operation.EntityID("one")
	a.event(operation.CompletedEvent, id, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, ended := make(chan string, 10), make(chan error, 1)
	go func() {
		var last error
		for event, err := range a.read.Events(ctx, ecsstore.EventFilter{Follow: true, Since: time.Unix(0, 0)}) {
			if last = err; err == nil {
				seen <- event.Body.ID
			}
		}
		ended <- last
	}()
	for n := range 3 {
		if n > 0 {
			a.event(operation.CompletedEvent, id, n)
		}
		if got := <-seen; got != fmt.Sprint(n) {
			t.Errorf("saw %s, want %d", got, n)
		}
		a.broker.Restart(t)
		natstest.Await(t, "the broker to answer", func(ctx context.Context) bool {
			_, err := a.read.Fences(ctx)
			return err == nil
		})
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want context.Canceled", err)
	}
	if len(seen) > 0 {
		t.Errorf("saw %s besides", <-seen)
	}
}
