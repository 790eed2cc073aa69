package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// How a connection finds its way back.
const (
	reconnectWait   = 100 * time.Millisecond
	reconnectJitter = 100 * time.Millisecond
	pingInterval    = 5 * time.Second
	pingsUnanswered = 2
)

// ConnectOptions returns the connection settings that the guarantees of this
// package rest on: it reconnects for ever and soon, and refuses to publish in the
// meantime. By default the library would keep what is published, report success,
// and send it seconds later or never. The time-out of an attempt to connect holds for
// looking up the server's name, too.
func ConnectOptions() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.SkipHostLookup(), // before dialling, without a time-out
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsUnanswered),
		nats.ErrorHandler(logAsync),
	}
}

// Connect connects to the servers of url with [ConnectOptions] and then opts.
func Connect(url string, opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(url, append(ConnectOptions(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", url, err)
	}
	return nc, nil
}

// logAsync logs what goes wrong outside a call. A denied permission ends the call it
// belongs to and is reported there.
func logAsync(nc *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		slog.Warn("connection to the broker", slog.String("name", nc.Opts.Name), slog.Any("error", err))
	}
}

// denials ends calls that the broker has denied. It denies asynchronously, and
// without this a call would run into its time-out.
type denials struct {
	mu    sync.Mutex // guards calls
	calls map[*deniable]struct{}
}

// deniable is a call under way that a denial of certain subjects ends.
type deniable struct {
	uses   []string // parts of the subjects
	denied func(error)
}

// listen puts itself before the handler that the connection has.
func (d *denials) listen(nc *nats.Conn) {
	d.calls = map[*deniable]struct{}{}
	next := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			d.report(err)
		}
		if next != nil {
			next(nc, sub, err)
		}
	})
}

var deniedSubject = regexp.MustCompile(`(?i)(?:publish|subscription) to "([^"]+)"`)

func (d *denials) report(err error) {
	found := deniedSubject.FindStringSubmatch(err.Error())
	if found == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for call := range d.calls {
		if call.touches(found[1]) {
			call.denied(fmt.Errorf("%w: %s", ErrPermissionDenied, strings.TrimPrefix(found[0], "nats: ")))
		}
	}
}

func (c *deniable) touches(subject string) bool {
	for _, part := range c.uses {
		if strings.Contains(subject, part) {
			return true
		}
	}
	return false
}

// guard returns a context that a denial of a subject containing one of uses ends,
// with [ErrPermissionDenied] as its cause. Call stop when the call is over.
func (d *denials) guard(ctx context.Context, uses ...string) (guarded context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	remove := d.add(cancel, uses)
	return ctx, func() {
		remove()
		cancel(nil)
	}
}

// add has denied called when a subject is denied that contains one of uses, until
// remove is called. It must not block.
func (d *denials) add(denied func(error), uses []string) (remove func()) {
	call := &deniable{uses: append(uses, "_INBOX"), denied: denied}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[call] = struct{}{}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.calls, call)
	}
}

// explain prefers the reason why a context ended over err, and gives a broker that
// is not there its name.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	for _, gone := range []error{
		nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrInvalidConnection,
	} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return err
}
