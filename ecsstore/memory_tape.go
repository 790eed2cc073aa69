package ecsstore

import (
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// tape is a stream in memory.
type tape struct {
	messages   map[uint64]StoredMessage // by sequence
	of         map[string][]uint64      // the sequences of each subject, ascending
	start, end uint64                   // first sequence that was not trimmed, and last ever
}

func newTape() tape {
	return tape{messages: map[uint64]StoredMessage{}, of: map[string][]uint64{}, start: 1}
}

// last returns the last sequence of a subject, 0 if it has none.
func (t *tape) last(subject string) uint64 {
	if sequences := t.of[subject]; len(sequences) > 0 {
		return sequences[len(sequences)-1]
	}
	return 0
}

func (t *tape) append(msg StoredMessage) uint64 {
	t.end++
	msg.Sequence = t.end
	t.messages[t.end] = msg
	t.of[msg.Subject] = append(t.of[msg.Subject], t.end)
	return t.end
}

// write appends a message of a batch; one that rolls its subject up removes the
// earlier ones.
func (t *tape) write(msg *message) {
	if msg.header[headerRollup] != nil {
		t.remove(t.of[msg.subject])
	}
	t.append(StoredMessage{Subject: msg.subject, Header: msg.header, Data: msg.data})
}

func (t *tape) remove(sequences []uint64) {
	for _, sequence := range slices.Clone(sequences) {
		subject := t.messages[sequence].Subject
		t.of[subject] = slices.DeleteFunc(t.of[subject], func(s uint64) bool { return s == sequence })
		delete(t.messages, sequence)
	}
}

// trim removes everything up to a sequence.
func (t *tape) trim(upTo uint64) {
	t.start = max(t.start, min(upTo, t.end)+1)
	for sequence := range maps.Clone(t.messages) {
		if sequence < t.start {
			t.remove([]uint64{sequence})
		}
	}
}

// list returns the messages of a subject from a sequence on. The subject may have
// wildcards.
func (t *tape) list(subject string, from uint64) []StoredMessage {
	var out []StoredMessage
	for _, sequence := range slices.Sorted(maps.Keys(t.messages)) {
		if msg := t.messages[sequence]; sequence >= from && matches(subject, msg.Subject) {
			out = append(out, msg)
		}
	}
	return out
}

// state is what a broker would say of the stream.
func (t *tape) state() jetstream.StreamState {
	return jetstream.StreamState{Msgs: uint64(len(t.messages)), FirstSeq: t.start, LastSeq: t.end}
}

// matches reports whether a subject matches a filter with * and >.
func matches(filter, subject string) bool {
	for {
		want, filterRest, more := strings.Cut(filter, ".")
		got, rest, deeper := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return true
		case want != "*" && want != got || more != deeper:
			return false
		case !more:
			return true
		}
		filter, subject = filterRest, rest
	}
}
