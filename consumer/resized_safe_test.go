package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR23_ScaleDoesNotCloseForARetryThatIsFar is refused at once, and operations are
// taken all the time.
func TestR23_ScaleDoesNotCloseForARetryThatIsFar(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready(func(c *Config) { c.RetryBase, c.RetryMax = 5*time.Minute, 5*time.Minute })
		valves := w.valves(2)
		o := slow(valves[0], operation.Low, script{Fail: 1})
		w.submit(o)
		after(time.Second)
		l := w.load(valves[1:], 5*time.Millisecond)
		_, err := w.resizing(8).Run(w.t.Context())
		l.stop()
		if !errors.Is(err, ecsstore.ErrUnsafe) {
			t.Fatalf("scaling: %v, want %v", err, ecsstore.ErrUnsafe)
		}
		for _, want := range []string{"move " + o.ID.String() + " on " + valves[0].String() + " is tried again at ", "; nothing was changed"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if l.refused > 0 || len(l.accepted) == 0 {
			t.Errorf("%d operations were refused and %d accepted, want none refused", l.refused, len(l.accepted))
		}
		after(10 * time.Minute)
		w.wants(completed, o)
		w.resize(8)
	})
}

// TestR23_ScaleLooksAgainWhenItsTurnHasCome has changes ready that were prepared when
// there was another number of partitions.
func TestR23_ScaleLooksAgainWhenItsTurnHasCome(t *testing.T) {
	bubble(t, func(w *world) {
		crews := []*crew{w.start(), w.start()}
		w.settled(crews...)
		same, other, undo := w.resizing(8), w.resizing(6), w.resizing(0)
		l := w.load(w.valves(12), 4*time.Millisecond)
		after(time.Second)
		w.resize(8)
		if got, err := same.Run(w.t.Context()); err != nil || got.From != 8 || got.Generation != 1 {
			t.Errorf("the same change again: %+v, %v", got, err)
		}
		after(time.Second)
		got, err := other.Run(w.t.Context())
		if err != nil || got.From != 8 || got.To != 6 || got.Generation != 2 {
			t.Errorf("another change: %+v, %v", got, err)
		}
		w.parts = 6
		if err := undo.Abort(w.t.Context()); err == nil {
			t.Error("a change was undone, and there was none")
		}
		w.settled(crews...)
		after(time.Second)
		l.stop()
		after(10 * time.Second)
	})
}
