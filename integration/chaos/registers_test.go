package chaos

import (
	"path/filepath"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func wrote(session, value int, revision uint64, call, end int64) porcupine.Operation {
	return porcupine.Operation{
		ClientId: session, Input: access{Write: true, Value: value}, Call: call,
		Output: register{Revision: revision}, Return: end,
	}
}

func read(session, value int, revision uint64, call, end int64) porcupine.Operation {
	return porcupine.Operation{
		ClientId: session, Input: access{}, Call: call,
		Output: register{Revision: revision, Value: value}, Return: end,
	}
}

// TestRegistersTellRightFromWrong holds the check against histories that are right, and
// against those that a store would show which loses, repeats or forgets writes.
func TestRegistersTellRightFromWrong(t *testing.T) {
	id := uuid.New()
	for _, c := range []struct {
		name    string
		ok      bool
		history []porcupine.Operation
		left    []porcupine.Operation // a write whose session did not wait
		end     operation.Kind        // of that
	}{
		{name: "one after the other", ok: true, history: []porcupine.Operation{
			wrote(0, 7, 2, 0, 1), read(1, 7, 2, 2, 3), wrote(1, 8, 3, 4, 5), read(0, 8, 3, 6, 7),
		}},
		{name: "at the same time", ok: true, history: []porcupine.Operation{
			wrote(0, 7, 3, 0, 9), wrote(1, 8, 2, 0, 9), read(2, 8, 2, 1, 8),
		}},
		{name: "a stale read", history: []porcupine.Operation{wrote(0, 7, 2, 0, 1), read(1, 0, 1, 2, 3)}},
		{name: "a write that was lost", history: []porcupine.Operation{wrote(0, 7, 2, 0, 1), wrote(1, 8, 2, 2, 3)}},
		{name: "a write that took effect twice", history: []porcupine.Operation{wrote(0, 7, 2, 0, 1), read(1, 7, 3, 2, 3)}},
		{name: "a write that was taken back", history: []porcupine.Operation{
			wrote(0, 7, 2, 0, 9), read(1, 7, 2, 1, 2), read(1, 0, 1, 3, 4),
		}},
		{
			name: "a write whose end was not seen", ok: true, history: []porcupine.Operation{read(1, 5, 2, 100, 101)},
			left: []porcupine.Operation{wrote(0, 5, 0, 50, 0)}, end: operation.CompletedEvent,
		},
		{
			name: "a write that was rejected unseen", history: []porcupine.Operation{read(1, 5, 2, 100, 101)},
			left: []porcupine.Operation{wrote(0, 5, 0, 50, 0)}, end: operation.RejectedEvent,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &registers{first: register{Revision: 1}, history: c.history, open: map[uuid.UUID]porcupine.Operation{}}
			for _, w := range c.left {
				r.left(id, w)
			}
			r.close(map[uuid.UUID][]operation.Kind{id: {c.end}})
			if err := r.check(filepath.Join(t.TempDir(), "history.html")); (err == nil) != c.ok {
				t.Errorf("ok %t, want %t: %v", err == nil, c.ok, err)
			}
		})
	}
}
