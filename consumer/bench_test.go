package consumer

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// BenchmarkThroughput measures operations from publishing to their terminal state:
// b.N operations of the stress mix on 100 entities, in batches of three to eight.
func BenchmarkThroughput(b *testing.B) {
	for _, sync := range []string{"interval", "always"} {
		b.Run("sync="+sync, func(b *testing.B) {
			var opts []natstest.Option
			if sync == "always" {
				opts = append(opts, natstest.SyncAlways())
			}
			throughput(b, natstest.Start(b, opts...), operation.Reject)
		})
	}
}

// BenchmarkCarried measures the same where every loser is carried: as many as an entity
// carries contend in each of its windows.
func BenchmarkCarried(b *testing.B) {
	throughput(b, natstest.Start(b), operation.Carry)
}

func throughput(b *testing.B, s *natstest.Server, onLoss operation.OnLoss) {
	b.Helper()
	space := subjects.Space{}
	js := s.JetStream(b)
	if err := ecsstore.Init(b.Context(), js, space, ecsstore.DefaultSettings()); err != nil {
		b.Fatal(err)
	}
	worker, err := New(s.Connect(b), DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	go worker.Run(b.Context()) //nolint:errcheck // its end is the benchmark's
	targets := make([]uuid.UUID, 100)
	var setup []operation.Operation
	for i := range targets {
		targets[i] = uuid.New()
		setup = append(setup, create(targets[i]))
	}
	publishAll(b, js, space, setup)
	ended := func(n int) func() bool {
		return func() bool {
			st := worker.Stats()
			done := st.Succeeded + st.Cancelled
			for _, n := range st.Rejected {
				done += n
			}
			return done >= n
		}
	}
	wait(b, ended(len(setup)))
	ops := mix(targets, b.N)
	for i := range ops {
		ops[i].OnLoss = onLoss
	}
	b.ResetTimer()
	publishAll(b, js, space, ops)
	wait(b, ended(len(setup)+b.N))
	b.StopTimer()
	st := worker.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(st.Messages)/float64(st.Commits), "msgs/commit")
	b.ReportMetric(float64(st.Succeeded-len(setup))/float64(b.N), "won/op")
	b.ReportMetric(float64(st.Messages)/float64(b.N), "msgs/op")
	b.ReportMetric(float64(st.Commits)/b.Elapsed().Seconds(), "commits/s")
	b.Log(st.Refusals)
}

func wait(b *testing.B, done func() bool) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-b.Context().Done():
			b.Fatal("stopped waiting")
		}
	}
}

// mix returns n operations of the stress mix.
func mix(targets []uuid.UUID, n int) []operation.Operation {
	r := rand.New(rand.NewPCG(1, 2))
	types := []struct {
		share  float64
		name   operation.Type
		params string
	}{
		{.30, operation.VersionEntity, `{}`},
		{.25, operation.ModifyField, `{"field":"counter","value":%d}`},
		{.20, operation.BorrowAttribute, `{"source_field":"position.x","target_field":"borrowed","create":true}`},
		{.15, operation.ComplexUpdate, `{"add":{"counter":1}}`},
		{.05, operation.PromoteToRoot, `{}`},
		{.05, operation.DetachEntity, `{}`},
	}
	var out []operation.Operation
	for len(out) < n {
		target := targets[r.IntN(len(targets))]
		for range 3 + r.IntN(6) {
			x := r.Float64()
			i := 0
			for ; i < len(types)-1 && x >= types[i].share; i++ {
				x -= types[i].share
			}
			params := types[i].params
			if types[i].name == operation.ModifyField {
				params = fmt.Sprintf(params, len(out))
			}
			p := []operation.Priority{operation.Low, operation.Normal, operation.Normal, operation.High, operation.Critical}[r.IntN(5)]
			o := op(types[i].name, target, p, params)
			if types[i].name == operation.BorrowAttribute {
				o.Source = targets[r.IntN(len(targets))]
			}
			out = append(out, o)
		}
	}
	return out[:n]
}

func publishAll(b *testing.B, js jetstream.JetStream, space subjects.Space, ops []operation.Operation) {
	b.Helper()
	for i := range ops {
		body, err := json.Marshal(&ops[i])
		if err != nil {
			b.Fatal(err)
		}
		msg := nats.NewMsg(space.Submit(ops[i].Priority, ops[i].Target))
		msg.Data = body
		msg.Header.Set(nats.MsgIdHdr, ops[i].Target.String()+"/"+ops[i].ID.String())
		if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(5*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// BenchmarkClaim measures the claim of a partition that has taken as much as it remembers,
// each operation in a window of its own.
func BenchmarkClaim(b *testing.B) {
	for _, every := range []int{math.MaxInt, checkpointEvery} {
		b.Run(fmt.Sprintf("checkpoints=%t", every == checkpointEvery), func(b *testing.B) {
			store := newStore(b, natstest.Start(b))
			fence := remember(b, store, every)
			for b.Loop() {
				c, err := store.Claim(b.Context(), fence.Partition, "reader", 0)
				if err != nil {
					b.Fatal(err)
				}
				if n := len(newLedger(c.Ledger, c.Fence.Checkpoint).known); n != LedgerSize {
					b.Fatalf("%d operations are remembered, want %d", n, LedgerSize)
				}
			}
		})
	}
}

func newStore(b *testing.B, s *natstest.Server) *ecsstore.JetStream {
	b.Helper()
	js := s.JetStream(b)
	if err := ecsstore.Init(b.Context(), js, subjects.Space{}, ecsstore.DefaultSettings()); err != nil {
		b.Fatal(err)
	}
	store, err := ecsstore.NewJetStream(b.Context(), js, subjects.Space{})
	if err != nil {
		b.Fatal(err)
	}
	return store
}

// remember has a partition take as many operations as it remembers, with a checkpoint after
// so many windows.
func remember(b *testing.B, store *ecsstore.JetStream, every int) operation.Fence {
	b.Helper()
	c, err := store.Claim(b.Context(), 0, "writer", 0)
	if err != nil {
		b.Fatal(err)
	}
	l := newLedger(nil, 0)
	for taken := 0; taken < LedgerSize; {
		part := ecsstore.Part{Fence: c.Fence, Expect: c.Expect}
		if l.due(every) && every < math.MaxInt {
			part.Checkpoints, part.Fence.Checkpoint = l.checkpoints(&c.Fence), l.latest
		}
		for range min(checkpointEvery, LedgerSize-taken) {
			o := modify(uuid.New(), operation.Normal, "1")
			taken++
			part.Windows = append(part.Windows, operation.Window{
				ID: operation.WindowID(0, uint64(taken)), Number: uint64(taken), Owner: "writer", Cause: operation.ClosedByTimer,
				Taken: []operation.Taken{{Sequence: uint64(taken), OpID: o.ID, Digest: o.Digest(), Fate: operation.Contended, Status: operation.Succeeded}},
				Decisions: []operation.Decision{{Entity: o.Target, Contenders: []operation.Contender{{
					OpID: o.ID, Priority: o.Priority, EffectivePriority: o.Priority, CreatedAt: time.Now(), Sequence: uint64(taken), Verdict: operation.Wins,
				}}}},
			})
		}
		batch := ecsstore.Batch{ID: uuid.NewString(), Parts: []ecsstore.Part{part}}
		receipt, err := store.Commit(b.Context(), &batch)
		if err != nil {
			b.Fatal(err)
		}
		if len(part.Checkpoints) > 0 {
			l.checkpointed()
		}
		for i, w := range part.Windows {
			l.add(receipt.Windows[0]-uint64(len(part.Windows)-1-i), w.Taken, nil)
		}
		c.Fence, c.Expect = batch.Parts[0].Fence, receipt.Fences[0]
	}
	return c.Fence
}
