package audit

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// FuzzDecode reads any message as one of the store and of the operations stream.
func FuzzDecode(f *testing.F) {
	t := record(f)
	for _, l := range slices.Concat(t.store[:200], t.input[:50]) {
		f.Add(l.Subject, l.Header[headerBatchSequence], l.Header[headerExpected], l.Header[headerDeadSequence], []byte(l.Data))
	}
	f.Fuzz(func(t *testing.T, subject, index, expected, dead string, data []byte) {
		h := nats.Header{headerBatchSequence: {index}, headerExpected: {expected}, headerDeadSequence: {dead}}
		s := decodeStored(subjects.Space{}, 1, time.Unix(0, 0), subject, h, data)
		if s.problem == "" && s.family == strangeFamily {
			t.Errorf("%s is strange, and nothing is said of it", subject)
		}
		decodeSubmission(subjects.Space{}, 1, time.Unix(0, 0), subject, data)
	})
}

// FuzzAudit puts any message in the place of a recorded one and audits what is around
// it.
func FuzzAudit(f *testing.F) {
	const around = 20
	t := record(f)
	for i := 0; i < len(t.store); i += 9 {
		f.Add(uint16(i), t.store[i].Subject, t.store[i].batch(), t.store[i].Header[headerBatchSequence], t.store[i].Data)
	}
	f.Fuzz(func(t *testing.T, at uint16, subject, batch, index, data string) {
		r := record(t)
		i := int(at) % len(r.store)
		l := r.store[i]
		l.Subject, l.Header[headerBatchID], l.Header[headerBatchSequence], l.Data = subject, batch, index, data
		r.store = r.store[max(0, i-around):min(len(r.store), i+around)]
		r.input = r.input[:0]
		report := r.audit(t, func(o *Options) { o.Since = Start{Sequence: r.store[0].Sequence} })
		if report.Counts.Messages == 0 {
			t.Error("nothing was read")
		}
	})
}
