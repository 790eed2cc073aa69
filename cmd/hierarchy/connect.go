package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// link is a connection to a broker and what is spoken over it.
type link struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	space  subjects.Space
	client *client.Client
}

// Close ends the connection.
func (l *link) Close() { l.nc.Close() }

// named reports whether the command line or the environment names a broker.
func (g *globals) named() bool { return g.server != "" || g.context != "" }

// connect connects to the broker that the flags name, or to the one that "hierarchy
// run" starts. Role is part of the connection's name, as the broker shows it.
func (a *app) connect(role string) (*link, error) {
	space, err := subjects.In(a.global.prefix)
	if err != nil {
		return nil, &exit{code: exitUsage, err: err}
	}
	nc, settings, err := a.dial(role)
	if err != nil {
		return nil, err
	}
	l, err := newLink(nc, settings, space)
	if err != nil {
		nc.Close()
	}
	return l, err
}

func (a *app) dial(role string) (*nats.Conn, natscontext.Settings, error) {
	options := append(client.ConnectOptions(), nats.Name("hierarchy/"+role), nats.Timeout(min(a.global.timeout, nats.DefaultTimeout)))
	if a.global.creds != "" {
		options = append(options, nats.UserCredentials(a.global.creds))
	}
	if a.global.context != "" {
		nc, settings, err := natscontext.Connect(a.global.context, options...)
		if err != nil {
			return nil, settings, fmt.Errorf("connecting with context %s: %w", a.global.context, err)
		}
		return nc, settings, nil
	}
	url := a.global.server
	if url == "" {
		url = "nats://" + defaultListen
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, natscontext.Settings{}, fmt.Errorf("connecting to %s: %w", url, err)
	}
	return nc, natscontext.Settings{}, nil
}

// newLink honours what a context says of where JetStream is.
func newLink(nc *nats.Conn, settings natscontext.Settings, space subjects.Space) (*link, error) {
	js, err := newJetStream(nc, settings)
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	c, err := client.New(nc, client.InSpace(space), client.WithJetStream(js), client.WithTypes(anyType))
	if err != nil {
		return nil, err
	}
	return &link{nc: nc, js: js, space: space, client: c}, nil
}

func newJetStream(nc *nats.Conn, settings natscontext.Settings, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	switch {
	case settings.JSDomain != "":
		return jetstream.NewWithDomain(nc, settings.JSDomain, opts...)
	case settings.JSAPIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, settings.JSAPIPrefix, opts...)
	}
	return jetstream.New(nc, opts...)
}

// bounded returns a context that ends after --timeout.
func (a *app) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.global.timeout)
}
