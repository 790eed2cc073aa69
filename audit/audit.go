package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// Options say what to audit. JS is required; the zero value of everything else is
// the whole of what the streams hold under the default prefix.
type Options struct {
	JS    jetstream.JetStream
	Space subjects.Space
	Rules Rules // what the workers are configured with; the zero Rules are the defaults

	// Since leaves out what was stored before: that is read as far as it helps to
	// understand the rest, and not checked.
	Since Start
	// Follow goes on at the end and checks what is stored from then on, until the
	// context is done.
	Follow bool
	// PerReplica reads both streams once more, through each node of the cluster, and
	// compares what the nodes hold.
	PerReplica bool
	// Limit is after how many violations the audit gives up; 0 is 100. One that
	// follows never gives up, but forgets the further ones.
	Limit int

	Progress func(done, total uint64) // messages of the store; called from one goroutine
	Found    func(Violation)          // called for each violation as it is found
}

// Start is a place in the store's stream, by sequence or by time. The zero Start is
// its beginning.
type Start struct {
	Sequence uint64
	Time     time.Time
}

// Report is what an audit has found.
type Report struct {
	Violations []Violation `json:"violations"`
	Further    uint64      `json:"further_violations"` // beyond the limit
	Counts     Counts      `json:"counts"`
	// Incomplete says what could not be checked, and why. It is empty where all that
	// ever happened was there to be checked.
	Incomplete []string      `json:"incomplete,omitempty"`
	Nodes      []Node        `json:"nodes,omitempty"` // that were compared
	From       uint64        `json:"from"`            // sequences of the store that were checked
	To         uint64        `json:"to"`
	Took       time.Duration `json:"took_ns"`
}

// Clean reports whether nothing is wrong with what was checked.
func (r *Report) Clean() bool { return len(r.Violations) == 0 }

// Counts are what an audit has seen. They show that it has seen something.
type Counts struct {
	Messages     uint64 `json:"messages"` // of the store
	Commits      uint64 `json:"commits"`
	Partitions   uint64 `json:"partitions"`
	Windows      uint64 `json:"windows"`
	Decisions    uint64 `json:"decisions"`
	Conflicts    uint64 `json:"conflicts"`
	Operations   uint64 `json:"operations"` // taken, each once
	Succeeded    uint64 `json:"succeeded"`
	Rejected     uint64 `json:"rejected"`
	Cancelled    uint64 `json:"cancelled"`
	DeadLettered uint64 `json:"dead_lettered"`
	Live         uint64 `json:"live"`    // taken and not ended
	Pending      uint64 `json:"pending"` // in the operations stream and not yet taken
	Duplicates   uint64 `json:"duplicates"`
	Attempts     uint64 `json:"attempts"`
	Retries      uint64 `json:"retries"`
	Recovered    uint64 `json:"recovered"` // attempts whose worker went away
	Preempted    uint64 `json:"preempted"`
	Carried      uint64 `json:"carried"` // times that a loser was carried
	Inherited    uint64 `json:"inherited"`
	Claims       uint64 `json:"claims"` // as far as epochs show
	Entities     uint64 `json:"entities"`
	Versions     uint64 `json:"versions"`
	Verified     uint64 `json:"verified_submissions"` // operations compared with what was submitted
}

// defaultLimit is the Limit of Options that set none.
const defaultLimit = 100

// Run audits the streams. The error says that they could not be read, or that ctx is
// done before the end; what is wrong with them is in the report, which counts in
// either case.
func Run(ctx context.Context, o Options) (Report, error) {
	began := time.Now()
	a, err := open(ctx, o)
	if err != nil {
		return Report{}, fmt.Errorf("auditing: %w", err)
	}
	err = a.read(ctx)
	if o.Follow && ctx.Err() != nil {
		err = nil // that is how it ends
	}
	if errors.Is(err, errEnough) {
		a.incomplete("gave up after %d violations", len(a.report.Violations))
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("auditing: %w", err)
	}
	a.report.Took = time.Since(began)
	return a.result(), err
}

// read reads both streams and judges what it reads.
func (a *auditor) read(ctx context.Context) error {
	reading, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	var err error
	if a.feed, err = newFeed(ctx, a.o.JS, &a.store, a.o.Since, a.o.Follow, a.decode); err != nil {
		return err
	}
	if a.input.feed, err = newFeed(ctx, a.o.JS, &a.input.source, Start{}, true, a.decodeInput); err != nil {
		return err
	}
	wait.Go(func() { a.feed.run(reading) })
	wait.Go(func() { a.input.feed.run(reading) })
	if err := a.run(ctx); err != nil || !a.o.PerReplica {
		return err
	}
	return a.compareReplicas(ctx)
}

func (a *auditor) decode(msg jetstream.Msg, meta *jetstream.MsgMetadata) *stored {
	return decodeStored(a.o.Space, meta.Sequence.Stream, meta.Timestamp.UTC(), msg.Subject(), msg.Headers(), msg.Data())
}

func (a *auditor) decodeInput(msg jetstream.Msg, meta *jetstream.MsgMetadata) *submission {
	return decodeSubmission(a.o.Space, meta.Sequence.Stream, meta.Timestamp.UTC(), msg.Subject(), msg.Data())
}

// errEnough ends an audit that has found enough.
var errEnough = errors.New("too many violations")

// metaRetention is where a stream says how long it keeps events.
const metaRetention = "hierarchy.retention"

// open looks at the two streams.
func open(ctx context.Context, o Options) (*auditor, error) {
	store, err := o.JS.Stream(ctx, o.Space.StoreStream())
	if err != nil {
		return nil, fmt.Errorf("looking up stream %s: %w", o.Space.StoreStream(), err)
	}
	ops, err := o.JS.Stream(ctx, o.Space.OpsStream())
	if err != nil {
		return nil, fmt.Errorf("looking up stream %s: %w", o.Space.OpsStream(), err)
	}
	meta := store.CachedInfo().Config.Metadata
	retention, err := time.ParseDuration(meta[metaRetention])
	if err != nil {
		return nil, fmt.Errorf("stream %s says that it keeps events %q: want a duration", o.Space.StoreStream(), meta[metaRetention])
	}
	a := newAuditor(o)
	a.store = source{stream: store, name: o.Space.StoreStream()}
	a.input.source = source{stream: ops, name: o.Space.OpsStream()}
	return a, a.begin(ctx, retention)
}
