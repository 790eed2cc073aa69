package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// How members notice each other.
const (
	heartbeat = ecsstore.MemberTTL / 4
	// pingEvery is how often a member asks each other one whether it is there: one
	// whose connection is gone is noticed at once, long before its key expires.
	pingEvery = 200 * time.Millisecond
)

// member is a worker's entry in the bucket of members.
type member struct {
	Name     string    `json:"name"`
	Draining bool      `json:"draining,omitempty"` // it stops and wants no partition
	Since    time.Time `json:"since"`
	// Partitions is how many the worker knows. Workers of builds that cannot follow a
	// change of the number do not say it.
	Partitions int `json:"partitions,omitempty"`

	seen     time.Time // by this worker's own clock
	revision uint64    // of the entry
	gone     uint64    // revision at which nobody answered any more
}

// members keeps this worker among the live ones and says which partitions are its
// own. Membership decides who should try to own a partition; the fence decides who
// does.
type members struct {
	cfg        *Config
	nc         *nats.Conn
	kv         jetstream.KeyValue
	partitions int
	want       func([]int)
	wake       chan struct{} // of capacity 1: somebody is gone

	// writes is of capacity 1 and full while the entry is written, so that none overtakes
	// another. It is no mutex since whoever waits for it stops waiting with its context.
	writes chan struct{}

	mu     sync.Mutex // guards all below
	others map[string]*member
	self   member
	beat   time.Time // the last heartbeat that the broker took
}

func newMembers(ctx context.Context, cfg *Config, js jetstream.JetStream, partitions int, want func([]int)) (*members, error) {
	kv, err := js.KeyValue(ctx, cfg.Space.MembersBucket())
	if err != nil {
		return nil, fmt.Errorf("opening bucket %s: %w", cfg.Space.MembersBucket(), err)
	}
	return &members{
		cfg: cfg, nc: js.Conn(), kv: kv, partitions: partitions, want: want,
		wake: make(chan struct{}, 1), writes: make(chan struct{}, 1), others: map[string]*member{}, self: member{Name: cfg.Name, Since: time.Now().UTC(), Partitions: partitions},
	}, nil
}

// run keeps the membership up until ctx is done. It starts again whenever the broker
// was not there to begin with.
func (m *members) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.watch(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.WarnContext(ctx, "watching the members", slog.Any("error", err))
		}
		select {
		case <-time.After(heartbeat):
		case <-ctx.Done():
		}
	}
}

// watch answers pings, says that this worker is alive and follows the others.
func (m *members) watch(ctx context.Context) error {
	ping, err := m.nc.Subscribe(m.cfg.Space.Ping(m.cfg.Name), func(msg *nats.Msg) { _ = msg.Respond(nil) })
	if err != nil {
		return fmt.Errorf("answering pings: %w", err)
	}
	defer ping.Unsubscribe() //nolint:errcheck // the connection ends it anyway
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch in the background; its Stop would wait for a broker that is away
	watch, err := m.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watching bucket %s: %w", m.cfg.Space.MembersBucket(), err)
	}
	if err := m.announce(ctx); err != nil {
		return err
	}
	m.loop(ctx, watch.Updates())
	return nil
}

func (m *members) loop(ctx context.Context, updates <-chan jetstream.KeyValueEntry) {
	beats, pings := time.NewTicker(heartbeat), time.NewTicker(pingEvery)
	defer beats.Stop()
	defer pings.Stop()
	known := false // what was in the bucket before has been read
	for {
		select {
		case <-ctx.Done():
			return
		case entry, open := <-updates:
			if !open {
				return
			}
			known = known || entry == nil
			m.learn(entry)
		case <-beats.C:
			if err := m.announce(ctx); err != nil && ctx.Err() == nil {
				m.cfg.Logger.WarnContext(ctx, "heartbeat", slog.Any("error", err))
			}
		case <-pings.C:
			m.ping(ctx)
		case <-m.wake:
		}
		if known {
			m.assign()
		}
	}
}

// announce writes this worker's entry.
func (m *members) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	select {
	case m.writes <- struct{}{}:
		defer func() { <-m.writes }()
	case <-ctx.Done():
		return fmt.Errorf("writing the heartbeat: %w", ctx.Err())
	}
	m.mu.Lock()
	data, err := json.Marshal(m.self)
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encoding the heartbeat: %w", err)
	}
	if _, err := m.kv.Put(ctx, m.cfg.Name, data); err != nil {
		return fmt.Errorf("writing the heartbeat: %w", err)
	}
	m.heard()
	return nil
}

// heard notes that a heartbeat got through. After a silence of this worker's own,
// whatever its reason, the others get as long to show up as a newcomer has.
func (m *members) heard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Sub(m.beat) > ecsstore.MemberTTL/2 {
		for _, other := range m.others {
			other.seen = now
		}
	}
	m.beat = now
}

// learn takes in an entry of the bucket; nil says that the present ones were read.
func (m *members) learn(entry jetstream.KeyValueEntry) {
	if entry == nil || entry.Key() == m.cfg.Name {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if entry.Operation() != jetstream.KeyValuePut {
		delete(m.others, entry.Key())
		return
	}
	var got member
	if err := json.Unmarshal(entry.Value(), &got); err != nil || got.Name != entry.Key() {
		return
	}
	if old := m.others[got.Name]; old != nil {
		got.gone = old.gone
	}
	got.seen, got.revision = time.Now(), entry.Revision()
	m.others[got.Name] = &got
}

// ping asks the other members whether they are there.
func (m *members) ping(ctx context.Context) {
	for _, other := range m.alive() {
		go func() { // ends with its time-out
			ctx, cancel := context.WithTimeout(ctx, pingEvery)
			defer cancel()
			_, err := m.nc.RequestWithContext(ctx, m.cfg.Space.Ping(other.Name), nil)
			if errors.Is(err, nats.ErrNoResponders) {
				m.missed(other)
			}
		}()
	}
}

// missed notes that nobody answers for a member. Only a later heartbeat brings it
// back.
func (m *members) missed(other member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.others[other.Name]; now != nil && now.revision == other.revision {
		now.gone = other.revision
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// alive lists the other members that are there. While this worker's own heartbeats
// do not get through it takes nobody for gone: the broker may be what is missing.
func (m *members) alive() []member {
	m.mu.Lock()
	defer m.mu.Unlock()
	deaf := time.Since(m.beat) > ecsstore.MemberTTL
	var out []member
	for name, other := range m.others {
		switch {
		case deaf:
		case time.Since(other.seen) > ecsstore.MemberTTL+heartbeat:
			delete(m.others, name)
			continue
		case other.gone == other.revision:
			continue
		}
		out = append(out, *other)
	}
	return out
}

// patience returns how long another worker is given to let go of a partition, 0 if it is
// not there.
func (m *members) patience(name string) time.Duration {
	for _, other := range m.alive() {
		switch {
		case other.Name != name:
		case other.Draining:
			return drainTimeout
		default:
			return handOverTimeout
		}
	}
	return 0
}

// includes reports whether a worker is there, this one among them.
func (m *members) includes(name string) bool { return name == m.cfg.Name || m.patience(name) > 0 }

// assign works out which partitions are this worker's.
func (m *members) assign() {
	var names []string
	for _, other := range m.alive() {
		if !other.Draining {
			names = append(names, other.Name)
		}
	}
	m.mu.Lock()
	if !m.self.Draining {
		names = append(names, m.cfg.Name)
	}
	m.mu.Unlock()
	var mine []int
	for p := range m.partitions {
		if Owner(p, names) == m.cfg.Name {
			mine = append(mine, p)
		}
	}
	m.want(mine)
}

// drainGrace is how long a worker that drains goes on working: the others get ready
// meanwhile to own its partitions.
const drainGrace = 200 * time.Millisecond

// drain says that this worker wants no partition any more. If there are others, it gives
// them time to get ready.
func (m *members) drain(ctx context.Context) {
	m.mu.Lock()
	m.self.Draining = true
	m.mu.Unlock()
	if err := m.announce(ctx); err != nil {
		m.cfg.Logger.WarnContext(ctx, "saying that the worker drains", slog.Any("error", err))
		return
	}
	if !slices.ContainsFunc(m.alive(), func(o member) bool { return !o.Draining }) {
		return
	}
	select {
	case <-time.After(drainGrace):
	case <-ctx.Done():
	}
}

// leave takes this worker out of the bucket.
func (m *members) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	if err := m.kv.Delete(ctx, m.cfg.Name); err != nil {
		m.cfg.Logger.WarnContext(ctx, "leaving the members", slog.Any("error", err))
	}
}

// Owner returns the worker that should own a partition: the one with the highest
// rendezvous hash, so that a worker that comes or goes moves its own share and no
// more. It returns "" if there is none.
func Owner(partition int, workers []string) string {
	best, bestWeight := "", uint64(0)
	for _, name := range workers {
		w := weigh(partition, name)
		if best == "" || w > bestWeight || w == bestWeight && name < best {
			best, bestWeight = name, w
		}
	}
	return best
}

// weigh is FNV-1a over partition and name, mixed so that neighbours differ in every
// bit.
func weigh(partition int, name string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d|%s", partition, name)
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
