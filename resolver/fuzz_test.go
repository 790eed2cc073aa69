package resolver

import (
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
)

// bytesOf gives bytes one after another, and zeros when there are no more.
type bytesOf []byte

func (b *bytesOf) next() int {
	if len(*b) == 0 {
		return 0
	}
	n := (*b)[0]
	*b = (*b)[1:]
	return int(n)
}

// decodeContest makes a contest of any bytes: two for the limits, two for the holder
// and five for each contender, up to 24.
func decodeContest(data []byte) (Contest, Limits) {
	b := bytesOf(data)
	l := Limits{MaxCarries: b.next() % 8, MaxCarried: b.next() % 8}
	c := Contest{Entity: id("e")}
	if kind, p := b.next(), b.next(); kind%4 > 0 {
		c.Holder = &operation.Holder{
			OpID: id("h"), EffectivePriority: operation.Priority(p % 12), Protected: kind%4 == 2, Missing: kind >= 128,
			Status: operation.Statuses()[kind/4%len(operation.Statuses())],
		}
	}
	for len(b) > 0 && len(c.Contenders) < 24 {
		i := len(c.Contenders)
		x := Contender{OpID: numbered(i), Sequence: uint64(b.next()), New: i%2 == 0, Creates: i%3 == 1}
		if parent := b.next(); parent%2 == 1 {
			x.ParentID = numbered(parent / 2 % 24)
		}
		x.Effective = operation.Priority(b.next() % 4)
		x.CreatedAt = start.Add(time.Duration(b.next()))
		if losses := b.next(); losses%2 == 1 {
			x.OnLoss, x.Losses = operation.Carry, losses/2%8
		}
		c.Contenders = append(c.Contenders, x)
	}
	return c, l
}

func FuzzResolve(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 1, 1, 5, 1, 0, 2, 0, 1})
	f.Add([]byte("\x02\x02\x00\x00" + "\x05\x03\x02\x09\x00" + "\x04\x05\x02\x08\x01" + "\x03\x01\x02\x07\x03" + "\x03\x00\x02\x07\x05"))
	f.Add([]byte("a contest of nobody in particular, with parents, ties and losers that would be carried"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, l := decodeContest(data)
		if diff := checkOracle(c, l); diff != "" {
			t.Errorf("the oracle says otherwise (- oracle, + Resolve):\n%s", diff)
		}
		if Explain(Resolve(c, l)) == "" {
			t.Error("nothing to explain")
		}
		Held(c, Resolve(c, usual))
	})
}

// Ids that occur twice break a promise of the caller. Resolve still returns everybody.
func TestR4_TwinsDoNotPanic(t *testing.T) {
	c := contest(t, "a high parent=a\na high parent=b\nb high parent=a\na high")
	if d := Resolve(c, Limits{}); len(d.Contenders) != 4 {
		t.Errorf("%d contenders come out", len(d.Contenders))
	}
}
