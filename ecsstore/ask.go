package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// getRequest asks a stream's leader for one message: the last of a subject, or the
// first of NextFor from Sequence on.
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
}

// stored is a message as the broker returns it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// askTimeout bounds a question whose context has no deadline of its own.
const askTimeout = 5 * time.Second

// ask puts a question to the leader of a stream. The library's own method asks any
// replica wherever direct reads are allowed, and a replica may be behind.
func ask(ctx context.Context, js jetstream.JetStream, stream string, q getRequest) (*stored, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTimeout)
		defer cancel()
	}
	reply, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+"STREAM.MSG.GET."+stream, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	if err != nil {
		return nil, err
	}
	var got struct {
		Message *stored             `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &got); err != nil {
		return nil, fmt.Errorf("reading the broker's answer: %w", err)
	}
	if got.Error != nil {
		return nil, askError(stream, got.Error)
	}
	if got.Message == nil {
		return nil, jetstream.ErrInvalidJetStreamResponse
	}
	return got.Message, nil
}

func askError(stream string, err *jetstream.APIError) error {
	switch err.ErrorCode {
	case jetstream.JSErrCodeMessageNotFound:
		return ErrNotFound
	case jetstream.JSErrCodeStreamNotFound:
		return fmt.Errorf("stream %s: %w", stream, ErrNotInitialized)
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return ErrNoJetStream
	}
	return err
}

func apiPrefix(js jetstream.JetStream) string {
	options := js.Options()
	switch {
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}
