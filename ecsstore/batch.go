package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxBatch is how many messages one atomic batch can hold; the broker's default.
const MaxBatch = 1000

// Errors of a commit. The first three say that nothing was stored.
var (
	ErrRefused  = errors.New("a condition of the commit no longer holds")
	ErrBusy     = errors.New("the broker cannot take the commit now")
	ErrTooLarge = errors.New("the commit is larger than the broker takes")
	ErrUnknown  = errors.New("the broker did not say whether the commit was stored")
)

// Headers of JetStream that a commit uses.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	headerExpected      = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedOn    = "Nats-Expected-Last-Subject-Sequence-Subject"
	headerRollup        = "Nats-Rollup"
	headerTTL           = "Nats-TTL"
)

// message is one message of a batch. The subject is the stored one.
type message struct {
	subject string
	data    []byte
	header  nats.Header
	own     bool // carries a condition on its own subject
}

func (m *message) set(key, value string) {
	if m.header == nil {
		m.header = make(nats.Header, 6)
	}
	m.header[key] = []string{value}
}

// expect makes the batch fail unless the last message of the subject has that
// sequence; 0 means that there is none.
func (m *message) expect(sequence uint64) {
	m.set(headerExpected, strconv.FormatUint(sequence, 10))
	m.own = true
}

// expectOn is expect for another subject. A message carries one condition.
func (m *message) expectOn(subject string, sequence uint64) {
	m.set(headerExpected, strconv.FormatUint(sequence, 10))
	m.set(headerExpectedOn, subject)
	m.own = true
}

// condition returns the subject that the message carries a condition on, and the
// sequence it must have.
func (m *message) condition() (subject string, sequence uint64, ok bool) {
	expected := m.header[headerExpected]
	if expected == nil {
		return "", 0, false
	}
	sequence, _ = strconv.ParseUint(expected[0], 10, 64)
	if on := m.header[headerExpectedOn]; on != nil {
		return on[0], sequence, true
	}
	return m.subject, sequence, true
}

func (m *message) rollup() { m.set(headerRollup, "sub") }

// size returns what the message takes of the broker's max_payload: its data and its
// headers as they are sent.
func (m *message) size() int {
	n := len(m.data)
	if len(m.header) > 0 {
		n += len("NATS/1.0\r\n\r\n")
	}
	for key, values := range m.header {
		n += len(key) + len(": \r\n") + len(values[0])
	}
	return n
}

// batchHeaders is more than the headers that make a message one of a batch take,
// with an id of 36 characters.
const batchHeaders = 128

// fits returns ErrTooLarge if the broker cannot take the messages as one batch.
func fits(batch []message, maxPayload int64) error {
	if len(batch) > MaxBatch {
		return fmt.Errorf("%w: %d messages, at most %d", ErrTooLarge, len(batch), MaxBatch)
	}
	for i := range batch {
		if n := int64(batch[i].size() + batchHeaders); n > maxPayload {
			return fmt.Errorf("%w: %s takes %d bytes, at most %d", ErrTooLarge, batch[i].subject, n, maxPayload)
		}
	}
	return nil
}

// publish sends messages as one atomic batch and returns the sequence of the first.
// This is the commit point: it returns nil when all are stored, ErrRefused,
// ErrBusy or ErrTooLarge when none is, and ErrUnknown when it cannot tell.
func (s *JetStream) publish(ctx context.Context, id string, batch []message) (uint64, error) {
	if err := fits(batch, s.nc.MaxPayload()); err != nil {
		return 0, err
	}
	for i := range batch {
		m := &batch[i]
		m.set(headerBatchID, id)
		m.set(headerBatchSequence, strconv.Itoa(i+1))
		msg := &nats.Msg{Subject: s.space.Write(m.subject), Data: m.data, Header: m.header}
		if i < len(batch)-1 {
			if err := s.nc.PublishMsg(msg); err != nil {
				// The broker drops a batch that is never finished.
				return 0, fmt.Errorf("%w: publishing %s: %w", ErrBusy, m.subject, err)
			}
			continue
		}
		m.set(headerBatchCommit, "1")
		reply, err := s.nc.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return parseAck(reply.Data, len(batch))
	}
	return 0, errors.New("a batch needs a message")
}

// ack is what the broker answers to a batch.
type ack struct {
	Sequence uint64              `json:"seq"`
	Count    int                 `json:"count"`
	Error    *jetstream.APIError `json:"error"`
}

func parseAck(data []byte, count int) (uint64, error) {
	var got ack
	if err := json.Unmarshal(data, &got); err != nil {
		return 0, fmt.Errorf("%w: reading the acknowledgement: %w", ErrUnknown, err)
	}
	if got.Error != nil {
		return 0, fmt.Errorf("%w: %w", classify(got.Error.ErrorCode), got.Error)
	}
	if got.Count != count {
		return 0, fmt.Errorf("%w: the broker acknowledged %d of %d messages", ErrUnknown, got.Count, count)
	}
	return got.Sequence - uint64(count) + 1, nil //nolint:gosec // count is the length of a batch
}

// classify says what an error of the broker means for a commit.
func classify(code jetstream.ErrorCode) error {
	switch code {
	case 10071, // wrong last sequence
		10164: // the same, in flight
		return ErrRefused
	case 10176, // incomplete batch
		10210, // too many batches in flight
		10167, // too many requests
		10077, // the stream is full
		10023, // insufficient resources
		10047: // insufficient storage
		return ErrBusy
	case 10199, // too many messages in the batch
		10054, // message too large
		10097: // header too large
		return ErrTooLarge
	}
	return ErrUnknown
}
