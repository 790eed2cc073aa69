package natstest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience bounds everything a test waits for a server to do.
const patience = 20 * time.Second

// Option changes a server before it starts.
type Option func(*server.Options)

// SyncAlways has the server sync each write to disk before it acknowledges it. By
// default it syncs when it gets round to it, as suits a test.
func SyncAlways() Option { return func(o *server.Options) { o.SyncAlways = true } }

// InProcess has the server open no socket; all connections are pipes.
func InProcess() Option { return func(o *server.Options) { o.DontListen = true } }

// StoreDir has the server keep its streams in dir, for a test that looks at them.
func StoreDir(dir string) Option { return func(o *server.Options) { o.StoreDir = dir } }

// Server is a NATS server with JetStream.
type Server struct {
	opts server.Options // with the ports it got at its first start

	mu  sync.Mutex // guards srv, which a reconnecting client reads
	srv *server.Server
}

// Start starts a server on a free port of 127.0.0.1 and stops it when the test
// ends.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s := define(tb, opts)
	tb.Cleanup(s.shutdown)
	s.launch(tb)
	s.awaitReady(tb)
	return s
}

// define returns a server that has not been started.
func define(tb testing.TB, opts []Option) *Server {
	tb.Helper()
	s := &Server{opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, NoLog: true, NoSigs: true,
	}}
	for _, set := range opts {
		set(&s.opts)
	}
	if s.opts.StoreDir == "" {
		s.opts.StoreDir = tb.TempDir()
	}
	return s
}

// launch starts the server and does not wait for it to be ready.
func (s *Server) launch(tb testing.TB) {
	tb.Helper()
	srv, err := server.NewServer(s.opts.Clone())
	if err != nil {
		tb.Fatalf("configuring a server: %v", err)
	}
	srv.Start()
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
}

// awaitReady waits for the server to take connections and notes its port.
func (s *Server) awaitReady(tb testing.TB) {
	tb.Helper()
	srv := s.Embedded()
	if !srv.ReadyForConnections(patience) {
		tb.Fatalf("server %q does not take connections", srv.Name())
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		s.opts.Port = addr.Port
	}
}

// Embedded returns the server itself, for what this package does not wrap. It is
// another one after each Restart.
func (s *Server) Embedded() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// URL returns the address clients connect to; it survives a restart.
func (s *Server) URL() string { return s.Embedded().ClientURL() }

// Stop stops the server in good order and keeps its store.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.shutdown()
}

func (s *Server) shutdown() {
	srv := s.Embedded()
	if srv == nil {
		return
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Restart stops the server, if it runs, and starts it again with the same store
// and on the same address.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.shutdown()
	s.launch(tb)
	s.awaitReady(tb)
}

// InProcessConn returns one end of a pipe to the server that runs at present, so
// that an in-process client finds its way back after a restart.
func (s *Server) InProcessConn() (net.Conn, error) {
	srv := s.Embedded()
	if srv == nil || !srv.Running() {
		return nil, errors.New("server is not running")
	}
	return srv.InProcessConn()
}

// Connect connects to the server until the test ends. A connection keeps trying to
// reconnect, every 50 ms, and refuses to publish in the meantime.
func (s *Server) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	if s.opts.DontListen {
		opts = append([]nats.Option{nats.InProcessServer(s)}, opts...)
	}
	return connect(tb, s.URL(), opts)
}

// JetStream connects to the server and returns its JetStream; the connection is
// the result's Conn.
func (s *Server) JetStream(tb testing.TB, opts ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, s.Connect(tb, opts...))
}

func connect(tb testing.TB, url string, opts []nats.Option) *nats.Conn {
	tb.Helper()
	base := []nats.Option{
		nats.Name(tb.Name()),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1),
	}
	nc, err := nats.Connect(url, append(base, opts...)...)
	if err != nil {
		tb.Fatalf("connecting to %s: %v", url, err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func jetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatalf("using JetStream: %v", err)
	}
	return js
}

// Await waits until done returns true, asking every 10 ms, and fails the test if
// that takes longer than a generous time. Each call of done gets a ctx of its own
// and 1 s, so that a request lost on the way is made again. It works in and out of
// a bubble.
func Await(tb testing.TB, what string, done func(context.Context) bool) {
	tb.Helper()
	all, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	ask := func() bool {
		ctx, cancel := context.WithTimeout(all, time.Second)
		defer cancel()
		return done(ctx)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-all.Done():
			tb.Fatalf("waited %v for %s", patience, what)
		}
	}
}
