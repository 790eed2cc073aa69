package ecsstore_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// wire is a client's way to its broker, which a test can cut. Cut while nothing is
// under way, it cuts between messages.
type wire struct {
	mu       sync.Mutex // guards what follows
	deaf     bool       // what the broker says is lost
	mute     bool       // what the client says is lost
	lost     func()     // called for what the broker says and is lost
	patience []byte     // a write that holds this waits for resume
	waiting  chan struct{}
	resume   chan struct{}
}

// Dial implements nats.CustomDialer.
func (w *wire) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).Dial(network, address)
	return &wireConn{Conn: conn, wire: w}, err
}

func (w *wire) option() nats.Option { return nats.SetCustomDialer(w) }

func (w *wire) cut(deaf, mute bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf, w.mute = deaf, mute
}

// hold makes the next write with text in it wait. It returns a function that waits
// until the write does, and one that lets it go on.
func (w *wire) hold(t *testing.T, text string) (await, release func()) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting, resume := make(chan struct{}), make(chan struct{})
	w.patience, w.waiting, w.resume = []byte(text), waiting, resume
	release = sync.OnceFunc(func() { close(resume) })
	t.Cleanup(release)
	return func() {
		select {
		case <-waiting:
		case <-time.After(10 * time.Second):
			t.Errorf("nothing with %q was written", text)
		}
	}, release
}

// wireConn is one connection over a wire.
type wireConn struct {
	net.Conn
	wire *wire
}

func (c *wireConn) Write(p []byte) (int, error) {
	c.wire.mu.Lock()
	var resume chan struct{}
	if c.wire.patience != nil && bytes.Contains(p, c.wire.patience) {
		resume = c.wire.resume
		close(c.wire.waiting)
		c.wire.patience = nil
	}
	c.wire.mu.Unlock()
	if resume != nil {
		<-resume
	}
	c.wire.mu.Lock()
	mute := c.wire.mute
	c.wire.mu.Unlock()
	if mute {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.wire.mu.Lock()
		deaf, lost := c.wire.deaf, c.wire.lost
		c.wire.mu.Unlock()
		if err != nil || !deaf {
			return n, err
		}
		if lost != nil {
			lost()
		}
	}
}
