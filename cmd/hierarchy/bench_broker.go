package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// publishAlone returns how many operations a second the operations stream takes from
// an asynchronous publisher when nobody reads them.
func publishAlone(ctx context.Context, r *rig, cfg *benchConfig) (float64, error) {
	m := newMaker(&cfg.stressConfig)
	l, err := r.newLoad(m, newBook(m.series), &cfg.stressConfig)
	if err != nil {
		return 0, err
	}
	l.short = true
	timed, cancel := context.WithTimeout(ctx, cfg.duration)
	defer cancel()
	began := time.Now()
	if err := l.run(timed, 0); err != nil {
		return 0, err
	}
	select {
	case <-l.js.PublishAsyncComplete():
	case <-time.After(cfg.settle):
	}
	if n := l.inDoubt(); n > 0 {
		return 0, fmt.Errorf("publishing operations: %d were not acknowledged", n)
	}
	return float64(l.acked.Load()) / time.Since(began).Seconds(), nil
}

// benchBody is as large as the messages of a commit are on average.
const benchBody = 800

// batchAlone returns how many messages a second the store's stream takes in atomic
// batches, each sent when the one before is acknowledged.
func batchAlone(ctx context.Context, r *rig, cfg *benchConfig) (float64, error) {
	js, err := r.open("bench")
	if err != nil {
		return 0, err
	}
	subject := r.space.Write(r.space.Event(operation.CompletedEvent, uuid.New()))
	body := bytes.Repeat([]byte("."), benchBody)
	stored, began := 0, time.Now()
	for ctx.Err() == nil && time.Since(began) < cfg.duration {
		if err := publishBatch(ctx, js.Conn(), subject, body); err != nil {
			return 0, fmt.Errorf("publishing a batch: %w", err)
		}
		stored += ecsstore.MaxBatch
	}
	return float64(stored) / time.Since(began).Seconds(), nil
}

func publishBatch(ctx context.Context, nc *nats.Conn, subject string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	id := uuid.NewString()
	for i := 1; i < ecsstore.MaxBatch; i++ {
		msg := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i)},
		}}
		if err := nc.PublishMsg(msg); err != nil {
			return err
		}
	}
	reply, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
		"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(ecsstore.MaxBatch)}, "Nats-Batch-Commit": {"1"},
	}})
	if err != nil {
		return err
	}
	var ack struct {
		Count int             `json:"count"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Count != ecsstore.MaxBatch {
		return fmt.Errorf("the broker answered %s", reply.Data)
	}
	return nil
}
