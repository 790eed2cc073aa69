package resolver

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// contests generates contests that are small and crowded, so that ties of every kind
// and chains of parents are common.
func contests() *rapid.Generator[Contest] {
	return rapid.Custom(func(t *rapid.T) Contest {
		c := Contest{Entity: id("e"), Holder: holders().Draw(t, "holder")}
		n := rapid.IntRange(0, 9).Draw(t, "contenders")
		sequences := rapid.Permutation(count(n)).Draw(t, "sequences")
		for i := range n {
			c.Contenders = append(c.Contenders, Contender{
				OpID: numbered(i), ParentID: parents(n).Draw(t, "parent"),
				Priority:  operation.Low,
				Effective: rapid.SampledFrom(operation.Priorities()[1:]).Draw(t, "effective"),
				CreatedAt: start.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at")) * time.Microsecond),
				Sequence:  uint64(sequences[i]),
				Losses:    rapid.IntRange(0, 4).Draw(t, "losses"),
				OnLoss:    rapid.SampledFrom([]operation.OnLoss{"", operation.Reject, operation.Carry}).Draw(t, "on loss"),
				Creates:   rapid.Bool().Draw(t, "creates"),
				New:       rapid.Bool().Draw(t, "new"),
			})
		}
		return c
	})
}

func holders() *rapid.Generator[*operation.Holder] {
	return rapid.Custom(func(t *rapid.T) *operation.Holder {
		if rapid.Bool().Draw(t, "free") {
			return nil
		}
		return &operation.Holder{
			OpID:              id("holder"),
			EffectivePriority: rapid.SampledFrom(operation.Priorities()).Draw(t, "effective"),
			Status:            rapid.SampledFrom([]operation.Status{operation.Executing, operation.Pending}).Draw(t, "status"),
			Protected:         rapid.Bool().Draw(t, "protected"),
			Missing:           rapid.Bool().Draw(t, "missing"),
		}
	})
}

// parents generates nobody, a stranger, or one of the n contenders, perhaps the child
// itself.
func parents(n int) *rapid.Generator[uuid.UUID] {
	return rapid.Custom(func(t *rapid.T) uuid.UUID {
		i := rapid.IntRange(-n/2-1, n).Draw(t, "index")
		if i < 0 {
			return uuid.Nil
		}
		return numbered(i)
	})
}

func limits() *rapid.Generator[Limits] {
	return rapid.Custom(func(t *rapid.T) Limits {
		return Limits{
			MaxCarries: rapid.IntRange(0, 5).Draw(t, "carries"),
			MaxCarried: rapid.IntRange(0, 5).Draw(t, "carried"),
		}
	})
}

// numbered returns the id of contender i. Ids do not sort as their numbers do.
func numbered(i int) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8)})
}

func count(n int) (out []int) {
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// checkOracle compares a decision with what the oracle says.
func checkOracle(c Contest, l Limits) string {
	got := Resolve(c, l)
	var places []*operation.Contender
	for i := range got.Contenders {
		places = append(places, &got.Contenders[i])
	}
	want := oracle(c, l)
	if len(want) == 0 {
		want = nil
	}
	return cmp.Diff(want, places)
}

func TestR3_R4_R5_R6_Oracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, l := contests().Draw(t, "contest"), limits().Draw(t, "limits")
		if diff := checkOracle(c, l); diff != "" {
			t.Fatalf("the oracle says otherwise (- oracle, + Resolve):\n%s", diff)
		}
	})
}

func TestR7_R8_HolderOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Draw(t, "contest")
		d := Resolve(c, usual)
		if d.Holder != c.Holder || d.Entity != c.Entity {
			t.Fatalf("decision is of entity %s held by %v", d.Entity, d.Holder)
		}
		if len(d.Contenders) == 0 {
			if d.Preempts {
				t.Fatal("nobody preempts the holder")
			}
			return
		}
		best := c.Contenders[slices.IndexFunc(c.Contenders, func(x Contender) bool { return leads(c, x) })]
		if want := oraclePreempts(c, best); d.Preempts != want {
			t.Fatalf("preempts is %v, want %v", d.Preempts, want)
		}
	})
}

func TestR7_R8_HeldCountsWhomTheHolderKeepsOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Draw(t, "contest")
		var want Counters
		wins := slices.ContainsFunc(c.Contenders, func(x Contender) bool { return leads(c, x) && oracleProvides(c, x) })
		for _, x := range c.Contenders {
			if wins || c.Holder == nil || !x.New || x.Effective <= c.Holder.EffectivePriority {
				continue
			}
			if c.Holder.Status == operation.Executing {
				want.ExecutingProtections++
			} else if c.Holder.Protected {
				want.GracePeriodSaves++
			}
		}
		if got := Held(c, Resolve(c, usual)); got != want {
			t.Fatalf("held off %+v, want %+v", got, want)
		}
	})
}

func TestR4_OneFirstAndEachContenderOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Draw(t, "contest")
		var in, out []string
		for _, x := range c.Contenders {
			in = append(in, x.OpID.String())
		}
		firsts := 0
		for _, x := range Resolve(c, limits().Draw(t, "limits")).Contenders {
			out = append(out, x.OpID.String())
			if x.Verdict == operation.Wins || x.Verdict == operation.Waits {
				firsts++
			}
		}
		if len(in) > 0 && firsts != 1 {
			t.Fatalf("%d contenders win or wait", firsts)
		}
		slices.Sort(in)
		slices.Sort(out)
		if diff := cmp.Diff(in, out); diff != "" {
			t.Fatalf("contenders (- in, + out):\n%s", diff)
		}
	})
}

func TestR11_OrderOfContendersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, l := contests().Draw(t, "contest"), limits().Draw(t, "limits")
		want := Resolve(c, l)
		untouched := slices.Clone(c.Contenders)
		c.Contenders = rapid.Permutation(c.Contenders).Draw(t, "shuffled")
		if diff := cmp.Diff(want, Resolve(c, l)); diff != "" {
			t.Fatalf("shuffled contest (- before, + after):\n%s", diff)
		}
		c.Contenders = slices.Clone(untouched)
		Resolve(c, l)
		if diff := cmp.Diff(untouched, c.Contenders); diff != "" {
			t.Fatalf("Resolve changed the contest:\n%s", diff)
		}
	})
}

// The comparison must be an order: of any three contenders in any contest no two are
// equal, and a before b and b before c make a before c.
func TestR3_RankIsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Draw(t, "contest")
		ranked := rank(c.Contenders, contendingParents(c.Contenders))
		for i := range ranked {
			for j := range ranked {
				want := min(max(i-j, -1), 1)
				if got := ranked[i].compare(&ranked[j]); got != want {
					t.Fatalf("comparing %d with %d gives %d", i, j, got)
				}
			}
		}
	})
}

func TestR6_NobodyRanksBeforeAnEqualParent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Draw(t, "contest")
		d := Resolve(c, usual)
		place := map[uuid.UUID]int{}
		for i, x := range d.Contenders {
			place[x.OpID] = i
		}
		for _, x := range c.Contenders {
			if p, ok := parentOf(c, x); ok && place[x.OpID] < place[p.OpID] {
				t.Fatalf("child %s is in place %d, its parent in %d", x.OpID, place[x.OpID], place[p.OpID])
			}
		}
	})
}

func TestR3_ALowerContenderChangesNoWinner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contests().Filter(func(c Contest) bool { return len(c.Contenders) > 0 }).Draw(t, "contest")
		before := Resolve(c, usual)
		late := Contender{
			OpID: numbered(len(c.Contenders)), ParentID: parents(len(c.Contenders)).Draw(t, "parent"),
			Priority: operation.Low, Effective: operation.Low, CreatedAt: start.Add(-time.Hour),
		}
		c.Contenders = append(c.Contenders, late)
		after := Resolve(c, usual)
		if diff := cmp.Diff(before.First(), after.First()); diff != "" {
			t.Fatalf("first (- before, + after):\n%s", diff)
		}
		if before.Preempts != after.Preempts || len(after.Contenders) != len(before.Contenders)+1 {
			t.Fatalf("preempts %v, then %v; %d contenders, then %d",
				before.Preempts, after.Preempts, len(before.Contenders), len(after.Contenders))
		}
	})
}

func TestR5_CarriedStayWithinTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := limits().Draw(t, "limits")
		d, carried := Resolve(contests().Draw(t, "contest"), l), 0
		for _, x := range d.Contenders {
			if x.Verdict != operation.Carried {
				continue
			}
			carried++
			if x.OnLoss != operation.Carry || x.Losses+1 > l.MaxCarries || x.Reason != "" {
				t.Fatalf("%s is carried after %d losses with on_loss %q and reason %q", x.OpID, x.Losses, x.OnLoss, x.Reason)
			}
		}
		if carried > l.MaxCarried {
			t.Fatalf("%d are carried, the limit is %d", carried, l.MaxCarried)
		}
	})
}

func TestR11_ExplainNamesEveryContender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Resolve(contests().Draw(t, "contest"), limits().Draw(t, "limits"))
		text := Explain(d)
		want := 1 + len(d.Contenders)
		if d.Holder != nil {
			want++
		}
		if got := strings.Count(text, "\n"); got != want {
			t.Fatalf("%d lines, want %d:\n%s", got, want, text)
		}
		for _, x := range d.Contenders {
			if !strings.Contains(text, ". "+x.OpID.String()+" ") {
				t.Fatalf("no line on %s:\n%s", x.OpID, text)
			}
		}
	})
}

// crowded returns a contest of n contenders with many ties and some children.
func crowded(n int, seed uint64) Contest {
	random := rand.New(rand.NewPCG(seed, 0))
	c := Contest{Entity: id("e")}
	for i := range n {
		p := operation.Priorities()[random.IntN(4)]
		x := Contender{
			OpID: numbered(i), Priority: p, Effective: p, New: true, Sequence: uint64(i + 1),
			CreatedAt: start.Add(time.Duration(random.IntN(10)) * time.Millisecond),
		}
		if random.IntN(10) == 0 {
			x.ParentID = numbered(random.IntN(n))
		}
		c.Contenders = append(c.Contenders, x)
	}
	return c
}
