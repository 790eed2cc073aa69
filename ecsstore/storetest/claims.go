package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

var claims = map[string]func(*scene){
	"R23 fences older owners":              claimFencesOlderOwners,
	"R23 at once":                          claimsAtOnce,
	"by epoch":                             claimByEpoch,
	"of nobody":                            fenceOfNobody,
	"carries the fence on":                 claimCarriesTheFenceOn,
	"after a release":                      claimAfterARelease,
	"R23 releases all or none":             releasesAllOrNone,
	"R16 counts crashes":                   claimCountsCrashes,
	"R16 replays records":                  claimReplaysRecords,
	"R9 replays the ledger":                claimReplaysTheLedger,
	"R9 replays no more than asked for":    claimReplaysFromTheLedgerOn,
	"R9 replays what was carried over":     claimReplaysPages,
	"R25 halts at a stream that is behind": claimHaltsBehindTheCursor,
	"R23 waits for a resize":               claimWaitsForAResize,
	"R23 knows the number of partitions":   claimKnowsTheNumberOfPartitions,
}

// A paused owner that wakes up after its partition has moved cannot write.
func claimFencesOlderOwners(s *scene) {
	first := s.claim(1, "first")
	s.commit(Batch(first.Part(1)), first)
	stale := *first
	second := s.claim(1, "second")
	if second.Fence.Epoch != stale.Fence.Epoch+1 || second.Fence.Owner != "second" {
		s.Errorf("the fence is %+v, want the next epoch and its owner", second.Fence)
	}
	b := Batch(stale.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(s.entity(1), 1, uuid.New())}}
	s.refused(b, ecsstore.ErrRefused)
	s.commit(Batch(second.Part(1)), second)
	before := s.all()
	if err := s.Store.Release(s.Context(), stale.Held); !errors.Is(err, ecsstore.ErrRefused) {
		s.Errorf("an older owner releases: %v, want %v", err, ecsstore.ErrRefused)
	}
	s.same(before)
}

// Of claims that meet, each epoch goes to one, and only the latest can commit.
func claimsAtOnce(s *scene) {
	const claimers = 6
	claims, errs := make([]ecsstore.Claim, claimers), make([]error, claimers)
	var wait sync.WaitGroup
	for i := range claimers {
		wait.Go(func() { claims[i], errs[i] = s.Store.Claim(s.Context(), 2, fmt.Sprint("claimer-", i), 0) })
	}
	wait.Wait()
	winners := map[uint64]Owner{}
	for i, err := range errs {
		switch {
		case errors.Is(err, ecsstore.ErrRefused), errors.Is(err, ecsstore.ErrLost): // another came first, or soon after
		case err != nil:
			s.Errorf("claim: %v", err)
		default:
			c := claims[i]
			if w, taken := winners[c.Fence.Epoch]; taken {
				s.Errorf("%s and %s both got epoch %d", w.Fence.Owner, c.Fence.Owner, c.Fence.Epoch)
			}
			winners[c.Fence.Epoch] = Owner{c.Held}
		}
	}
	epochs := slices.Sorted(maps.Keys(winners))
	if len(epochs) == 0 {
		s.Fatal("all claims failed")
	}
	for _, epoch := range epochs[:len(epochs)-1] {
		w := winners[epoch]
		s.refused(Batch(w.Part(1)), ecsstore.ErrRefused)
	}
	last := winners[epochs[len(epochs)-1]]
	if fence, err := s.Store.Fence(s.Context(), 2); err != nil || fence.Owner != last.Fence.Owner {
		s.Errorf("the fence is %s's (%v), want that of the latest, %s", fence.Owner, err, last.Fence.Owner)
	}
	s.commit(Batch(last.Part(1)), &last)
}

// Who claims with the epoch it had gets the partition back unless it has moved on.
func claimByEpoch(s *scene) {
	mine := s.claim(0, "mine")
	again, err := s.Store.Claim(s.Context(), 0, "mine", mine.Fence.Epoch)
	if err != nil || again.Fence.Epoch != mine.Fence.Epoch+1 {
		s.Fatalf("claiming again: epoch %d, %v; want %d", again.Fence.Epoch, err, mine.Fence.Epoch+1)
	}
	s.claim(0, "another")
	before := s.all()
	_, err = s.Store.Claim(s.Context(), 0, "mine", again.Fence.Epoch)
	if !errors.Is(err, ecsstore.ErrLost) || !strings.Contains(err.Error(), "another") {
		s.Errorf("claiming a partition that has moved on: %v, want %v and who has it", err, ecsstore.ErrLost)
	}
	s.same(before)
}

func fenceOfNobody(s *scene) {
	fence, err := s.Store.Fence(s.Context(), 3)
	if err != nil || fence != (operation.Fence{}) {
		s.Errorf("the fence of a partition never claimed is %+v, %v; want none", fence, err)
	}
	c := s.claimed(3, "first")
	if c.Unclean || c.Fence.Epoch != 1 || c.Fence.Partition != 3 || len(c.Records)+len(c.Ledger) != 0 {
		s.Errorf("the first claim finds %+v, want epoch 1 and nothing left behind", c)
	}
	if at := s.only(s.Space.Fence(3)).Sequence; c.Expect != at {
		s.Errorf("the fence stands at %d, the claim says %d", at, c.Expect)
	}
}

// What a fence says of the partition outlives its owners.
func claimCarriesTheFenceOn(s *scene) {
	o := s.claim(0, "first")
	o.Fence.Counts = operation.Counts{Submitted: 9, Succeeded: 3, Rejected: 2, Cancelled: 1, DeadLettered: 1, Live: 2, Versions: 4}
	o.Fence.Ledger = 2
	s.commit(Batch(o.Part(2)), o)
	fence, err := s.Store.Fence(s.Context(), 0)
	if err != nil {
		s.Fatal(err)
	}
	s.equal("the fence that is stored", o.Fence, fence)
	want := o.Fence
	want.Owner, want.Epoch = "second", 2
	got := s.claimed(0, "second").Fence
	if got.BatchID == want.BatchID || got.BatchID == "" || got.Time.IsZero() {
		s.Errorf("the claim's batch is %q at %v, want its own", got.BatchID, got.Time)
	}
	want.BatchID, want.Time = got.BatchID, got.Time
	s.equal("the fence of the next owner", want, got)
}

func claimAfterARelease(s *scene) {
	o := s.claim(0, "first")
	s.commit(Batch(o.Part(1)), o)
	if err := s.Store.Release(s.Context(), o.Held); err != nil {
		s.Fatal(err)
	}
	s.refused(Batch(o.Part(1)), ecsstore.ErrRefused) // the fence has moved on with the release
	next := s.claimed(0, "second")
	if next.Unclean || next.Fence.Released || next.Fence.Epoch != 2 {
		s.Errorf("after a release the claim finds unclean %t and %+v", next.Unclean, next.Fence)
	}
	if !s.claimed(0, "third").Unclean {
		s.Error("an owner that did not let go left a clean partition")
	}
}

// An owner lets go of its partitions at once, unless one is another's: then it lets go of none.
func releasesAllOrNone(s *scene) {
	a, lost, b := s.claim(0, "first"), s.claim(1, "first"), s.claim(2, "first")
	s.claim(1, "second")
	before := s.all()
	if err := s.Store.Release(s.Context(), a.Held, lost.Held, b.Held); !errors.Is(err, ecsstore.ErrRefused) {
		s.Errorf("releasing one that is another's: %v, want %v", err, ecsstore.ErrRefused)
	}
	s.same(before)
	if err := s.Store.Release(s.Context(), a.Held, b.Held); err != nil {
		s.Fatal(err)
	}
	for _, p := range []int{0, 2} {
		if s.claimed(p, "third").Unclean {
			s.Errorf("partition %d was not let go of", p)
		}
	}
}

// An owner that goes away counts as a crash where it had operations to die of.
func claimCountsCrashes(s *scene) {
	for claim := range 3 {
		if got := s.claimed(0, "idle").Fence.Crashes; got != 0 {
			s.Errorf("claim %d without operations finds %d crashes", claim, got)
		}
	}
	sequence := s.Submit("low", s.entity(0), []byte("{}"))
	var o *Owner
	for want := 1; want <= 3; want++ {
		if o = s.claim(0, "busy"); o.Fence.Crashes != want {
			s.Errorf("claim %d finds %d crashes", want, o.Fence.Crashes)
		}
	}
	o.Fence.Cursor = sequence
	s.commit(Batch(o.Part(1)), o) // a part says that there was none
	if got := s.claimed(0, "next").Fence.Crashes; got != 0 {
		s.Errorf("after a commit there are %d crashes", got)
	}
}

// The next owner finds each record as it was last written, its partition's and no
// other, in the order in which they were written.
func claimReplaysRecords(s *scene) {
	o, other := s.claim(0, "worker"), s.claim(1, "worker")
	var ops []operation.Record
	for i, status := range []operation.Status{operation.Executing, operation.Pending, operation.Executing} {
		ops = append(ops, record(uuid.New(), s.entity(0), uint64(i+1), status)) //nolint:gosec // an index
	}
	mine, theirs := o.Part(1), other.Part(1)
	mine.Records = ops
	theirs.Records = []operation.Record{record(uuid.New(), s.entity(1), 9, operation.Pending)}
	s.commit(Batch(mine, theirs), o, other)
	done := record(ops[0].OpID, uuid.Nil, 1, operation.Succeeded)
	mine = o.Part(1)
	mine.Records = []operation.Record{done}
	s.commit(Batch(mine), o)
	want := []operation.Record{ops[1], ops[2], done}
	s.equal("the records", want, s.claimed(0, "next").Records)
	s.equal("the records the other time", want, s.claimed(0, "third").Records)
}

// The next owner finds a page for each window, its partition's and no other.
func claimReplaysTheLedger(s *scene) {
	o, other := s.claim(0, "worker"), s.claim(1, "worker")
	var want []ecsstore.LedgerPage
	for commit := range 3 {
		mine := o.Part(commit + 1)
		for i := range mine.Windows {
			w := &mine.Windows[i]
			w.Taken = []operation.Taken{{Sequence: w.Number, OpID: uuid.New(), Digest: "d", Fate: operation.Contended, Status: operation.Succeeded}}
			w.Settled = []operation.Settled{{OpID: uuid.New(), Status: operation.Rejected, Reason: operation.Expired}}
			want = append(want, ecsstore.LedgerPage{Taken: w.Taken, Settled: w.Settled})
		}
		s.commit(Batch(other.Part(1), mine), other, o)
	}
	for i, msg := range s.Stored(s.Space.Window(0)) {
		want[i].Sequence = msg.Sequence
	}
	s.equal("the ledger", want, s.claimed(0, "next").Ledger)
}

// The fence says where the ledger begins.
func claimReplaysFromTheLedgerOn(s *scene) {
	o := s.claim(0, "worker")
	s.commit(Batch(o.Part(1)), o)
	second := s.commit(Batch(o.Part(1)), o).Windows[0]
	o.Fence.Ledger = second
	third := s.commit(Batch(o.Part(1)), o).Windows[0]
	var got []uint64
	for _, page := range s.claimed(0, "next").Ledger {
		got = append(got, page.Sequence)
	}
	s.equal("the pages", []uint64{second, third}, got)
}

// Pages of a ledger come before the decision records that follow them.
func claimReplaysPages(s *scene) {
	o := s.claim(0, "worker")
	s.commit(Batch(o.Part(1)), o) // what the pages stand in for
	took := func() []operation.Taken {
		return []operation.Taken{{Sequence: 7, OpID: uuid.New(), Digest: "d1", Fate: operation.Contended, Target: s.entity(0).String()}}
	}
	p := o.Part(1)
	p.Ledger = []operation.Ledger{
		{Partitions: o.Fence.Partitions, Taken: took()},
		{Partitions: o.Fence.Partitions, Taken: took()},
		{Partitions: o.Fence.Partitions + 1, Taken: took()}, // of a change that was undone
	}
	first := s.commit(Batch(p), o).Ledgers[0]
	o.Fence.Ledger = first
	s.commit(Batch(o.Part(1)), o)
	got := s.claimed(0, "next").Ledger
	if len(got) != 4 {
		s.Fatalf("the ledger has %d pages, want 2 and those of 2 windows", len(got))
	}
	for i, page := range p.Ledger[:2] {
		want := ecsstore.LedgerPage{Sequence: first + uint64(i), Taken: page.Taken, Handed: true} //nolint:gosec // an index
		s.equal("a page", want, got[i])
	}
}

// While the number of partitions is being changed nobody else may own one.
func claimWaitsForAResize(s *scene) {
	o := s.claim(0, "scale-1")
	o.Fence.Resizing = 8
	s.commit(Batch(o.Part(1)), o)
	before := s.all()
	_, err := s.Store.Claim(s.Context(), 0, "worker", 0)
	if !errors.Is(err, ecsstore.ErrResizing) || !strings.Contains(err.Error(), "to 8 by scale-1") {
		s.Errorf("claim: %v, want %v, and the number and by whom", err, ecsstore.ErrResizing)
	}
	s.same(before)
}

// A worker that knows another number of partitions must not own one.
func claimKnowsTheNumberOfPartitions(s *scene) {
	o := s.claim(0, "worker")
	if o.Fence.Partitions != s.Store.Partitions() {
		s.Errorf("the claim is of one of %d partitions, want %d", o.Fence.Partitions, s.Store.Partitions())
	}
	o.Fence.Partitions = 8
	s.commit(Batch(o.Part(1)), o)
	before := s.all()
	_, err := s.Store.Claim(s.Context(), 0, "worker", o.Fence.Epoch)
	if !errors.Is(err, ecsstore.ErrResized) || !strings.Contains(err.Error(), "to 8") {
		s.Errorf("claim: %v, want %v and the number", err, ecsstore.ErrResized)
	}
	s.same(before)
}

// A stream that ends before the cursor is not the one that was read.
func claimHaltsBehindTheCursor(s *scene) {
	o := s.claim(0, "worker")
	o.Fence.Cursor = 7
	s.commit(Batch(o.Part(1)), o)
	before := s.all()
	_, err := s.Store.Claim(s.Context(), 0, "next", 0)
	if !errors.Is(err, ecsstore.ErrHalted) || !strings.Contains(err.Error(), s.Space.OpsStream()) {
		s.Errorf("claim: %v, want %v and the stream's name", err, ecsstore.ErrHalted)
	}
	s.same(before)
}
