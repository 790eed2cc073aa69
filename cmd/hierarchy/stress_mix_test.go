package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/operation"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(7, 7)) }

func TestMixDrawsItsShares(t *testing.T) {
	const draws = 20_000
	for _, m := range []mix{defaultPriorities(), defaultTypes(), newMix([]string{"a", "b", "c"}, 0, 3, 1)} {
		counts := make([]float64, len(m.names))
		for r, i := seeded(), 0; i < draws; i++ {
			counts[m.draw(r)]++
		}
		for i, share := range m.shares {
			got, want := counts[i]/draws, share/m.total()
			if math.Abs(got-want) > .01 || want == 0 && got > 0 {
				t.Errorf("%s: %s was drawn %.3f of the time, want %.3f", m.String(), m.names[i], got, want)
			}
		}
	}
}

func TestMixDrawsTheSameForTheSameSeed(t *testing.T) {
	m := defaultTypes()
	a, b := seeded(), seeded()
	for i := range 100 {
		if x, y := m.draw(a), m.draw(b); x != y {
			t.Fatalf("draw %d is %d and %d", i, x, y)
		}
	}
}

func TestMixAsFlag(t *testing.T) {
	m := defaultTypes()
	if got, want := m.String(), "version_entity=0.3,modify_field=0.25,borrow_attribute=0.2,complex_update=0.15,promote_to_root=0.05,detach_entity=0.05"; got != want {
		t.Errorf("the default is %s, want %s", got, want)
	}
	if err := m.Set("version=2,complex_update=.5"); err != nil {
		t.Fatal(err)
	}
	if got, want := m.String(), "version_entity=2,complex_update=0.5"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	for _, bad := range []string{"", "version", "version=", "version=x", "version=-1", "vers=1", "=1", "version=0", "version=1,,", "version=NaN", "version=+Inf"} {
		if err := m.Set(bad); err == nil {
			t.Errorf("%q was taken for %s", bad, m.String())
		}
	}
	if got, want := m.String(), "version_entity=2,complex_update=0.5"; got != want {
		t.Errorf("refused values left %s, want %s", got, want)
	}
}

func TestSpanAsFlag(t *testing.T) {
	for text, want := range map[string]span{"3-8": {3, 8}, "5": {5, 5}, "1-1000": {1, 1000}} {
		var got span
		if err := got.Set(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "0", "8-3", "-3", "3-", "3-8-9", "x", "1-1001"} {
		var got span
		if err := got.Set(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, got)
		}
	}
}

func TestSpanDrawsItsEnds(t *testing.T) {
	drawn := map[int]bool{}
	s := span{3, 8}
	for r, i := seeded(), 0; i < 1000; i++ {
		drawn[s.draw(r)] = true
	}
	var got []int
	for n := range drawn {
		got = append(got, n)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int{3, 4, 5, 6, 7, 8}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if got := h.quantile(.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	var all []time.Duration
	for r, i := seeded(), 0; i < 10_000; i++ {
		d := time.Duration(math.Exp(r.Float64()*20)) * time.Microsecond // 1 us to 8 min
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, share := range []float64{.01, .5, .9, .99, 1} {
		exact := float64(all[int(math.Ceil(share*float64(len(all))))-1].Microseconds()) / 1000
		if got := h.quantile(share); math.Abs(got-exact) > exact/32+.001 {
			t.Errorf("quantile %v is %v ms, want %v", share, got, exact)
		}
	}
}

func TestHistogramBinsFollowEachOther(t *testing.T) {
	var h histogram
	for us := uint64(1); us < 1<<20; us++ {
		if step := bin(us) - bin(us-1); step != 0 && step != 1 {
			t.Fatalf("%d us is in bin %d, the bin before is %d", us, bin(us), bin(us-1))
		}
	}
	h.add(math.MaxInt64) // 292 years have a bin too
	h.add(-time.Second)  // and so has a clock that was put back
}

func TestSeriesNumbersItsIDs(t *testing.T) {
	a, b := newSeries(), newSeries()
	for _, n := range []int{0, 1, 255, 1 << 40} {
		id := a.id(n)
		if id.Version() != 8 || id.Variant().String() != "RFC4122" {
			t.Errorf("%s is of version %s and variant %s", id, id.Version(), id.Variant())
		}
		if got, ours := a.number(id); !ours || got != n {
			t.Errorf("%s is number %d (%t), want %d", id, got, ours, n)
		}
		if _, ours := b.number(id); ours {
			t.Errorf("%s is of two series", id)
		}
	}
}

func TestMakerMakesOperationsThatAreValid(t *testing.T) {
	cfg := defaultStress()
	cfg.targets = 3
	m, same := newMaker(&cfg), newMaker(&cfg)
	types := map[operation.Type]bool{}
	for range 200 {
		batch, again := m.next(), same.next()
		if len(batch) < 3 || len(batch) > 8 || len(batch) != len(again) {
			t.Fatalf("batches of %d and %d, want 3 to 8 and the same for the same seed", len(batch), len(again))
		}
		for i, op := range batch {
			if op.Target != batch[0].Target || op.Source == op.Target {
				t.Fatalf("operation %+v is in a batch for %s", op, batch[0].Target)
			}
			if op.Type != again[i].Type || op.Priority != again[i].Priority || string(op.Params) != string(again[i].Params) {
				t.Errorf("the same seed made %+v and %+v", op, again[i])
			}
			types[op.Type] = true
			valid(t, op)
		}
	}
	if len(types) != len(stressTypes) {
		t.Errorf("types %v were made, want %v", types, stressTypes)
	}
	create, err := m.create(0)
	if err != nil {
		t.Fatal(err)
	}
	valid(t, create)
}

func valid(t *testing.T, op *operation.Operation) {
	t.Helper()
	body, err := op.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operation.Decode(body, op.Priority.String(), op.Target.String(), nil); err != nil {
		t.Errorf("%s: %v", body, err)
	}
}
