package client

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// What a call may fail with. Each is wrapped in a message that says what was being
// done.
var (
	ErrQueueFull        = errors.New("operations stream is full")              // nothing was stored; try later
	ErrIntakeClosed     = errors.New("operations are not taken at the moment") // nothing was stored; try later
	ErrUnavailable      = errors.New("broker or its streams are not there")
	ErrOpIDConflict     = errors.New("op_id is taken by an operation with other content")
	ErrPermissionDenied = errors.New("broker denies permission")
	ErrNotFound         = ecsstore.ErrNotFound // no such entity or version
)

// Client submits operations over one connection. Its methods may be called from
// any goroutine. It needs no closing: what it holds goes with the connection.
type Client struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	space   subjects.Space
	read    *ecsstore.Reader
	custom  func(operation.Type) bool
	denials denials

	mu    sync.Mutex          // guards desks
	desks map[uuid.UUID]*desk // one for each entity somebody waits on
}

// Option changes a Client before it is used.
type Option func(*config)

type config struct {
	space  subjects.Space
	custom func(operation.Type) bool
	js     jetstream.JetStream
}

// InSpace has the client use the subjects and streams of another prefix.
func InSpace(space subjects.Space) Option { return func(c *config) { c.space = space } }

// WithTypes has the client accept operation types beside the built-in ones, for
// workers that have registered systems for them.
func WithTypes(known func(operation.Type) bool) Option { return func(c *config) { c.custom = known } }

// WithJetStream has the client use js, for a broker whose JetStream is in another
// domain or under another API prefix.
func WithJetStream(js jetstream.JetStream) Option { return func(c *config) { c.js = js } }

// New returns a client that speaks over nc. It asks the broker nothing, and adds to
// the connection's error handler to learn of denied permissions.
func New(nc *nats.Conn, opts ...Option) (*Client, error) {
	var cfg config
	for _, set := range opts {
		set(&cfg)
	}
	if cfg.js == nil {
		js, err := jetstream.New(nc)
		if err != nil {
			return nil, fmt.Errorf("using JetStream: %w", err)
		}
		cfg.js = js
	}
	c := &Client{
		nc: nc, js: cfg.js, space: cfg.space, custom: cfg.custom,
		read: ecsstore.NewReader(cfg.js, cfg.space), desks: map[uuid.UUID]*desk{},
	}
	c.denials.listen(nc)
	return c, nil
}
