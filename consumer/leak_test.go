package consumer

import (
	"context"
	"os"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// held is what a process holds of the system.
type held struct{ goroutines, files int }

func holds() held {
	files, _ := os.ReadDir("/proc/self/fd") // where there is no such folder, none are counted
	return held{goroutines: runtime.NumGoroutine(), files: len(files)}
}

// TestI23_NothingLeaks has workers come, work and go, beside one that stays: after each
// time there are no more goroutines and open files than after the first, give or take a tenth.
func TestI23_NothingLeaks(t *testing.T) {
	outside(t, 16, func(w *world) {
		stays := w.ready()
		valves := make([]uuid.UUID, 6)
		for i := range valves {
			valves[i] = uuid.New()
			w.send(create(valves[i]))
		}
		natstest.Await(t, "the valves", func(context.Context) bool { return stays.Stats().Succeeded == len(valves) })
		visit := func() {
			nc := w.s.Connect(t)
			comes := w.startOn(nc, w.wrap)
			natstest.Await(t, "the partitions to be shared", func(context.Context) bool {
				return len(comes.Stats().Partitions) > 0
			})
			var ops []operation.Operation
			for i := range 300 {
				o := count(valves[i%len(valves)], operation.Normal)
				if i%100 == 0 {
					o = slow(o.Target, operation.High, script{Take: "10ms"})
				}
				ops = append(ops, o)
			}
			w.pour(ops)
			comes.stop()
			nc.Close()
			natstest.Await(t, "everything to end", func(context.Context) bool {
				partitions := stays.Stats().Partitions
				taken, live := uint64(0), uint64(0)
				for _, p := range partitions {
					taken, live = taken+p.Counts.Submitted, live+p.Counts.Live
				}
				return len(partitions) == w.partitions() && taken == uint64(len(w.ops)) && live == 0
			})
		}
		visit()
		first := holds()
		for range 8 {
			visit()
		}
		most := held{goroutines: first.goroutines + first.goroutines/10, files: first.files + first.files/10 + 1}
		natstest.Await(t, "goroutines and files to be given back", func(context.Context) bool {
			now := holds()
			return now.goroutines <= most.goroutines && now.files <= most.files
		})
	})
}
