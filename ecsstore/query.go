package ecsstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// ErrNotFound says that what was asked for is not in the store.
var ErrNotFound = errors.New("not found")

// Reader answers questions about what is stored. It needs no worker, only the
// streams, and asks a stream's leader, so that it sees what was committed before
// the question. Its methods may be called from any goroutine.
type Reader struct {
	js    jetstream.JetStream
	space subjects.Space
}

// NewReader returns a reader of the streams of space.
func NewReader(js jetstream.JetStream, space subjects.Space) *Reader {
	return &Reader{js: js, space: space}
}

// Get returns the head of an entity, that of a deleted one included (its place is
// [Deleted]), or [ErrNotFound].
func (r *Reader) Get(ctx context.Context, id uuid.UUID) (*Entity, error) {
	return readLast[Entity](ctx, r, r.space.State(id), "entity "+id.String())
}

// Version returns version n of an entity, counted from 1, or [ErrNotFound].
func (r *Reader) Version(ctx context.Context, id uuid.UUID, n uint64) (*Version, error) {
	return readLast[Version](ctx, r, r.space.Version(id, n), fmt.Sprintf("version %d of entity %s", n, id))
}

// Versions yields the versions of an entity in order. An entity that never had one
// yields none.
func (r *Reader) Versions(ctx context.Context, id uuid.UUID) iter.Seq2[*Version, error] {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{r.space.Versions(id)}}
	return decodeEach[Version](r.scan(ctx, r.space.StoreStream(), cfg, toTheEnd), "versions of entity "+id.String())
}

// At returns the version of an entity that was the latest at time t, or
// [ErrNotFound] where there was none yet.
func (r *Reader) At(ctx context.Context, id uuid.UUID, t time.Time) (*Version, error) {
	head, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	var found *Version
	for low, high := uint64(1), head.VersionCount; low <= high; {
		middle := low + (high-low)/2
		v, err := r.Version(ctx, id, middle)
		if err != nil {
			return nil, err
		}
		if v.Time.After(t) {
			high = middle - 1
		} else {
			found, low = v, middle+1
		}
	}
	if found == nil {
		return nil, fmt.Errorf("version of entity %s at %s: %w", id, t.Format(time.RFC3339Nano), ErrNotFound)
	}
	return found, nil
}

// Node is an entity with those below it.
type Node struct {
	Entity   *Entity `json:"entity"`
	Children []*Node `json:"children,omitempty"`
}

// Tree returns an entity with all its descendants. It reads one head after the
// other: while operations go on, the tree may mix what was before and after one.
func (r *Reader) Tree(ctx context.Context, id uuid.UUID) (*Node, error) {
	head, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.grow(ctx, head, 1)
}

func (r *Reader) grow(ctx context.Context, head *Entity, depth int) (*Node, error) {
	node := &Node{Entity: head}
	if depth > MaxTreeDepth {
		return node, nil
	}
	for _, id := range head.Children {
		child, err := r.Get(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue // gone between the two reads
		}
		if err != nil {
			return nil, err
		}
		below, err := r.grow(ctx, child, depth+1)
		if err != nil {
			return nil, err
		}
		node.Children = append(node.Children, below)
	}
	return node, nil
}

// Fences returns the fence of every partition that was ever claimed, in order.
func (r *Reader) Fences(ctx context.Context) ([]operation.Fence, error) {
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{r.space.Fences()}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}
	count := 0
	latest := map[int]operation.Fence{} // a commit during the scan shows a partition twice
	for fence, err := range decodeEach[operation.Fence](r.scan(ctx, r.space.StoreStream(), cfg, toTheEnd), "fences") {
		if err != nil {
			return nil, err
		}
		latest[fence.Partition] = *fence
		count = max(count, fence.Partitions, fence.Partition+1)
	}
	for p := range count {
		if _, ok := latest[p]; ok {
			continue
		}
		// It was never claimed, or replaced before it was read, beyond the end of the scan.
		fence, err := r.fence(ctx, p)
		if err == nil {
			latest[p] = fence
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	out := make([]operation.Fence, 0, len(latest))
	for _, fence := range latest {
		out = append(out, fence)
	}
	slices.SortFunc(out, func(a, b operation.Fence) int { return cmp.Compare(a.Partition, b.Partition) })
	return out, nil
}

func (r *Reader) fence(ctx context.Context, partition int) (f operation.Fence, err error) {
	msg, err := ask(ctx, r.js, r.space.StoreStream(), getRequest{LastFor: r.space.Fence(partition)})
	if err == nil {
		err = json.Unmarshal(msg.Data, &f)
	}
	if err != nil {
		return f, fmt.Errorf("reading the fence of partition %d: %w", partition, err)
	}
	return f, nil
}

// Live yields the records of a partition's operations that have not ended.
func (r *Reader) Live(ctx context.Context, partition int) iter.Seq2[*operation.Record, error] {
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{r.space.Records(partition)}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}
	return func(yield func(*operation.Record, error) bool) {
		for record, err := range decodeEach[operation.Record](r.scan(ctx, r.space.StoreStream(), cfg, toTheEnd), "operation records") {
			if err == nil && record.Status.Terminal() {
				continue
			}
			if !yield(record, err) {
				return
			}
		}
	}
}

// Lag returns how many messages of the operations stream a partition has beyond
// its cursor.
func (r *Reader) Lag(ctx context.Context, partition int, cursor uint64) (uint64, error) {
	consumer, err := r.js.CreateConsumer(ctx, r.space.OpsStream(), jetstream.ConsumerConfig{
		FilterSubject: r.space.Submitted(partition),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: cursor + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Second,
	})
	if err != nil {
		return 0, fmt.Errorf("counting the operations that partition %d has yet to take: %w", partition, err)
	}
	info := consumer.CachedInfo()
	// It ends by itself if this fails.
	_ = r.js.DeleteConsumer(ctx, r.space.OpsStream(), info.Name)
	return info.NumPending, nil
}

// Untaken returns when the broker received the first operation that a partition has
// beyond its cursor, or the zero time if there is none.
func (r *Reader) Untaken(ctx context.Context, partition int, cursor uint64) (time.Time, error) {
	msg, err := r.ask(ctx, r.space.OpsStream(), getRequest{Sequence: cursor + 1, NextFor: r.space.Submitted(partition)})
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("looking up what partition %d has yet to take: %w", partition, err)
	}
	return msg.Time.UTC(), nil
}

// Window returns the decision record of a partition's window, or [ErrNotFound].
func (r *Reader) Window(ctx context.Context, partition int, number uint64) (*operation.Window, error) {
	record, err := r.bisect(ctx, partition, func(w *operation.Window) int { return cmp.Compare(w.Number, number) })
	if err != nil {
		return nil, fmt.Errorf("window %s: %w", operation.WindowID(partition, number), err)
	}
	return record, nil
}

// bisect finds the decision record of a partition for which compare returns 0. It
// returns less than 0 for records before that one: all they hold grows with the
// sequences they are stored at.
func (r *Reader) bisect(ctx context.Context, partition int, compare func(*operation.Window) int) (*operation.Window, error) {
	end, err := r.lastSequence(ctx)
	if err != nil {
		return nil, err
	}
	for low, high := uint64(1), end; low <= high; {
		middle := low + (high-low)/2
		record, at, err := r.windowFrom(ctx, partition, middle)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		switch {
		case err != nil, compare(record) > 0: // none from the middle on, or a later one
			high = middle - 1
		case compare(record) == 0:
			return record, nil
		default:
			low = at + 1
		}
	}
	return nil, ErrNotFound
}

// windowFrom returns the first window record of a partition at or after a sequence.
func (r *Reader) windowFrom(ctx context.Context, partition int, from uint64) (*operation.Window, uint64, error) {
	msg, err := r.ask(ctx, r.space.StoreStream(), getRequest{Sequence: from, NextFor: r.space.Window(partition)})
	if err != nil {
		return nil, 0, err
	}
	record := new(operation.Window)
	if err := decodeNumbers(msg.Data, record); err != nil {
		return nil, 0, err
	}
	return record, msg.Sequence, nil
}

// Submitted returns the digest of what was submitted for an entity and stored at a
// sequence of the operations stream, or [ErrNotFound]. Once it is resolved and
// forgotten there, the decision record has it. Content that is no operation has the
// digest "".
func (r *Reader) Submitted(
	ctx context.Context, target uuid.UUID, sequence uint64, custom func(operation.Type) bool,
) (digest string, err error) {
	msg, err := r.ask(ctx, r.space.OpsStream(), getRequest{Sequence: sequence})
	if errors.Is(err, ErrNotFound) {
		return r.taken(ctx, target, sequence)
	}
	if err != nil {
		return "", err
	}
	submission, err := r.space.ParseSubmission(msg.Subject)
	if err != nil {
		return "", err
	}
	op, err := operation.Decode(msg.Data, submission.Class, submission.Target, custom)
	if err != nil {
		return "", nil //nolint:nilerr // as the comment says
	}
	return op.Digest(), nil
}

func (r *Reader) lastSequence(ctx context.Context) (uint64, error) {
	stream, err := r.js.Stream(ctx, r.space.StoreStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("stream %s: %w", r.space.StoreStream(), ErrNotInitialized)
	}
	if err != nil {
		return 0, fmt.Errorf("looking up stream %s: %w", r.space.StoreStream(), err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

func (r *Reader) ask(ctx context.Context, stream string, q getRequest) (*stored, error) {
	return ask(ctx, r.js, stream, q)
}

// readLast returns the last message of a subject as a T; what names it in errors.
func readLast[T any](ctx context.Context, r *Reader, subject, what string) (*T, error) {
	msg, err := r.ask(ctx, r.space.StoreStream(), getRequest{LastFor: subject})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	out := new(T)
	if err := decodeNumbers(msg.Data, out); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}
