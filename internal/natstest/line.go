package natstest

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Line is the way between one client and a server. A test can cut it, as the death
// of the client's process would, hold it, as a process that is stopped or a network
// that stalls would, and watch what passes. It needs no socket and works in a bubble.
//
// What a client has written is on its way: while the line is held it waits, and if the
// line is cut it is lost.
type Line struct {
	server *Server

	mu    sync.Mutex // guards what follows, and the queues of all ends
	moved *sync.Cond // something of it has changed
	cut   bool
	held  int // holds under way
	ends  map[*end]bool
	out   []*Tap
	in    []*Tap
}

// Tap watches one direction of a line; see [Line.Out].
type Tap struct {
	pattern []byte
	do      func()
}

// What dialling comes to over a line that does not work.
var (
	errCut  = errors.New("the line is cut")
	errHeld = errors.New("the line is held")
)

// Line returns a line to the server.
func (s *Server) Line() *Line {
	l := &Line{server: s, ends: map[*end]bool{}}
	l.moved = sync.NewCond(&l.mu)
	return l
}

// Over is the option that makes a client of [Server.Connect] use the line, also when
// it reconnects.
func (l *Line) Over() nats.Option { return nats.InProcessServer(l) }

// InProcessConn implements [nats.InProcessConnProvider]. A client that dials keeps a
// lock until it is connected, which would keep a bubble's time from passing: so a line
// that is held refuses at once, as if the attempt had timed out.
func (l *Line) InProcessConn() (net.Conn, error) {
	pipe, err := l.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuses(); err != nil {
		_ = pipe.Close()
		return nil, err
	}
	e := &end{Conn: pipe, line: l}
	l.ends[e] = true
	go e.send()    // ends when the connection does
	go e.receive() // likewise
	return e, nil
}

// refuses says why nobody can dial at present, if so. The caller holds the mutex.
func (l *Line) refuses() error {
	switch {
	case l.cut:
		return errCut
	case l.held > 0:
		return errHeld
	}
	return nil
}

// Cut ends the client's connection and refuses another. What it has written and the
// server has not received is lost.
func (l *Line) Cut() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	l.Drop()
}

// Drop is Cut for the present connection alone: the client may dial again.
func (l *Line) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.ends {
		e.shut()
	}
}

// Hold keeps anything from passing for a time. It returns at once. A client that is
// just connecting has to begin again.
func (l *Line) Hold(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held++
	for e := range l.ends {
		if !e.greeted {
			e.shut()
		}
	}
	time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held--
		l.moved.Broadcast()
	})
}

// Out has do called whenever the client sends pattern, before it passes: if do cuts the
// line, the server gets what comes before. A pattern that lies across two writes is
// not seen.
func (l *Line) Out(pattern string, do func()) *Tap { return l.tap(&l.out, pattern, do) }

// In has do called whenever the server sends pattern, before it passes.
func (l *Line) In(pattern string, do func()) *Tap { return l.tap(&l.in, pattern, do) }

func (l *Line) tap(taps *[]*Tap, pattern string, do func()) *Tap {
	t := &Tap{pattern: []byte(pattern), do: do}
	l.mu.Lock()
	defer l.mu.Unlock()
	*taps = append(*taps, t)
	return t
}

// Remove ends what [Line.Out] or [Line.In] has begun.
func (l *Line) Remove(t *Tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, taps := range []*[]*Tap{&l.out, &l.in} {
		kept := (*taps)[:0:0]
		for _, other := range *taps {
			if other != t {
				kept = append(kept, other)
			}
		}
		*taps = kept
	}
}

// pass hands data on in pieces, so that each tap is called before what it matches.
func (l *Line) pass(taps *[]*Tap, data []byte, on func([]byte) error) error {
	for len(data) > 0 {
		l.mu.Lock()
		at, tap := len(data), (*Tap)(nil)
		for _, t := range *taps {
			if i := bytes.Index(data, t.pattern); i >= 0 && i < at {
				at, tap = i, t
			}
		}
		l.mu.Unlock()
		if tap == nil {
			return on(data)
		}
		if at > 0 {
			if err := on(data[:at]); err != nil {
				return err
			}
		}
		tap.do()
		if err := on(data[at : at+len(tap.pattern)]); err != nil {
			return err
		}
		data = data[at+len(tap.pattern):]
	}
	return nil
}

// end is the client's end of one connection. The embedded Conn is the pipe to the
// server.
type end struct {
	net.Conn
	line *Line

	// Guarded by the line's mutex.
	sent     [][]byte // by the client, not yet passed on
	received []byte   // passed on, not yet read by the client
	greeted  bool     // the client has read that it is connected
	over     bool     // nothing passes any more
}

// greeting is what the server sends last when a client connects.
var greeting = []byte("PONG\r\n")

// shut ends the connection. The caller holds the line's mutex.
func (e *end) shut() {
	e.over = true
	delete(e.line.ends, e)
	_ = e.Conn.Close()
	e.line.moved.Broadcast()
}

// Close implements [net.Conn].
func (e *end) Close() error {
	e.line.mu.Lock()
	defer e.line.mu.Unlock()
	e.shut()
	return nil
}

// Write implements [net.Conn]. It never blocks.
func (e *end) Write(p []byte) (int, error) {
	e.line.mu.Lock()
	defer e.line.mu.Unlock()
	if e.over {
		return 0, net.ErrClosed
	}
	e.sent = append(e.sent, bytes.Clone(p))
	e.line.moved.Broadcast()
	return len(p), nil
}

// Read implements [net.Conn].
func (e *end) Read(p []byte) (int, error) {
	e.line.mu.Lock()
	defer e.line.mu.Unlock()
	for !e.over && (len(e.received) == 0 || e.line.held > 0) {
		e.line.moved.Wait()
	}
	if e.over {
		return 0, net.ErrClosed
	}
	n := copy(p, e.received)
	e.greeted = e.greeted || bytes.Contains(e.received[:n], greeting)
	e.received = e.received[n:]
	return n, nil
}

// The client's time limits are not the pipe's: a line that is held is no slow pipe.

// SetDeadline implements [net.Conn].
func (*end) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements [net.Conn].
func (*end) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.Conn].
func (*end) SetWriteDeadline(time.Time) error { return nil }

// send passes on what the client has written.
func (e *end) send() {
	for {
		data, ok := e.next()
		if !ok {
			return
		}
		if e.line.pass(&e.line.out, data, e.deliver) != nil {
			_ = e.Close()
		}
	}
}

// next waits for something that the client has written.
func (e *end) next() ([]byte, bool) {
	e.line.mu.Lock()
	defer e.line.mu.Unlock()
	for !e.over && (len(e.sent) == 0 || e.line.held > 0) {
		e.line.moved.Wait()
	}
	if e.over {
		return nil, false
	}
	data := e.sent[0]
	e.sent = e.sent[1:]
	return data, true
}

// deliver gives data to the server.
func (e *end) deliver(data []byte) error {
	e.line.mu.Lock()
	for !e.over && e.line.held > 0 {
		e.line.moved.Wait()
	}
	over := e.over
	e.line.mu.Unlock()
	if over {
		return net.ErrClosed
	}
	_, err := e.Conn.Write(data)
	return err
}

// receive passes on what the server has written.
func (e *end) receive() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := e.Conn.Read(buffer)
		if n > 0 && e.line.pass(&e.line.in, buffer[:n], e.take) != nil || err != nil {
			_ = e.Close()
			return
		}
	}
}

// take keeps data for the client to read. It takes any amount, so that the server does
// not find a client slow whose line is held.
func (e *end) take(data []byte) error {
	e.line.mu.Lock()
	defer e.line.mu.Unlock()
	if e.over {
		return net.ErrClosed
	}
	e.received = append(e.received, data...)
	e.line.moved.Broadcast()
	return nil
}
