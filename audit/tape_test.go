package audit

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// tape is what both streams have recorded. Package consumer records it.
type tape struct {
	store, input []*line
	rules        Rules
	expired      time.Time // what was stored before with a time to live is gone
}

// line is a message as it was stored.
type line struct {
	Stream   string            `json:"stream"`
	Sequence uint64            `json:"seq"`
	Time     time.Time         `json:"time"`
	Subject  string            `json:"subject"`
	Header   map[string]string `json:"header,omitempty"`
	Data     string            `json:"data"`
}

var readTape = sync.OnceValues(func() (*tape, error) {
	file, err := os.Open("testdata/recording.jsonl.gz")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	t := &tape{}
	for lines := json.NewDecoder(unzipped); lines.More(); {
		var l line
		if err := lines.Decode(&l); err != nil {
			return nil, err
		}
		if l.Stream == (subjects.Space{}).OpsStream() {
			t.input = append(t.input, &l)
		} else {
			t.store = append(t.store, &l)
		}
	}
	return t, nil
})

// record returns a new copy of the recording.
func record(tb testing.TB) *tape {
	tb.Helper()
	t, err := readTape()
	if err != nil {
		tb.Fatal(err)
	}
	return &tape{store: copyOf(t.store), input: copyOf(t.input)}
}

func copyOf(lines []*line) []*line {
	out := make([]*line, len(lines))
	for i, l := range lines {
		c := *l
		c.Header = maps.Clone(l.Header)
		out[i] = &c
	}
	return out
}

// audit returns what an audit of the tape finds. The streams are a second old and
// hold everything.
func (t *tape) audit(tb testing.TB, change ...func(*Options)) Report {
	tb.Helper()
	o := Options{Rules: t.rules}
	for _, c := range change {
		c(&o)
	}
	a := newAuditor(o)
	a.store.name, a.input.name = o.Space.StoreStream(), o.Space.OpsStream()
	a.retention, a.whole = 1000*time.Hour, o.Since == (Start{}) && t.expired.IsZero()
	end := t.store[len(t.store)-1].Time
	a.now = func() time.Time { return end.Add(time.Minute) }
	if !t.expired.IsZero() {
		a.retention = a.now().Add(expirySlack).Sub(t.expired)
	}
	a.latest = t.latest
	for _, l := range t.input {
		a.input.state.FirstSeq, a.input.state.LastSeq = 1, l.Sequence
		if err := a.input.add(tb.Context(), decodeSubmission(o.Space, l.Sequence, l.Time, l.Subject, []byte(l.Data))); err != nil {
			tb.Fatal(err)
		}
	}
	for _, l := range t.store {
		if l.Sequence < o.Since.Sequence {
			continue
		}
		if err := a.see(tb.Context(), l.stored(o.Space)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := a.finish(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return a.result()
}

func (l *line) stored(space subjects.Space) *stored {
	h := nats.Header{}
	for key, value := range l.Header {
		h.Set(key, value)
	}
	return decodeStored(space, l.Sequence, l.Time, l.Subject, h, []byte(l.Data))
}

func (t *tape) latest(_ context.Context, subject string) (uint64, error) {
	for _, l := range slices.Backward(t.store) {
		if l.Subject == subject {
			return l.Sequence, nil
		}
	}
	return 0, jetstream.ErrMsgNotFound
}

// kind is the first token of the subject behind the prefix, and of an event the
// second as well.
func (l *line) kind() string {
	tokens := strings.Split(l.Subject, ".")
	if tokens[1] == "events" {
		return tokens[1] + "." + tokens[2]
	}
	return tokens[1]
}

func (l *line) batch() string { return l.Header[headerBatchID] }

// edit changes a JSON document by decoding it, and encoding what became of it.
func (l *line) edit(tb testing.TB, change func(doc map[string]any)) {
	tb.Helper()
	doc := map[string]any{}
	dec := json.NewDecoder(strings.NewReader(l.Data))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		tb.Fatal(err)
	}
	change(doc)
	text, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	l.Data = string(text)
}

// expire removes most of what was stored before a time and had a time to live.
func (t *tape) expire(before time.Time) *tape {
	t.expired = before
	t.store = slices.DeleteFunc(t.store, func(l *line) bool {
		return l.Header["Nats-TTL"] != "" && l.Time.Before(before) && l.Sequence%7 != 0
	})
	return t
}

// rolledUp leaves of the tape what a store holds: of some subjects only the latest
// message is kept.
func (t *tape) rolledUp() *tape {
	last := map[string]uint64{}
	for _, l := range t.store {
		if l.Header["Nats-Rollup"] != "" {
			last[l.Subject] = l.Sequence
		}
	}
	t.store = slices.DeleteFunc(t.store, func(l *line) bool { return l.Header["Nats-Rollup"] != "" && l.Sequence < last[l.Subject] })
	return t
}

// seal makes the tape what a worker would have written that had done what the tape
// says: places, conditions, digests, hashes and counts of windows are right, so that
// only what was meant is wrong.
func (t *tape) seal(tb testing.TB) *tape {
	tb.Helper()
	was := copyOf(t.store)
	moved := t.number()
	t.checkpoints(tb, was)
	chain, last := map[string]string{}, map[string]uint64{}
	for from := 0; from < len(t.store); {
		to := from + 1
		for to < len(t.store) && t.store[to].batch() == t.store[from].batch() {
			to++
		}
		sealCommit(tb, t.store[from:to], chain, last, moved)
		from = to
	}
	return t
}

// number gives the messages of the store consecutive places, leaving the gaps there
// were. It returns the new places of what lay in those.
func (t *tape) number() map[uint64]uint64 {
	moved := map[uint64]uint64{}
	at, was, id := uint64(0), uint64(0), ""
	first := uint64(0)
	for _, l := range t.store {
		for gap := was + 1; gap < l.Sequence; gap++ {
			at++
			moved[gap] = at
		}
		at++
		was = max(was, l.Sequence)
		if l.batch() != id {
			index, _ := strconv.ParseUint(l.Header[headerBatchSequence], 10, 64)
			id, first = l.batch(), at-max(index, 1)+1
		}
		l.Sequence = at
		if id != "" {
			l.Header[headerBatchSequence] = strconv.FormatUint(at-first+1, 10)
		}
	}
	return moved
}

// checkpoints has checkpoints and fences name decision records by their new places.
func (t *tape) checkpoints(tb testing.TB, was []*line) {
	tb.Helper()
	places := map[string]uint64{"0": 0}
	for i, l := range was {
		if l.kind() == "window" {
			places[itoa(l.Sequence)] = t.store[i].Sequence
		}
	}
	move := func(doc any, field string) {
		d := doc.(map[string]any)
		if n, ok := d[field].(json.Number); ok {
			if to, ok := places[n.String()]; ok {
				d[field] = to
			}
		}
	}
	for _, l := range t.store {
		switch l.kind() {
		case "fence":
			l.edit(tb, func(doc map[string]any) { move(doc, "checkpoint") })
		case "checkpoint":
			l.edit(tb, func(doc map[string]any) {
				move(doc, "after")
				move(doc, "through")
				windows, _ := doc["windows"].([]any)
				for _, w := range windows {
					move(w, "sequence")
				}
			})
		}
	}
}

func sealCommit(tb testing.TB, commit []*line, chain map[string]string, last map[string]uint64, moved map[uint64]uint64) {
	tb.Helper()
	digest := sha256.New()
	for _, l := range commit {
		if _, ok := l.Header[headerExpected]; ok {
			on := l.Header[headerExpectedOn]
			if on == "" {
				on = l.Subject
			}
			was, _ := strconv.ParseUint(l.Header[headerExpected], 10, 64)
			l.Header[headerExpected] = strconv.FormatUint(cmp.Or(moved[was], last[on]), 10)
		}
		_, partition, _ := strings.Cut(strings.TrimPrefix(l.Subject, "hierarchy."), ".")
		switch kind := l.kind(); {
		case kind == "version" || kind == "dead" || strings.HasPrefix(kind, "events."):
			for _, piece := range []string{l.Subject, "\x00", l.Data, "\x00"} {
				digest.Write([]byte(piece))
			}
		case kind == "checkpoint":
			l.edit(tb, func(doc map[string]any) {
				if doc["chain"] != nil {
					doc["chain"] = chain[partition]
				}
			})
		case kind == "window":
			l.edit(tb, func(doc map[string]any) {
				delete(doc, "previous")
				if chain[partition] != "" {
					doc["previous"] = chain[partition]
				}
				if doc["digest"] != "" {
					doc["digest"] = hex.EncodeToString(digest.Sum(nil))
					digest.Reset()
				}
			})
			sum := sha256.Sum256([]byte(l.Data))
			chain[partition] = hex.EncodeToString(sum[:])
		}
	}
	for _, l := range commit {
		if _, partition, _ := strings.Cut(strings.TrimPrefix(l.Subject, "hierarchy."), "."); l.kind() == "fence" && chain[partition] != "" {
			l.edit(tb, func(doc map[string]any) { doc["chain"] = chain[partition] })
		}
		last[l.Subject] = l.Sequence
	}
}
