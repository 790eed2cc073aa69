package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// directRequest asks for several messages of a stream at once. Any replica may answer, and
// it does so between two commits, never amid one; it may be behind.
type directRequest struct {
	Sequence uint64   `json:"seq,omitempty"`
	NextFor  string   `json:"next_by_subj,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	LastOf   []string `json:"multi_last,omitempty"` // the last of each subject, 1,024 at most
	MaxBytes int      `json:"max_bytes,omitempty"`
}

// What the broker answers to a direct request.
const (
	headerStatus   = "Status"
	headerPending  = "Nats-Num-Pending"
	headerSubject  = "Nats-Subject"
	headerSequence = "Nats-Sequence"
	headerBefore   = "Nats-Last-Sequence" // of the message before in the same answer, 0 if it is the first

	statusEnd       = "204"
	statusMissing   = "404"
	statusTooMany   = "413"
	statusUnsettled = "503"
)

// Why a direct request came to nothing: a replica will not find so many messages at once,
// or none has answered.
var (
	errTooMany = errors.New("too many messages for one request")
	errSilence = errors.New("no replica has answered")
)

// directSilence is how long a replica may say nothing before another may be asked.
const directSilence = 500 * time.Millisecond

// direct calls each with the messages of the store that a request asks for. It returns how
// many more there are of the kind.
func (s *JetStream) direct(ctx context.Context, q directRequest, each func(stored) error) (rest uint64, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	inbox := s.nc.NewInbox()
	replies, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer replies.Unsubscribe() //nolint:errcheck // the connection is gone then
	if err := s.nc.PublishRequest(apiPrefix(s.js)+"DIRECT.GET."+s.space.StoreStream(), inbox, body); err != nil {
		return 0, err
	}
	for before := "0"; ; {
		msg, err := nextWithin(ctx, replies, directSilence)
		if err != nil {
			return 0, err
		}
		status := msg.Header.Get(headerStatus)
		if (status == "" || status == statusEnd) && msg.Header.Get(headerBefore) != before {
			return 0, errScanGap
		}
		before = msg.Header.Get(headerSequence)
		switch status {
		case "":
		case statusEnd:
			rest, err = strconv.ParseUint(msg.Header.Get(headerPending), 10, 64)
			return rest, err
		case statusMissing:
			return 0, ErrNotFound
		case statusTooMany:
			return 0, errTooMany
		case statusUnsettled:
			return 0, ErrNoJetStream
		default:
			return 0, fmt.Errorf("the broker answers a direct request with %s %s", status, msg.Header.Get("Description"))
		}
		one := stored{Subject: msg.Header.Get(headerSubject), Data: msg.Data}
		if one.Sequence, err = strconv.ParseUint(msg.Header.Get(headerSequence), 10, 64); err != nil {
			return 0, fmt.Errorf("the broker's answer: %w", err)
		}
		if err := each(one); err != nil {
			return 0, err
		}
	}
}

func nextWithin(ctx context.Context, sub *nats.Subscription, limit time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	msg, err := sub.NextMsgWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, errSilence
	}
	return msg, err
}

// passing reports whether a direct request may find more when it is made again.
func passing(err error) bool {
	return err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, errSilence) || errors.Is(err, errScanGap)
}
