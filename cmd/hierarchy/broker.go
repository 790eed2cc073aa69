package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
)

// defaultListen is where the embedded broker listens, and where every other command
// looks for a broker unless told otherwise.
const defaultListen = "127.0.0.1:4222"

// startTimeout bounds how long the broker may take to recover its store.
const startTimeout = 30 * time.Second

// How the embedded broker writes.
const (
	syncAlways   = "always"   // to the disk before it acknowledges
	syncInterval = "interval" // to the disk now and then: faster, and a power cut loses what was acknowledged
)

// brokerConfig is what the embedded broker is started with.
type brokerConfig struct {
	listen string // host:port; port 0 takes a free one
	store  string // folder of its streams
	sync   string
	log    *slog.Logger
}

// broker is a NATS server in this process. It owns its store folder through a lock
// on a file in it.
type broker struct {
	server *server.Server
	store  string
	lock   *os.File
}

// startBroker starts the embedded broker. Every error says what to do.
func startBroker(cfg brokerConfig) (*broker, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(cfg.store)
	if err != nil {
		return nil, err
	}
	b := &broker{store: cfg.store, lock: lock}
	if err := b.start(options, cfg.log); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return b, nil
}

func (cfg *brokerConfig) options() (*server.Options, error) {
	host, text, err := net.SplitHostPort(cfg.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %q: want host:port: %w", cfg.listen, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("--listen %q: port: %w", cfg.listen, err)
	}
	if err := cfg.portFree(); err != nil {
		return nil, err
	}
	options := &server.Options{
		ServerName: "hierarchy", Host: host, Port: int(port), NoSigs: true,
		JetStream: true, StoreDir: cfg.store, SyncAlways: cfg.sync == syncAlways,
	}
	if port == 0 {
		options.Port = server.RANDOM_PORT
	}
	return options, nil
}

// portFree finds out before the broker does, which would not say it in one line.
func (cfg *brokerConfig) portFree() error {
	probe, err := net.Listen("tcp", cfg.listen) //nolint:noctx // it returns at once
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listening on %s: the port is in use; use the broker there with --server nats://%s, or another port with --listen",
			cfg.listen, cfg.listen)
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w; choose another address with --listen", cfg.listen, err)
	}
	return probe.Close()
}

func (b *broker) start(options *server.Options, log *slog.Logger) error {
	srv, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("configuring the broker: %w", err)
	}
	logger := &brokerLog{log: log, fatal: make(chan string, 1)}
	srv.SetLoggerV2(logger, false, false, false)
	srv.Start()
	if err := logger.await(srv); err != nil {
		srv.Shutdown()
		return fmt.Errorf("starting the broker with its store in %s: %w", b.store, err)
	}
	b.server = srv
	return nil
}

// URL returns the address that clients connect to.
func (b *broker) URL() string { return b.server.ClientURL() }

// Connect connects within the process.
func (b *broker) Connect(name string) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(client.ConnectOptions(), nats.Name(name), nats.InProcessServer(b.server))...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded broker: %w", err)
	}
	return nc, nil
}

// Stop ends the broker in good order.
func (b *broker) Stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
	_ = b.lock.Close()
}

// lockStore makes the store folder and takes the lock of it, which the system
// releases however the process ends.
func lockStore(dir string) (*os.File, error) {
	const remedy = "choose another folder with --store"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store %s: %w; %s", dir, err, remedy)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil, fmt.Errorf("the store %s is not writable: %w; %s", dir, err, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the store %s: %w", dir, err)
	}
	if err := tryLock(lock); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("the store %s is in use by another process; stop that, or %s", dir, remedy)
	}
	return lock, nil
}

// stateDir is where the embedded broker keeps its store unless told otherwise.
func stateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "hierarchy")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return filepath.Join(home, ".local", "state", "hierarchy")
}

// brokerLog passes the broker's log on to ours.
type brokerLog struct {
	log   *slog.Logger
	fatal chan string // holds the first one
}

// await waits until the broker takes connections or gives up.
func (b *brokerLog) await(srv *server.Server) error {
	ready := make(chan bool, 1)
	go func() { ready <- srv.ReadyForConnections(startTimeout) }() // ends by itself
	select {
	case text := <-b.fatal:
		return errors.New(text)
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("it did not take connections within %v", startTimeout)
		}
		return nil
	}
}

func (*brokerLog) say(level func(string, ...any), format string, args []any) {
	level(fmt.Sprintf(format, args...), "from", "broker")
}

func (b *brokerLog) Noticef(format string, args ...any) { b.say(b.log.Debug, format, args) }
func (b *brokerLog) Warnf(format string, args ...any)   { b.say(b.log.Warn, format, args) }
func (b *brokerLog) Errorf(format string, args ...any)  { b.say(b.log.Error, format, args) }
func (b *brokerLog) Debugf(format string, args ...any)  { b.say(b.log.Debug, format, args) }
func (b *brokerLog) Tracef(format string, args ...any)  { b.say(b.log.Debug, format, args) }

func (b *brokerLog) Fatalf(format string, args ...any) {
	select {
	case b.fatal <- fmt.Sprintf(format, args...):
	default:
	}
	b.say(b.log.Error, format, args)
}
