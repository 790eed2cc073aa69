package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// RemoteRequest is what a [Remote] system asks whoever listens on its subject.
type RemoteRequest struct {
	Operation *operation.Operation `json:"operation"`
	Head      *ecsstore.Entity     `json:"head"`        // the target as it was when the attempt started
	Attempt   int                  `json:"attempt"`     // counted from 1
	Key       string               `json:"key"`         // the same for all attempts of the operation
	Attempted string               `json:"attempt_key"` // of this attempt alone
}

// RemoteReply is the answer: what to change of the target, or an error. A reply
// without error and changes is a success that changes nothing.
type RemoteReply struct {
	ecsstore.Patch
	Error     string           `json:"error,omitempty"`
	Reason    operation.Reason `json:"reason,omitempty"`    // of the error, system_failed by default
	Permanent bool             `json:"permanent,omitempty"` // the operation can never succeed
}

// Remote is a slow system in any language: each attempt is a request to a NATS
// subject, answered with a [RemoteReply]. Several responders may share the subject
// in a queue group. Nobody there, no answer in time and an answer that cannot be
// read are failed attempts, and are retried; so is the error of a service that is
// made with NATS's micro package. An answer that asks for what cannot be changed
// is a permanent failure, as with any [ecsstore.Patch].
func Remote(nc *nats.Conn, subject string) ecsstore.SlowSystem {
	return ecsstore.SlowFunc(func(ctx context.Context, task ecsstore.Task) (ecsstore.Patch, error) {
		body, err := json.Marshal(RemoteRequest{
			Operation: task.Operation, Head: task.Head, Attempt: task.Attempt,
			Key: task.Key(), Attempted: task.AttemptKey(),
		})
		if err != nil {
			return ecsstore.Patch{}, fmt.Errorf("asking %s: %w", subject, err)
		}
		request := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
		traceheader.Inject(ctx, request.Header)
		msg, err := nc.RequestMsgWithContext(ctx, request)
		if errors.Is(err, nats.ErrNoResponders) {
			return ecsstore.Patch{}, operation.Retryable(operation.SystemFailed, "nobody answers on %s", subject)
		}
		if err != nil {
			return ecsstore.Patch{}, fmt.Errorf("asking %s: %w", subject, err)
		}
		if text := msg.Header.Get(micro.ErrorHeader); text != "" {
			return ecsstore.Patch{}, operation.Retryable(operation.SystemFailed,
				"the service on %s answers %s: %s", subject, msg.Header.Get(micro.ErrorCodeHeader), text)
		}
		return readReply(subject, msg.Data)
	})
}

// word is what a reason looks like: figures are counted by it.
var word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

func readReply(subject string, data []byte) (ecsstore.Patch, error) {
	malformed := func(what any) (ecsstore.Patch, error) {
		return ecsstore.Patch{}, operation.Retryable(operation.SystemFailed, "the answer on %s is malformed: %v", subject, what)
	}
	if start := bytes.TrimSpace(data); !bytes.HasPrefix(start, []byte("{")) {
		return malformed(fmt.Sprintf("%.80q is no JSON object", start))
	}
	var reply RemoteReply
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&reply); err != nil {
		return malformed(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return malformed("something follows the JSON object")
	}
	reason := reply.Reason
	switch {
	case reply.Error == "" && (reason != "" || reply.Permanent):
		return malformed("a reason or permanent without an error")
	case reply.Error == "":
		return reply.Patch, nil
	case reason == "":
		reason = operation.SystemFailed
	case !word.MatchString(string(reason)):
		return malformed(fmt.Sprintf("reason %.80q is no word in lower case", string(reason)))
	}
	return ecsstore.Patch{}, &operation.Failure{Reason: reason, Message: reply.Error, Permanent: reply.Permanent}
}
