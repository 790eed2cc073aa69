package ecsstore_test

import (
	"errors"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func (a *archive) window(partition int, number uint64) {
	a.t.Helper()
	a.put(a.space.Window(partition), operation.Window{
		ID: operation.WindowID(partition, number), Partition: partition, Number: number,
	})
}

// TestWindowsAreFiltered reads decision records of all and of some partitions, in the
// order of commits, and knows how many are left.
func TestWindowsAreFiltered(t *testing.T) {
	a := newArchive(t)
	a.window(0, 1)
	a.window(1, 1)
	a.put(a.space.Fence(0), operation.Fence{})
	a.window(2, 1)
	a.window(0, 2)
	for name, c := range map[string]struct {
		filter ecsstore.WindowFilter
		want   []string
	}{
		"all":   {ecsstore.WindowFilter{}, []string{"0-1", "1-1", "2-1", "0-2"}},
		"one":   {ecsstore.WindowFilter{Partitions: []int{0}}, []string{"0-1", "0-2"}},
		"two":   {ecsstore.WindowFilter{Partitions: []int{0, 2}}, []string{"0-1", "2-1", "0-2"}},
		"none":  {ecsstore.WindowFilter{Partitions: []int{3}}, nil},
		"since": {ecsstore.WindowFilter{Since: time.Now().Add(time.Hour)}, nil},
		"past":  {ecsstore.WindowFilter{Since: time.Now().Add(-time.Hour)}, []string{"0-1", "1-1", "2-1", "0-2"}},
	} {
		var got []string
		for stored, err := range a.read.Windows(t.Context(), c.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, stored.Record.ID)
			if left := uint64(len(c.want) - len(got)); stored.Left != left {
				t.Errorf("%s: %d are left after %s, want %d", name, stored.Left, stored.Record.ID, left)
			}
		}
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWindowsEndAtWhatCannotBeRead(t *testing.T) {
	a := newArchive(t)
	a.put(a.space.Window(0), "no record")
	a.window(0, 2)
	var failed error
	for stored, err := range a.read.Windows(t.Context(), ecsstore.WindowFilter{}) {
		if failed = err; err == nil {
			t.Errorf("read %+v", stored)
		}
	}
	if failed == nil {
		t.Error("nothing was wrong")
	}
	read := ecsstore.NewReader(natstest.Start(t).JetStream(t), subjects.Space{})
	for _, err := range read.Windows(t.Context(), ecsstore.WindowFilter{}) {
		if !errors.Is(err, ecsstore.ErrNotInitialized) {
			t.Errorf("without streams: %v, want ErrNotInitialized", err)
		}
	}
}

// TestR3_PublishedTimes reads both times that an operation's rank comes from.
func TestR3_PublishedTimes(t *testing.T) {
	a := newArchive(t)
	before := time.Now().Add(-time.Second)
	valve := operation.EntityID("valve-7")
	for _, body := range []string{`{"created_at":"2026-01-02T03:04:05Z"}`, `{}`} {
		if _, err := a.js.Publish(t.Context(), a.space.Submit(operation.Low, valve), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	created, received, err := a.read.Published(t.Context(), 1)
	if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); err != nil || !created.Equal(want) || received.Before(before) {
		t.Errorf("created %v, received %v, %v", created, received, err)
	}
	if created, _, err = a.read.Published(t.Context(), 2); err != nil || !created.IsZero() {
		t.Errorf("created %v, %v; want no time", created, err)
	}
	if _, _, err = a.read.Published(t.Context(), 3); !errors.Is(err, ecsstore.ErrNotFound) {
		t.Errorf("of nothing: %v, want ErrNotFound", err)
	}
}
