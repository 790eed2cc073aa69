package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// load publishes a mix of messages and writes down what the broker has acknowledged.
// What may or may not have been stored it publishes again, as a careful publisher
// does.
type load struct {
	js    jetstream.JetStream
	mixer *mixer
	room  *semaphore.Weighted // for letters on their way
	ways  sync.WaitGroup      // letters on their way

	mu    sync.Mutex // guards all below
	known map[uuid.UUID]bool
	notes []note         // of what was acknowledged
	ends  map[int]uint64 // the last acknowledged sequence of each partition
	last  letter         // an operation that was acknowledged lately
	doubt int            // times a publish ended without anybody knowing whether it was stored
	lost  int            // letters that were given up without knowing
	log   *bufio.Writer
	file  *os.File
}

const (
	roomCount  = 2000
	ackTimeout = 5 * time.Second
	againAfter = 100 * time.Millisecond
)

// newLoad returns a load that publishes over nc and logs acknowledgements to a file.
func newLoad(nc *nats.Conn, seed uint64, path string) (*load, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*roomCount), jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	c, err := client.New(nc, client.WithTypes(custom))
	if err != nil {
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("logging acknowledgements: %w", err)
	}
	l := &load{js: js, room: semaphore.NewWeighted(roomCount), known: map[uuid.UUID]bool{}, ends: map[int]uint64{}, file: file, log: bufio.NewWriter(file)}
	l.mixer = newMixer(c, seed, l.stored)
	return l, nil
}

// stored returns an operation that was acknowledged lately.
func (l *load) stored() (letter, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.last.message != nil
}

// run publishes letters until ctx is done or there were n: at a rate, or at rate 0 as
// fast as there is room. Letters on their way are published again until work is done.
func (l *load) run(ctx, work context.Context, rate float64, n int) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for due := time.Now(); n > 0; {
		letters, err := l.mixer.next(ctx)
		if err != nil {
			return fmt.Errorf("making operations: %w", err)
		}
		if rate > 0 {
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
			due = due.Add(time.Duration(float64(len(letters)) / rate * float64(time.Second)))
			if behind := time.Now().Add(-time.Second); due.Before(behind) {
				due = behind // what could not be sent in time is not made up for
			}
		}
		if err := l.send(ctx, work, letters); err != nil {
			return nil // the time is over
		}
		n -= len(letters)
	}
	return nil
}

// send publishes letters back to back, so that they are likely to meet in one window.
func (l *load) send(ctx, work context.Context, letters []letter) error {
	if err := l.room.Acquire(ctx, int64(len(letters))); err != nil {
		return err
	}
	l.mu.Lock()
	for _, one := range letters {
		l.known[one.note.ID] = true
	}
	l.mu.Unlock()
	for _, one := range letters {
		ack, err := l.js.PublishMsgAsync(one.message)
		l.ways.Go(func() {
			defer l.room.Release(1)
			l.follow(work, one, ack, err)
		})
	}
	return nil
}

// follow waits for the acknowledgement of a letter, and publishes it again as often as
// it takes.
func (l *load) follow(ctx context.Context, one letter, ack jetstream.PubAckFuture, err error) {
	for {
		if err == nil {
			var got *jetstream.PubAck
			if got, err = await(ctx, ack); err == nil {
				l.acknowledged(one, got.Sequence)
				return
			}
		}
		var refusal *jetstream.APIError
		if errors.As(err, &refusal) && strings.HasPrefix(refusal.Description, "maximum ") {
			return // refused at the bound: not stored
		}
		l.doubted(ctx)
		select {
		case <-time.After(againAfter):
		case <-ctx.Done():
			return
		}
		ack, err = l.js.PublishMsgAsync(one.message)
	}
}

func await(ctx context.Context, ack jetstream.PubAckFuture) (*jetstream.PubAck, error) {
	select {
	case got := <-ack.Ok():
		return got, nil
	case err := <-ack.Err():
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *load) doubted(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt++
	if ctx.Err() != nil {
		l.lost++
	}
}

// acknowledged writes down that a letter is stored.
func (l *load) acknowledged(one letter, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one.note.Sequence = sequence
	l.notes = append(l.notes, one.note)
	p := partitionOf(one.message)
	l.ends[p] = max(l.ends[p], sequence)
	if one.note.Class == ending {
		l.last = one
	}
	if line, err := json.Marshal(one.note); err == nil {
		_, _ = l.log.Write(append(line, '\n')) // the file is for people
	}
}

// close waits for the letters on their way and closes the log.
func (l *load) close() error {
	l.ways.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.log.Flush(), l.file.Close())
}

// partitionOf returns the partition that a message goes to.
func partitionOf(msg *nats.Msg) int {
	target := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
	return subjects.Partition(operation.EntityID(target), ecsstore.DefaultSettings().Partitions)
}

// progress returns how many letters are acknowledged, and the last sequence of each
// partition among them.
func (l *load) progress() (count int, ends map[int]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.notes), maps.Clone(l.ends)
}

// slowSubject is where the system of the slow operations answers.
const slowSubject = "chaos.slow"

// serveSlow answers for the slow operations: after a while, mostly with a change, now
// and then with an error.
func serveSlow(ctx context.Context, nc *nats.Conn) error {
	_, err := nc.QueueSubscribe(slowSubject, "chaos", func(msg *nats.Msg) {
		reply := consumer.RemoteReply{}
		switch rand.IntN(20) { //nolint:gosec // chance
		case 0, 1:
			reply.Error = "not this time"
		case 2:
			reply.Error, reply.Permanent = "never", true
		default:
			reply.Set = map[string]json.RawMessage{"value": json.RawMessage("7")}
		}
		body, err := json.Marshal(reply)
		if err != nil {
			return
		}
		go func() { // ends after its delay
			select {
			case <-time.After(rand.N(maxSlow)): //nolint:gosec // chance
				_ = msg.Respond(body) // whoever asked may be dead
			case <-ctx.Done():
			}
		}()
	})
	if err != nil {
		return fmt.Errorf("serving the slow operations: %w", err)
	}
	return nil
}

// maxSlow is the longest that a slow operation takes.
const maxSlow = 250 * time.Millisecond

// slowFlags have a worker execute the slow operations.
func slowFlags() []string {
	return []string{"--system=" + string(slowType) + "=" + slowSubject, "--slow-timeout=2s"}
}
