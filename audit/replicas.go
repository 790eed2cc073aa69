package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Node is a server of the cluster and what it holds of a stream.
type Node struct {
	Name     string `json:"name"`
	Stream   string `json:"stream"`
	Messages uint64 `json:"messages"` // compared
}

// copied is a message as one node has it: what all copies of it must share.
type copied struct {
	sequence uint64
	sum      uint64
	subject  string
	at       time.Time
}

// replica is a stream as one node has it.
type replica struct {
	Node
	feed    *feed[copied]
	pending []copied
	ended   bool
}

// How long replicas may take to hold what the leader held when the comparison began,
// and how often a consumer is made anew to get one on each node.
const (
	lagPatience   = 20 * time.Second
	lagLook       = 100 * time.Millisecond
	placeAttempts = 20 // for each node
)

// compareReplicas reads both streams through each of their nodes, and wants all nodes
// to hold the same (invariant I31).
func (a *auditor) compareReplicas(ctx context.Context) error {
	space := a.o.Space
	kept := []string{space.AllVersions(), space.Events(), space.Windows(), space.Checkpoints(), space.Ledgers(), space.DeadLetters()}
	replaced := []string{space.States(), space.Fences(), space.AllRecords()}
	return errors.Join(
		a.compareStream(ctx, &a.input.source, jetstream.DeliverAllPolicy, nil),
		a.compareStream(ctx, &a.store, jetstream.DeliverAllPolicy, kept),
		a.compareStream(ctx, &a.store, jetstream.DeliverLastPerSubjectPolicy, replaced),
	)
}

// compareStream compares what the nodes of a stream hold of some subjects, up to what
// the leader holds at the moment.
func (a *auditor) compareStream(ctx context.Context, s *source, deliver jetstream.DeliverPolicy, subjects []string) error {
	upTo, names, err := a.caughtUp(ctx, s)
	if err != nil || len(names) < 2 {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	var replicas []*replica
	var wait sync.WaitGroup
	defer func() {
		stop()
		wait.Wait()
		for _, r := range replicas {
			a.forget(ctx, s, r)
		}
	}()
	seed := maphash.MakeSeed()
	for _, name := range names {
		r, err := a.place(ctx, s, name, jetstream.ConsumerConfig{DeliverPolicy: deliver, FilterSubjects: subjects}, seed)
		if err != nil {
			return err
		}
		if r == nil {
			a.incomplete("no consumer could be placed on node %s: what it holds of stream %s was not compared", name, s.name)
			continue
		}
		replicas = append(replicas, r)
	}
	for _, r := range replicas {
		wait.Go(func() { r.feed.run(reading) })
	}
	c := &comparison{a: a, s: s, upTo: upTo, replicas: replicas}
	if err := c.run(ctx); err != nil {
		return err
	}
	a.noteNodes(replicas)
	return nil
}

func (a *auditor) noteNodes(replicas []*replica) {
	for _, r := range replicas {
		i := slices.IndexFunc(a.report.Nodes, func(n Node) bool { return n.Name == r.Name && n.Stream == r.Stream })
		if i < 0 {
			a.report.Nodes = append(a.report.Nodes, r.Node)
			continue
		}
		a.report.Nodes[i].Messages += r.Messages
	}
}

// caughtUp returns up to where all nodes of a stream have it, and their names, those
// apart that cannot be compared.
func (a *auditor) caughtUp(ctx context.Context, s *source) (upTo uint64, names []string, err error) {
	began := time.Now()
	tick := time.NewTicker(lagLook)
	defer tick.Stop()
	for {
		info, err := s.stream.Info(ctx)
		if err != nil {
			return 0, nil, fmt.Errorf("reading stream %s: %w", s.name, err)
		}
		s.state = info.State
		if upTo == 0 {
			upTo = info.State.LastSeq
		}
		if info.Cluster == nil || len(info.Cluster.Replicas) == 0 {
			a.incomplete("stream %s has one replica: there is nothing to compare it with", s.name)
			return 0, nil, nil
		}
		behind := slices.DeleteFunc(slices.Clone(info.Cluster.Replicas), func(p *jetstream.PeerInfo) bool {
			return p.Current && !p.Offline && info.State.LastSeq >= p.Lag && info.State.LastSeq-p.Lag >= upTo
		})
		if len(behind) == 0 || time.Since(began) > lagPatience {
			return upTo, a.comparable(info.Cluster, behind), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}

// comparable returns the names of the nodes that can be compared.
func (a *auditor) comparable(c *jetstream.ClusterInfo, behind []*jetstream.PeerInfo) []string {
	names := []string{c.Leader}
	for _, p := range c.Replicas {
		if !slices.Contains(behind, p) {
			names = append(names, p.Name)
			continue
		}
		a.incomplete("node %s is offline or %d behind: what it holds was not compared", p.Name, p.Lag)
	}
	slices.Sort(names)
	return names
}

// place makes a consumer on a node. Where the cluster places one cannot be asked for,
// so that it is made until it is there.
func (a *auditor) place(ctx context.Context, s *source, node string, cfg jetstream.ConsumerConfig, seed maphash.Seed) (*replica, error) {
	cfg.AckPolicy, cfg.Replicas, cfg.MemoryStorage, cfg.InactiveThreshold = jetstream.AckNonePolicy, 1, true, consumerIdle
	for range placeAttempts {
		consumer, err := a.o.JS.CreateConsumer(ctx, s.name, cfg)
		if err != nil {
			return nil, fmt.Errorf("reading stream %s through node %s: %w", s.name, node, err)
		}
		r := &replica{Node: Node{Name: node, Stream: s.name}}
		r.feed = feedOf(s, consumer, false, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) copied {
			return copied{sequence: meta.Sequence.Stream, sum: sumOf(seed, msg), subject: strings.Clone(msg.Subject()), at: meta.Timestamp}
		})
		if c := consumer.CachedInfo().Cluster; c != nil && c.Leader == node {
			return r, nil
		}
		a.forget(ctx, s, r)
	}
	return nil, nil //nolint:nilnil // no consumer, no error
}

// sumOf returns a sum of what all copies of a message have in common.
func sumOf(seed maphash.Seed, msg jetstream.Msg) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(msg.Subject())
	for _, key := range slices.Sorted(maps.Keys(msg.Headers())) {
		_, _ = h.WriteString(key)
		for _, value := range msg.Headers()[key] {
			_, _ = h.WriteString(value)
		}
	}
	_, _ = h.Write(msg.Data())
	return h.Sum64()
}

// forget removes a consumer that is not needed any more; if that fails the broker
// does it later.
func (a *auditor) forget(ctx context.Context, s *source, r *replica) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = a.o.JS.DeleteConsumer(ctx, s.name, r.feed.consumer.CachedInfo().Name)
}

// comparison reads the replicas of a stream side by side.
type comparison struct {
	a        *auditor
	s        *source
	upTo     uint64
	replicas []*replica
}

func (c *comparison) run(ctx context.Context) error {
	for {
		at := c.upTo + 1
		for _, r := range c.replicas {
			if err := r.fill(ctx); err != nil {
				return fmt.Errorf("node %s: %w", r.Name, err)
			}
			if len(r.pending) > 0 {
				at = min(at, r.pending[0].sequence)
			}
		}
		if at > c.upTo || c.a.enough() {
			return nil
		}
		if err := c.message(ctx, at); err != nil {
			return err
		}
	}
}

// fill waits for a message of the replica, or its end.
func (r *replica) fill(ctx context.Context) error {
	for len(r.pending) == 0 && !r.ended {
		chunk, err := r.feed.next(ctx, idleLook)
		if err != nil {
			return err
		}
		r.ended = chunk == nil
		if chunk != nil {
			r.pending = chunk.decoded
		}
	}
	return nil
}

// message compares the copies of the message at a sequence.
func (c *comparison) message(ctx context.Context, at uint64) error {
	copies := map[uint64][]string{} // nodes by what they have, 0 for nothing
	var one copied
	for _, r := range c.replicas {
		sum := uint64(0)
		if len(r.pending) > 0 && r.pending[0].sequence == at {
			one = r.pending[0]
			sum = one.sum | 1
			r.pending = r.pending[1:]
			r.Messages++
		}
		copies[sum] = append(copies[sum], r.Name)
	}
	if len(copies) == 1 {
		return nil
	}
	gone, err := c.gone(ctx, &one)
	if err != nil || gone {
		return err
	}
	c.differ(&one, copies)
	return nil
}

// gone reports whether a message may have been removed, in good order, while the
// nodes were read one after the other.
func (c *comparison) gone(ctx context.Context, m *copied) (bool, error) {
	if c.s != &c.a.store {
		if err := c.s.look(ctx); err != nil {
			return false, err
		}
		return m.sequence < c.s.state.FirstSeq, nil
	}
	switch family, _, _ := strings.Cut(strings.TrimPrefix(m.subject, c.a.o.Space.Prefix()+"."), "."); family {
	case "version":
		return false, nil
	case "state", "fence", "op":
		last, err := c.a.last(ctx, m.subject)
		return last != m.sequence, err
	}
	return c.a.expired(m.at), nil
}

// differ names the nodes that are not of the majority, all if there is none.
func (c *comparison) differ(m *copied, copies map[uint64][]string) {
	most := 0
	for _, names := range copies {
		most = max(most, len(names))
	}
	var odd []string
	for sum, names := range copies {
		if len(names) == most && 2*most > len(c.replicas) {
			continue
		}
		for _, name := range names {
			what := "has other content in it"
			if sum == 0 {
				what = "does not have it"
			}
			odd = append(odd, name+" "+what)
		}
	}
	slices.Sort(odd)
	at := spot{partition: nowhere, sequences: []uint64{m.sequence}, input: c.s != &c.a.store}
	c.a.complain(Replicas, at, "%s is not the same on all %d nodes: node %s", m.subject, len(c.replicas), strings.Join(odd, ", node "))
}
