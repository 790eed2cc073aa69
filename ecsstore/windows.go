package ecsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
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
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{r.space.Windows()}}
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
