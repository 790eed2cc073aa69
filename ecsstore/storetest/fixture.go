package storetest

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// OfMemory returns the fixture of a store in memory.
func OfMemory(m *ecsstore.Memory, space subjects.Space) Fixture {
	return Fixture{Store: m, Space: space, Submit: m.Submit, Stored: m.Stored}
}

// OfJetStream makes the streams of a space and returns the fixture of the store in
// them.
func OfJetStream(t *testing.T, js jetstream.JetStream, space subjects.Space, settings ecsstore.Settings) Fixture {
	t.Helper()
	if err := ecsstore.Init(t.Context(), js, space, settings); err != nil {
		t.Fatal(err)
	}
	store, err := ecsstore.NewJetStream(t.Context(), js, space)
	if err != nil {
		t.Fatal(err)
	}
	b := behind{t: t, js: js, space: space}
	return Fixture{Store: store, Space: space, Submit: b.submit, Stored: b.stored}
}

// behind looks behind a store on a broker.
type behind struct {
	t     *testing.T
	js    jetstream.JetStream
	space subjects.Space
}

func (b behind) submit(class string, target uuid.UUID, body []byte) uint64 {
	b.t.Helper()
	subject := b.space.Cancel(target)
	if class != subjects.CancelToken {
		priority, err := operation.ParsePriority(class)
		if err != nil {
			b.t.Fatal(err)
		}
		subject = b.space.Submit(priority, target)
	}
	ack, err := b.js.Publish(b.t.Context(), subject, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return ack.Sequence
}

// stored asks the stream's leader for one message after the other: others may be
// behind.
func (b behind) stored(subject string) (out []ecsstore.StoredMessage) {
	b.t.Helper()
	for from := uint64(1); ; {
		msg := b.next(subject, from)
		if msg == nil {
			return out
		}
		from = msg.Sequence + 1
		header, err := nats.DecodeHeadersMsg(msg.Headers)
		if err != nil && len(msg.Headers) > 0 {
			b.t.Fatalf("headers of %s: %v", msg.Subject, err)
		}
		out = append(out, ecsstore.StoredMessage{
			Subject: msg.Subject, Sequence: msg.Sequence, Header: header, Data: msg.Data,
		})
	}
}

// raw is a message as the leader returns it.
type raw struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Headers  []byte `json:"hdrs"`
	Data     []byte `json:"data"`
}

func (b behind) next(subject string, from uint64) *raw {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": subject})
	if err != nil {
		b.t.Fatal(err)
	}
	reply, err := b.js.Conn().RequestWithContext(b.t.Context(), "$JS.API.STREAM.MSG.GET."+b.space.StoreStream(), body)
	if err != nil {
		b.t.Fatalf("reading %s: %v", subject, err)
	}
	var got struct {
		Message *raw                `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &got); err != nil {
		b.t.Fatalf("reading %s: %v", subject, err)
	}
	if got.Error != nil && got.Error.ErrorCode != jetstream.JSErrCodeMessageNotFound {
		b.t.Fatalf("reading %s: %v", subject, got.Error)
	}
	return got.Message
}
