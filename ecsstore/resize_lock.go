package ecsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// ErrLocked says that somebody else is changing the number of partitions right now.
var ErrLocked = errors.New("somebody else is changing the number of partitions")

// errLockLost ends the context of a change whose lock has expired.
var errLockLost = errors.New("lost the lock on the number of partitions")

// resizeLock keeps two changes from being made at a time. It is a key of the members'
// bucket, with a dot in it so that no worker has that name; it expires like a member.
// The commit is safe without it, since whoever claims the fences last has them. It
// keeps apart what a commit cannot: the streams' settings.
type resizeLock struct {
	kv   jetstream.KeyValue
	body []byte
}

// LockKey is the key of the members' bucket that a change of the number of partitions
// holds.
const LockKey = "partitions.lock"

func newResizeLock(ctx context.Context, js jetstream.JetStream, space subjects.Space, want Resize) (*resizeLock, error) {
	kv, err := js.KeyValue(ctx, space.MembersBucket())
	if err != nil {
		return nil, fmt.Errorf("opening bucket %s: %w", space.MembersBucket(), err)
	}
	body, err := json.Marshal(map[string]any{"owner": want.Owner, "partitions": want.To})
	return &resizeLock{kv: kv, body: body}, err
}

// hold takes the lock, waiting as long as one takes to expire whose holder is gone. The
// context it returns ends when the lock is lost.
func (l *resizeLock) hold(ctx context.Context) (held context.Context, release func(), err error) {
	revision, err := l.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // ends with release
		defer close(done)
		l.keep(held, revision, lose)
	}()
	return held, func() {
		lost := errors.Is(context.Cause(held), errLockLost)
		lose(nil)
		<-done
		if !lost {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), MemberTTL)
			defer cancel()
			_ = l.kv.Delete(ctx, LockKey) // it expires by itself
		}
	}, nil
}

func (l *resizeLock) take(ctx context.Context) (uint64, error) {
	patience, cancel := context.WithTimeout(ctx, 2*MemberTTL)
	defer cancel()
	tick := time.NewTicker(MemberTTL / 4)
	defer tick.Stop()
	for {
		revision, err := l.kv.Create(ctx, LockKey, l.body)
		if err == nil {
			return revision, nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return 0, fmt.Errorf("taking the lock of changes: %w", err)
		}
		select {
		case <-tick.C:
		case <-patience.Done():
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return 0, ErrLocked
		}
	}
}

// keep writes the lock again before it expires.
func (l *resizeLock) keep(ctx context.Context, revision uint64, lose context.CancelCauseFunc) {
	tick := time.NewTicker(MemberTTL / 4)
	defer tick.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		next, err := l.kv.Update(ctx, LockKey, l.body, revision)
		switch {
		case err == nil:
			revision, renewed = next, time.Now()
		case errors.Is(err, jetstream.ErrKeyExists) || time.Since(renewed) > MemberTTL:
			lose(fmt.Errorf("%w: %w", errLockLost, err))
			return
		}
	}
}
