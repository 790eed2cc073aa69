package resolver

import (
	"fmt"
	"testing"
)

func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{1, 8, 250} {
		for _, related := range []bool{false, true} {
			c := crowded(n, 1)
			if !related {
				for i := range c.Contenders {
					c.Contenders[i].ParentID = [16]byte{}
				}
			}
			b.Run(fmt.Sprintf("contenders=%d/related=%v", n, related), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Resolve(c, usual)
				}
			})
		}
	}
}

// A chain as long as the contest is the worst case; [Inherit] allows 64.
func BenchmarkResolveChain(b *testing.B) {
	c := crowded(250, 1)
	for i := range c.Contenders {
		c.Contenders[i].ParentID, c.Contenders[i].Effective = numbered(i+1), 5
	}
	b.ReportAllocs()
	for b.Loop() {
		Resolve(c, usual)
	}
}

// BenchmarkResolveFifty is reference case B5: 50 operations over five entities.
func BenchmarkResolveFifty(b *testing.B) {
	cs := fifty(1)
	b.ReportAllocs()
	for b.Loop() {
		for i := range cs {
			Resolve(cs[i], usual)
		}
	}
}

func BenchmarkInherit(b *testing.B) {
	ops := chain(8)
	lookup := family(ops...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inherit(ops[0], lookup); err != nil {
			b.Fatal(err)
		}
	}
}

// Nothing but the ranking and the decision itself is allocated where nobody has a
// parent.
func TestR2_ResolveAllocatesLittle(t *testing.T) {
	c := crowded(8, 1)
	for i := range c.Contenders {
		c.Contenders[i].ParentID = [16]byte{}
	}
	if got := testing.AllocsPerRun(100, func() { Resolve(c, usual) }); got > 2 {
		t.Errorf("resolving allocates %v times", got)
	}
}
