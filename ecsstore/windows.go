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

// WindowFilter says which decision records to read. The zero filter matches all that
// are kept.
type WindowFilter struct {
	Partitions []int     // none: every partition
	Since      time.Time // by the broker's clock; none: from the first kept
}

// StoredWindow is a decision record as the stream keeps it.
type StoredWindow struct {
	Record   operation.Window
	Sequence uint64 // in the store's stream
	Left     uint64 // records that were still to be read
}

// Windows yields decision records in the order in which they were committed, up to the
// present end.
func (r *Reader) Windows(ctx context.Context, f WindowFilter) iter.Seq2[*StoredWindow, error] {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{r.space.Windows()}}
	if len(f.Partitions) > 0 {
		cfg.FilterSubjects = nil
	}
	for _, p := range f.Partitions {
		cfg.FilterSubjects = append(cfg.FilterSubjects, r.space.Window(p))
	}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	return func(yield func(*StoredWindow, error) bool) {
		for msg, err := range r.scan(ctx, r.space.StoreStream(), cfg, toTheEnd) {
			out := new(StoredWindow)
			if err == nil {
				err = out.read(msg)
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading decision records: %w", err))
				return
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

func (w *StoredWindow) read(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	w.Sequence, w.Left = meta.Sequence.Stream, meta.NumPending
	if err := decodeNumbers(msg.Data(), &w.Record); err != nil {
		return fmt.Errorf("%s at %d: %w", msg.Subject(), w.Sequence, err)
	}
	return nil
}

// Published returns when an operation says it was created, and when the broker stored
// it at a sequence of the operations stream; or [ErrNotFound] if that has forgotten it.
func (r *Reader) Published(ctx context.Context, sequence uint64) (created, received time.Time, err error) {
	msg, err := r.ask(ctx, r.space.OpsStream(), getRequest{Sequence: sequence})
	if err != nil {
		return created, received, fmt.Errorf("operation at %d: %w", sequence, err)
	}
	var op struct {
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(msg.Data, &op); err != nil {
		return created, received, fmt.Errorf("operation at %d: %w", sequence, err)
	}
	return op.CreatedAt, msg.Time.UTC(), nil
}

// taken looks up what a window took: one of the partition that the entity belongs to,
// or of another, to which it belonged before the number of partitions was changed.
func (r *Reader) taken(ctx context.Context, target uuid.UUID, sequence uint64) (string, error) {
	fences, err := r.Fences(ctx)
	if err != nil || len(fences) == 0 {
		return "", errors.Join(ErrNotFound, err)
	}
	likely := func(f operation.Fence) bool {
		return f.Partitions > 0 && f.Partition == subjects.Partition(target, f.Partitions)
	}
	if own := slices.IndexFunc(fences, likely); own > 0 {
		fences[0], fences[own] = fences[own], fences[0]
	}
	for _, f := range fences {
		digest, err := r.takenBy(ctx, f.Partition, sequence)
		if !errors.Is(err, ErrNotFound) {
			return digest, err
		}
	}
	return "", ErrNotFound
}

func (r *Reader) takenBy(ctx context.Context, partition int, sequence uint64) (string, error) {
	record, err := r.bisect(ctx, partition, func(w *operation.Window) int {
		if w.After < sequence && sequence <= w.Cursor {
			return 0
		}
		return cmp.Compare(w.Cursor, sequence)
	})
	if err != nil {
		return "", err
	}
	for _, took := range record.Taken {
		if took.Sequence == sequence {
			return took.Digest, nil
		}
	}
	return "", ErrNotFound
}
