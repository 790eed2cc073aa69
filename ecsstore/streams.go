package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// MinServer is the oldest broker whose atomic batches are right: before it,
// conditions on several subjects of one batch were wrongly refused and a deposed
// leader could still write.
const MinServer = "2.14.4"

// Errors of streams that cannot be used. Each is wrapped in a message that names
// the stream and the remedy.
var (
	ErrNotInitialized = errors.New("streams do not exist; run: hierarchy init")
	ErrUnsafeStream   = errors.New("stream settings are unsafe")
	ErrStreamLost     = errors.New("it was there and is lost")
	ErrOldServer      = errors.New("broker is too old; Hierarchy needs nats-server " + MinServer + " or newer")
	ErrNoJetStream    = errors.New("broker has JetStream switched off; start it with jetstream enabled (nats-server -js)")
)

// Settings are what the two streams are made with. They are fixed by the first
// [Init]; later ones must agree on Partitions.
type Settings struct {
	Partitions      int           // fixed share of the entities each, 1 to 256
	Replicas        int           // of both streams
	QueueSize       int64         // operations the operations stream holds before it refuses more
	Retention       time.Duration // of events, decision records and dead letters
	DuplicateWindow time.Duration // in which the broker recognises a Nats-Msg-Id
	Storage         jetstream.StorageType

	resizing int // the number that partitions are being changed to, 0 if they are not
}

// DefaultSettings returns the documented defaults.
func DefaultSettings() Settings {
	return Settings{
		Partitions: 16, Replicas: 1, QueueSize: 1_000_000, Retention: 24 * time.Hour,
		DuplicateWindow: 2 * time.Minute, Storage: jetstream.FileStorage,
	}
}

// MaxPartitions is the greatest number of partitions.
const MaxPartitions = 256

// Stream metadata, so that every process that opens the streams agrees.
const (
	metaPartitions = "hierarchy.partitions"
	metaRetention  = "hierarchy.retention"
	metaRole       = "hierarchy.role"
	metaResizing   = "hierarchy.resizing"       // of the operations stream, while intake is closed
	metaSince      = "hierarchy.resizing_since" // likewise
)

// maxOpsMessage bounds what the operations stream stores: the body and some room
// for headers.
const maxOpsMessage = 80 << 10

func (s Settings) check() error {
	switch {
	case s.Partitions < 1 || s.Partitions > MaxPartitions:
		return fmt.Errorf("partitions is %d: want 1 to %d", s.Partitions, MaxPartitions)
	case s.Replicas < 1 || s.Replicas > 5:
		return fmt.Errorf("replicas is %d: want 1 to 5", s.Replicas)
	case s.QueueSize < 1:
		return fmt.Errorf("queue size is %d: want at least 1", s.QueueSize)
	case s.Retention < time.Minute:
		return fmt.Errorf("retention is %v: want at least 1m", s.Retention)
	}
	return nil
}

func (s Settings) opsConfig(space subjects.Space) jetstream.StreamConfig {
	takes := space.Submissions()
	if s.resizing > 0 {
		takes = space.Sealed()
	}
	return jetstream.StreamConfig{
		Name:        space.OpsStream(),
		Description: "operations as publishers sent them, by partition",
		Subjects:    []string{takes},
		SubjectTransform: &jetstream.SubjectTransformConfig{
			Source: space.Submissions(), Destination: space.Stored(s.Partitions),
		},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: s.QueueSize, MaxMsgSize: maxOpsMessage,
		Duplicates: s.DuplicateWindow, Storage: s.Storage, Replicas: s.Replicas,
		DenyDelete: true, AllowDirect: false,
		Metadata: s.metadata("operations"),
	}
}

func (s Settings) storeConfig(space subjects.Space) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:             space.StoreStream(),
		Description:      "entities, events and decisions; written by workers only",
		Subjects:         []string{space.Writes()},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: space.Writes(), Destination: space.Kept()},
		RePublish:        &jetstream.RePublish{Source: space.Events(), Destination: space.Events()},
		Retention:        jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		Storage: s.Storage, Replicas: s.Replicas, Duplicates: time.Second,
		AllowAtomicPublish: true, AllowRollup: true, AllowMsgTTL: true, AllowDirect: true, DenyDelete: true,
		Metadata: s.metadata("store"),
	}
}

func (s Settings) metadata(role string) map[string]string {
	return map[string]string{
		metaPartitions: strconv.Itoa(s.Partitions), metaRetention: s.Retention.String(), metaRole: role,
	}
}

// Init makes the two streams, or checks that those which exist can be trusted. It
// may be called any number of times and never changes a stream's partitions.
func Init(ctx context.Context, js jetstream.JetStream, space subjects.Space, s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := checkServer(ctx, js); err != nil {
		return err
	}
	// The store comes first: operations without a store are a sign of a store that was lost.
	store, ops := s.storeConfig(space), s.opsConfig(space)
	if err := errors.Join(checkBeside(ctx, js, store.Name, ops.Name), checkBeside(ctx, js, ops.Name, store.Name)); err != nil {
		return err
	}
	for _, want := range []jetstream.StreamConfig{store, ops} {
		if err := ensure(ctx, js, want); err != nil {
			return err
		}
	}
	return ensureMembers(ctx, js, space)
}

// ensureMembers makes the bucket of live workers as safe as the store is, whatever it was
// before. It is on the store's kind of storage: a single broker forgets memory when it restarts.
func ensureMembers(ctx context.Context, js jetstream.JetStream, space subjects.Space) error {
	store, err := js.Stream(ctx, space.StoreStream())
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", space.StoreStream(), err)
	}
	is := store.CachedInfo().Config
	_, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: space.MembersBucket(), Description: "live workers", TTL: MemberTTL,
		Storage: is.Storage, Replicas: is.Replicas,
	})
	if err != nil {
		return fmt.Errorf("creating bucket %s: %w", space.MembersBucket(), err)
	}
	return nil
}

// MemberTTL is how long a worker that no longer says so counts as alive.
const MemberTTL = 2 * time.Second

// checkServer refuses a broker that cannot do what a commit needs.
func checkServer(ctx context.Context, js jetstream.JetStream) error {
	nc := js.Conn()
	if v := nc.ConnectedServerVersion(); older(v, MinServer) {
		return fmt.Errorf("%w: %s is %s", ErrOldServer, nc.ConnectedUrlRedacted(), v)
	}
	_, err := js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("%w: %s", ErrNoJetStream, nc.ConnectedUrlRedacted())
	}
	if err != nil {
		return fmt.Errorf("asking the broker for JetStream: %w", err)
	}
	return nil
}

// older reports whether version a comes before b; a suffix after the numbers, as of
// a release candidate or a build, is ignored.
func older(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) < 0 }

func numbers(version string) []int {
	version = strings.TrimPrefix(version, "v")
	if end := strings.IndexAny(version, "-+"); end >= 0 {
		version = version[:end]
	}
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}

// checkBeside refuses to make a stream where the other one has been used: it was lost,
// and what it said cannot be made up (rule R25).
func checkBeside(ctx context.Context, js jetstream.JetStream, name, other string) error {
	if _, err := js.Stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // what else is wrong with it is told by who opens it
	}
	beside, err := js.Stream(ctx, other)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", other, err)
	}
	if used := beside.CachedInfo().State.LastSeq; used > 0 {
		return fmt.Errorf("stream %s: %w: %s beside it has had %d messages; restore both from a backup, or delete %[3]s as well to start empty",
			name, ErrStreamLost, other, used)
	}
	return nil
}

// ensure makes a stream that does not exist and checks one that does.
func ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err := js.CreateStream(ctx, want); err != nil {
			return fmt.Errorf("creating stream %s: %w", want.Name, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", want.Name, err)
	}
	have := stream.CachedInfo().Config
	if have.Metadata[metaRole] != want.Metadata[metaRole] {
		return checkStream(have, want) // it is none of ours, whatever its partitions
	}
	if have.Metadata[metaResizing] != "" {
		return fmt.Errorf("stream %s takes no operations: %w", want.Name, resizing(have.Metadata))
	}
	if n := have.Metadata[metaPartitions]; n != want.Metadata[metaPartitions] {
		return fmt.Errorf("stream %s has %s partitions, not %s; to change that, run: hierarchy scale-partitions %[3]s",
			want.Name, n, want.Metadata[metaPartitions])
	}
	return checkStream(have, want)
}

// Opened is what the streams that exist were made with.
type Opened struct {
	Settings

	Resizing int       // the number that partitions are being changed to: no operations are taken; 0 if they are not
	Since    time.Time // no operations are taken
}

// Open checks both streams and returns what they were made with.
func Open(ctx context.Context, js jetstream.JetStream, space subjects.Space) (Opened, error) {
	if err := checkServer(ctx, js); err != nil {
		return Opened{}, err
	}
	ops, err := openStream(ctx, js, space.OpsStream(), func(s Settings) jetstream.StreamConfig { return s.opsConfig(space) })
	if err != nil {
		return Opened{}, err
	}
	store, err := openStream(ctx, js, space.StoreStream(), func(s Settings) jetstream.StreamConfig { return s.storeConfig(space) })
	if err != nil {
		return Opened{}, err
	}
	if store.Partitions != ops.Partitions && store.Partitions != ops.Resizing {
		return Opened{}, fmt.Errorf("stream %s: %w: it has %d partitions, %s has %d",
			space.StoreStream(), ErrUnsafeStream, store.Partitions, space.OpsStream(), ops.Partitions)
	}
	return ops, nil
}

// openStream checks a stream against the configuration that want makes of the
// settings which the stream carries.
func openStream(ctx context.Context, js jetstream.JetStream, name string, want func(Settings) jetstream.StreamConfig) (Opened, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Opened{}, fmt.Errorf("stream %s: %w", name, ErrNotInitialized)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("looking up stream %s: %w", name, err)
	}
	have := stream.CachedInfo().Config
	s, err := carried(have.Metadata)
	if err != nil {
		return Opened{}, fmt.Errorf("stream %s: %w: %w", name, ErrUnsafeStream, err)
	}
	opened := Opened{Settings: s, Resizing: s.resizing}
	opened.Replicas, opened.Storage = have.Replicas, have.Storage
	opened.QueueSize, opened.DuplicateWindow = have.MaxMsgs, have.Duplicates
	opened.Since, _ = time.Parse(time.RFC3339Nano, have.Metadata[metaSince])
	return opened, checkStream(have, want(s))
}

// carried reads the settings that a stream carries in its metadata.
func carried(metadata map[string]string) (Settings, error) {
	s := DefaultSettings()
	var err error
	if s.Partitions, err = strconv.Atoi(metadata[metaPartitions]); err != nil {
		return s, errors.New("it carries no number of partitions")
	}
	if s.Retention, err = time.ParseDuration(metadata[metaRetention]); err != nil {
		return s, errors.New("it carries no retention")
	}
	if to := metadata[metaResizing]; to != "" {
		if s.resizing, err = strconv.Atoi(to); err != nil || s.resizing < 1 || s.resizing > MaxPartitions {
			return s, fmt.Errorf("its partitions are being changed to %q", to)
		}
	}
	return s, s.check()
}

// resizing tells what is going on with a stream that takes no operations.
func resizing(metadata map[string]string) error {
	return fmt.Errorf("%w from %s to %s since %s; if nobody is at it, finish with: hierarchy scale-partitions %[3]s, or undo it with --abort",
		ErrResizing, metadata[metaPartitions], metadata[metaResizing], metadata[metaSince])
}

// Partitions returns the number of partitions of the streams that exist.
func Partitions(ctx context.Context, js jetstream.JetStream, space subjects.Space) (int, error) {
	opened, err := Open(ctx, js, space)
	return opened.Partitions, err
}

// checkStream refuses settings under which the broker could lose or alter what it
// has acknowledged.
func checkStream(have, want jetstream.StreamConfig) error {
	complain := func(setting string, got, need any) error {
		return fmt.Errorf("stream %s: %w: %s is %v, need %v", have.Name, ErrUnsafeStream, setting, got, need)
	}
	switch {
	case have.Metadata[metaRole] != want.Metadata[metaRole]:
		return complain("metadata "+metaRole, strconv.Quote(have.Metadata[metaRole]), want.Metadata[metaRole])
	case !slices.Equal(have.Subjects, want.Subjects):
		return complain("subjects", have.Subjects, want.Subjects)
	case have.SubjectTransform == nil || *have.SubjectTransform != *want.SubjectTransform:
		return complain("subject transform", have.SubjectTransform, want.SubjectTransform)
	case have.Retention != jetstream.LimitsPolicy:
		return complain("retention", have.Retention, jetstream.LimitsPolicy)
	case have.Discard != jetstream.DiscardNew:
		return complain("discard", have.Discard, jetstream.DiscardNew)
	case have.MaxAge != 0:
		return complain("max age", have.MaxAge, "none")
	case have.MaxMsgsPerSubject > 0:
		return complain("max messages per subject", have.MaxMsgsPerSubject, "none")
	case !have.DenyDelete:
		return complain("deny delete", false, true)
	case have.PersistMode == jetstream.AsyncPersistMode:
		return complain("persist mode", "async", "default")
	case have.NoAck:
		return complain("no ack", true, false)
	case have.DenyPurge:
		return complain("deny purge", true, false)
	case have.MaxMsgSize > 0 && want.MaxMsgSize == 0:
		return complain("max message size", have.MaxMsgSize, "none")
	case have.MaxMsgSize > 0 && have.MaxMsgSize < want.MaxMsgSize:
		return complain("max message size", have.MaxMsgSize, want.MaxMsgSize)
	case want.RePublish != nil && (have.RePublish == nil || *have.RePublish != *want.RePublish):
		return complain("republish", have.RePublish, want.RePublish)
	case have.AllowRollup != want.AllowRollup:
		return complain("allow rollup", have.AllowRollup, want.AllowRollup)
	case have.AllowMsgTTL != want.AllowMsgTTL:
		return complain("allow message TTL", have.AllowMsgTTL, want.AllowMsgTTL)
	case have.AllowAtomicPublish != want.AllowAtomicPublish:
		return complain("allow atomic publish", have.AllowAtomicPublish, want.AllowAtomicPublish)
	case want.AllowDirect && !have.AllowDirect:
		return complain("allow direct", false, true)
	case len(have.Sources) > 0 || have.Mirror != nil:
		return complain("sources or mirror", "set", "none: all messages come from publishers and workers")
	case have.AllowMsgSchedules:
		return complain("allow message schedules", true, false)
	}
	return nil
}
