package consumer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/audit"
	"github.com/hierarchy-events/hierarchy/operation"
)

// recording is where package audit finds what its tests tamper with.
const recording = "../audit/testdata/recording.jsonl.gz"

// recorded is a line of a recording: a message as it was stored.
type recorded struct {
	Stream   string            `json:"stream"`
	Sequence uint64            `json:"seq"`
	Time     time.Time         `json:"time"`
	Subject  string            `json:"subject"`
	Header   map[string]string `json:"header,omitempty"`
	Data     string            `json:"data"`
}

// recorder notes all that both streams store, before any of it is replaced.
type recorder struct {
	mu    sync.Mutex // guards lines
	lines []recorded
}

func (w *world) recorder() *recorder {
	w.t.Helper()
	r := &recorder{}
	for _, stream := range []string{w.space.OpsStream(), w.space.StoreStream()} {
		consumer, err := w.js.OrderedConsumer(w.t.Context(), stream, jetstream.OrderedConsumerConfig{})
		if err != nil {
			w.t.Fatal(err)
		}
		running, err := consumer.Consume(func(msg jetstream.Msg) { r.note(w.t, stream, msg) })
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(running.Stop)
	}
	return r
}

func (r *recorder) note(t *testing.T, stream string, msg jetstream.Msg) {
	t.Helper()
	meta, err := msg.Metadata()
	if err != nil {
		t.Error(err)
		return
	}
	line := recorded{
		Stream: stream, Sequence: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Subject: msg.Subject(), Data: string(msg.Data()),
	}
	for key := range msg.Headers() {
		if line.Header == nil {
			line.Header = map[string]string{}
		}
		line.Header[key] = msg.Headers().Get(key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// write writes the recording, the streams one after the other.
func (r *recorder) write(t *testing.T, path string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.lines, func(a, b recorded) int { return strings.Compare(a.Stream, b.Stream) })
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	for i := range r.lines {
		line, err := json.Marshal(&r.lines[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = zipped.Write(append(line, '\n')) // to memory
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRecording plays through all that can become of an operation. What was recorded
// is clean, and has something of everything that the audit counts; -update keeps it
// for the tests of package audit.
func TestRecording(t *testing.T) {
	bubble(t, func(w *world) {
		r := w.recorder()
		c := w.ready()
		a := &act{world: w}
		a.conflicts()
		a.lives()
		a.trees()
		a.refusals()
		a.again()
		a.resizes(a.changeOwner(c))
		a.leave()
		after(10 * time.Second)
		report := w.audited()
		n := &report.Counts
		for what, count := range map[string]uint64{
			"succeeded": n.Succeeded, "rejected": n.Rejected, "cancelled": n.Cancelled, "dead-lettered": n.DeadLettered,
			"duplicate": n.Duplicates, "retried": n.Retries, "recovered": n.Recovered, "preempted": n.Preempted,
			"carried": n.Carried, "inherited": n.Inherited, "live": n.Live, "versions": n.Versions,
		} {
			if count == 0 {
				t.Errorf("nothing %s was recorded", what)
			}
		}
		if n.Verified+n.DeadLettered < n.Operations || len(report.Incomplete) > 0 {
			t.Errorf("%d of %d operations were compared with what was submitted; incomplete: %q", n.Verified, n.Operations, report.Incomplete)
		}
		if *update {
			r.write(t, recording)
		}
	})
}

// audited returns what the audit says of the world as it is.
func (w *world) audited() audit.Report {
	w.t.Helper()
	report, err := audit.Run(w.t.Context(), audit.Options{JS: w.js, Space: w.space, Rules: w.rules})
	if err != nil {
		w.t.Error(err)
	}
	for _, v := range report.Violations {
		w.t.Errorf("audit: %s", v)
	}
	return report
}

// act is what a recording shows.
type act struct {
	*world
	once operation.Operation // that is submitted again and again
}

// conflicts has priorities, times, parents and carried operations decide.
func (a *act) conflicts() {
	ids := a.made("valve-1", "valve-2", "pump-1", "tank-1")
	valve, other, pump, tank := ids[0], ids[1], ids[2], ids[3]
	a.submit(modify(valve, operation.Low, "1"), modify(valve, operation.Normal, "2"), modify(valve, operation.Critical, "3"), modify(valve, operation.High, "4"))
	early := modify(other, operation.Normal, "5")
	early.CreatedAt = time.Now().Add(-time.Hour).UTC() // clamped
	a.submit(modify(other, operation.Normal, "6"), early, modify(pump, operation.Low, "7"))
	after(time.Second)
	parent := modify(valve, operation.High, "8")
	child := under(parent, count(other, operation.Low))
	a.submit(parent, child, modify(other, operation.Normal, "9"), under(child, modify(pump, operation.Low, "10")), modify(pump, operation.Normal, "11"))
	after(time.Second)
	a.submit(under(parent, count(pump, operation.Low)), modify(pump, operation.Normal, "12"))
	after(time.Second)
	a.submit(carry(modify(pump, operation.Low, "13")), carry(modify(pump, operation.Low, "14")), carry(modify(pump, operation.Low, "16")), modify(pump, operation.High, "15"))
	after(5 * time.Millisecond)
	a.submit(borrow(valve, other, operation.Normal), count(other, operation.Normal), op(operation.VersionEntity, tank, operation.Normal, `{"note":"as it is"}`))
	after(time.Second)
	late := a.entity("valve-late")
	a.submit(count(late, operation.High))
	after(20 * time.Millisecond)
	a.submit(create(late))
	after(time.Second)
	chain := modify(valve, operation.High, "16")
	for range operation.MaxParentDepth + 1 {
		a.submit(chain)
		chain = under(chain, modify(valve, operation.Normal, "17"))
	}
	after(time.Second)
}

// lives has operations wait, fail, give way and be cancelled.
func (a *act) lives() {
	ids := a.made("slow-1", "slow-2", "slow-3", "slow-4")
	held, failing, shown, last := ids[0], ids[1], ids[2], ids[3]
	first := slow(held, operation.Low, script{Take: "300ms", Set: []byte("1"), Version: true})
	next := modify(held, operation.Normal, "2")
	a.submit(first)
	after(50 * time.Millisecond)
	a.submit(next, modify(held, operation.Low, "3"))
	after(50 * time.Millisecond)
	a.submit(modify(held, operation.Critical, "4"), modify(held, operation.High, "5"))
	a.cancel(first)
	after(time.Second)
	a.submit(slow(failing, operation.Low, script{Fail: 1}), retries(1, slow(shown, operation.Low, script{Fail: 5})))
	a.submit(slow(last, operation.Low, script{Fail: 1, Permanent: true}))
	after(50 * time.Millisecond)
	a.submit(modify(failing, operation.High, "6"))
	after(2 * time.Second)
	a.submit(slow(failing, operation.Low, script{Take: "500ms"}))
	after(50 * time.Millisecond)
	given := modify(failing, operation.Normal, "7")
	a.submit(given)
	after(50 * time.Millisecond)
	a.cancel(given)
	after(time.Second)
	a.submit(pure(held, operation.Low, script{Until: time.Now().Add(400 * time.Millisecond), Set: []byte("8")}))
	after(130 * time.Millisecond)
	a.submit(modify(held, operation.Low, "9")) // waits for the holder, which outlives its grace period
	after(3 * time.Second)
	waiting := modify(a.entity("nowhere"), operation.Low, "10")
	a.submit(waiting)
	after(150 * time.Millisecond)
	a.submit(modify(a.entity("nowhere"), operation.High, "11")) // displaces it
	after(30 * time.Second)
}

// trees has entities move, and be deleted.
func (a *act) trees() {
	ids := a.made("root-1", "root-2")
	orphan := a.entity("orphan-1")
	a.submit(attach(ids[1], ids[0], operation.Normal), op(operation.CreateEntity, orphan, operation.Normal, `{"type":"valve","components":{},"orphan":true}`))
	after(time.Second)
	a.submit(op(operation.PromoteToRoot, ids[1], operation.Normal, ""), op(operation.PromoteToRoot, orphan, operation.Normal, ""), attach(ids[0], ids[1], operation.Low))
	after(time.Second)
	a.submit(op(operation.DetachEntity, ids[0], operation.Normal, ""), op(operation.DeleteEntity, orphan, operation.Normal, ""))
	after(time.Second)
	a.submit(borrow(ids[0], orphan, operation.Normal), attach(ids[0], ids[0], operation.Normal))
	after(time.Second)
}

// refusals has workers refuse what they must.
func (a *act) refusals() {
	valve := a.entity("valve-1")
	a.submit(expiring(-time.Second, modify(valve, operation.Low, "1")), under(modify(valve, operation.Low, "2"), modify(valve, operation.Low, "3")))
	a.submit(op(operation.ModifyField, valve, operation.Low, `{"field":7}`), op("unheard_of", valve, operation.Low, ""))
	a.publish(a.space.Submit(operation.Low, valve), []byte("what is this"))
	a.publish("hierarchy.ops.low.no-entity", []byte(`{"op_id":"`+uuid.NewString()+`"}`))
	a.publish(a.space.Cancel(valve), []byte("{}"))
	a.cancel(operation.Operation{ID: uuid.New(), Target: valve})
	after(time.Second)
	withdrawn := modify(valve, operation.Low, "4")
	a.submit(withdrawn, modify(valve, operation.Low, "5"))
	a.cancel(withdrawn)
	after(time.Second)
	dead := expiring(-time.Second, modify(valve, operation.High, "6"))
	a.submit(dead)
	after(time.Second)
	a.submit(under(dead, modify(valve, operation.Low, "7")))
	after(time.Second)
}

// again submits what was submitted before.
func (a *act) again() {
	pump := a.entity("pump-1")
	a.once = modify(pump, operation.Normal, "20")
	a.submit(a.once)
	after(time.Second)
	other := a.once
	other.Params = []byte(`{"field":"counter","value":21}`)
	a.submit(a.once, other)
	after(time.Second)
}

// changeOwner has one worker die at work, and another let go in good order. It returns
// the one that follows.
func (a *act) changeOwner(c *crew) *crew {
	a.t.Helper()
	slow1, slow2 := a.entity("slow-1"), a.entity("slow-2")
	a.submit(slow(slow1, operation.Normal, script{Take: "500ms", Set: []byte("30")}), pure(slow2, operation.Normal, script{Until: time.Now().Add(time.Second)}))
	after(100 * time.Millisecond)
	c.die()
	d := a.ready()
	after(5 * time.Second)
	a.submit(modify(slow1, operation.Normal, "31"))
	after(time.Second)
	d.stop()
	e := a.ready()
	a.submit(modify(slow1, operation.Normal, "32"))
	after(time.Second)
	return e
}

// resizes has the number of partitions grow and shrink. What was taken before is
// submitted again after each change, and something new.
func (a *act) resizes(c *crew) {
	a.t.Helper()
	for i, to := range []int{6, 3} {
		if got := a.resize(to); got.Generation != uint64(i+1) || got.Recalled == 0 { //nolint:gosec // one or two
			a.t.Errorf("the number of partitions was changed to %+v", got)
		}
		a.settled(c)
		all := []operation.Operation{a.once}
		for j := range 6 {
			all = append(all, create(a.entity(fmt.Sprint("gauge-", to, "-", j))))
		}
		a.submit(all...)
		after(time.Second)
	}
}

// leave leaves operations that execute, wait and are carried.
func (a *act) leave() {
	slow1, slow2 := a.entity("slow-1"), a.entity("slow-2")
	a.submit(modify(slow1, operation.Normal, "35"), slow(slow2, operation.Normal, script{Take: "1h"}))
	after(100 * time.Millisecond)
	a.submit(modify(slow2, operation.Normal, "33"), carry(modify(slow2, operation.Normal, "34")), carry(modify(slow2, operation.Normal, "36")))
	after(time.Second)
	a.submit(modify(slow2, operation.Low, "37"))
	after(time.Second)
}
