package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Headers of what is stored.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	headerExpected      = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedOn    = "Nats-Expected-Last-Subject-Sequence-Subject"
	headerDeadReason    = "Hierarchy-Reason"
	headerDeadSequence  = "Hierarchy-Sequence"
)

// decodeStored reads a message of the store. Whatever it is, that is no error: what
// cannot be read is a message that says so.
func decodeStored(space subjects.Space, sequence uint64, at time.Time, subject string, h nats.Header, data []byte) *stored {
	s := &stored{sequence: sequence, at: at, subject: subject, data: data, family: strangeFamily, partition: -1}
	s.headers(h)
	rest, ours := strings.CutPrefix(subject, space.Prefix()+".")
	if !ours {
		s.problem = "its subject is not one of the store's"
		return s
	}
	name, tail, _ := strings.Cut(rest, ".")
	var err error
	if decode, known := decoders[name]; known {
		err = decode(s, tail, h)
	} else {
		err = errors.New("its subject is not one of the store's")
	}
	if err != nil {
		s.problem = err.Error()
	}
	return s
}

func (s *stored) headers(h nats.Header) {
	s.batch = h.Get(headerBatchID)
	s.index, _ = strconv.ParseUint(h.Get(headerBatchSequence), 10, 64)
	s.last = h.Get(headerBatchCommit) != ""
	if text := h.Get(headerExpected); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		s.expects, s.expected = err == nil, n
		s.on = h.Get(headerExpectedOn)
	}
}

// decoders read the families by the first token of their subjects; tail is the rest.
var decoders = map[string]func(s *stored, tail string, h nats.Header) error{
	"fence":   decodeFence,
	"window":  decodeWindow,
	"op":      decodeRecord,
	"state":   decodeHead,
	"version": decodeVersion,
	"events":  decodeEvent,
	"dead":    decodeDead,
	"ledger":  decodeLedger,
	"check":   decodeCheck,

	"checkpoint": decodeCheckpoint,
}

func (s *stored) locate(f family, partition string) error {
	s.family = f
	n, err := strconv.Atoi(partition)
	if err != nil || n < 0 {
		return errors.New("its subject names no partition")
	}
	s.partition = n
	return nil
}

func decodeCheck(s *stored, tail string, _ nats.Header) error { return s.locate(checkFamily, tail) }

func decodeFence(s *stored, tail string, _ nats.Header) error {
	if err := s.locate(fenceFamily, tail); err != nil {
		return err
	}
	var f operation.Fence
	if err := json.Unmarshal(s.data, &f); err != nil {
		return fmt.Errorf("reading a fence: %w", err)
	}
	s.fence = &f
	return nil
}

func decodeDead(s *stored, tail string, h nats.Header) error {
	if err := s.locate(deadFamily, tail); err != nil {
		return err
	}
	n, err := strconv.ParseUint(h.Get(headerDeadSequence), 10, 64)
	if err != nil {
		return errors.New("a dead letter does not name its sequence")
	}
	s.dead = &dead{sequence: n, reason: h.Get(headerDeadReason), digest: digestOf(s.data)}
	return nil
}

// digestOf is operation.DigestOf as a number.
func digestOf(data []byte) uint64 {
	sum := sha256.Sum256(data)
	return binary.BigEndian.Uint64(sum[:8])
}

func decodeHead(s *stored, tail string, _ nats.Header) error {
	s.family = headFamily
	id, err := uuid.Parse(tail)
	if err != nil {
		return errors.New("its subject names no entity")
	}
	r := reader{data: s.data}
	h := r.head()
	if err := r.done(); err != nil {
		return fmt.Errorf("reading a head: %w", err)
	}
	if h.id != id {
		return fmt.Errorf("the head is of entity %s", h.id)
	}
	s.head = &h
	return nil
}

func (r *reader) head() (h head) {
	for key := range r.members() {
		switch string(key) {
		case "id":
			h.id = r.id()
		case "place":
			h.deleted = string(r.text()) == "deleted"
		case "revision":
			h.revision = r.uint()
		case "version_count":
			h.versions = r.uint()
		case "components":
			h.components = r.raw()
		case "modification_history":
			for range r.elements() {
				h.history = append(h.history, r.change())
			}
		case "attribute_sources":
			for range r.members() {
				h.lenders = append(h.lenders, r.lender())
			}
		}
	}
	return h
}

func (r *reader) change() (c change) {
	for key := range r.members() {
		switch string(key) {
		case "revision":
			c.revision = r.uint()
		case "op_id":
			c.op = r.id()
		case "time":
			c.at = r.time()
		}
	}
	return c
}

func (r *reader) lender() (l lender) {
	for key := range r.members() {
		switch string(key) {
		case "entity":
			l.entity = r.id()
		case "version":
			l.version = r.uint()
		case "revision":
			l.revision = r.uint()
		}
	}
	return l
}

func decodeVersion(s *stored, tail string, _ nats.Header) error {
	s.family = versionFamily
	name, number, _ := strings.Cut(tail, ".")
	r := reader{data: s.data}
	v := r.version()
	if err := r.done(); err != nil {
		return fmt.Errorf("reading a version: %w", err)
	}
	if v.entity.String() != name || strconv.FormatUint(v.number, 10) != number {
		return fmt.Errorf("the version is number %d of entity %s", v.number, v.entity)
	}
	s.version = &v
	return nil
}

func (r *reader) version() (v version) {
	for key := range r.members() {
		switch string(key) {
		case "entity":
			v.entity = r.id()
		case "version":
			v.number = r.uint()
		case "op_id":
			v.op = r.id()
		case "head":
			v.head(r)
		}
	}
	return v
}

func (v *version) head(r *reader) {
	for key := range r.members() {
		switch string(key) {
		case "id":
			v.id = r.id()
		case "revision":
			v.revision = r.uint()
		case "version_count":
			v.count = r.uint()
		case "components":
			v.components = r.raw()
		}
	}
}

// decodeRecord reads the record of an operation, of which there are few at a time.
func decodeRecord(s *stored, tail string, _ nats.Header) error {
	partition, id, _ := strings.Cut(tail, ".")
	if err := s.locate(recordFamily, partition); err != nil {
		return err
	}
	var in operation.Record
	if err := json.Unmarshal(s.data, &in); err != nil {
		return fmt.Errorf("reading an operation's record: %w", err)
	}
	if in.OpID.String() != id {
		return fmt.Errorf("the record is of operation %s", in.OpID)
	}
	s.record = newLiveRecord(&in)
	return nil
}

func newLiveRecord(in *operation.Record) *liveRecord {
	out := &liveRecord{
		id: in.OpID, status: in.Status, role: in.Role, sequence: in.Sequence, created: in.CreatedAt,
		effective: in.EffectivePriority, depth: in.Depth, attempt: in.Attempt, attemptAt: in.AttemptAt,
		due: in.Due, retries: in.Retries, losses: in.Losses, contest: in.Contest, maxRetries: unknown,
	}
	out.digest, _ = strconv.ParseUint(in.Digest, 16, 64)
	_, out.window = windowID([]byte(in.Window))
	if o := in.Operation; o != nil {
		out.target, out.own, out.maxRetries = o.Target, o.Priority, o.Retries()
		out.content, _ = strconv.ParseUint(o.Digest(), 16, 64)
	}
	return out
}

// unknown stands for a number that is not known.
const unknown = -1

// windowID takes the id of a window apart.
func windowID(text []byte) (partition int, number uint64) {
	first, second, _ := strings.Cut(string(text), "-")
	partition, err := strconv.Atoi(first)
	if err != nil {
		partition = nowhere
	}
	number, _ = strconv.ParseUint(second, 10, 64)
	return partition, number
}
