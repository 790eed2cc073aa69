// Package subjects is the one place that spells NATS subjects: it builds them,
// takes them apart, and computes the partition of an entity exactly as the broker
// does.
//
// A [Space] is the set of subjects and stream names under one prefix; the zero
// Space uses [DefaultPrefix]. Publishers see two families, operations
// (hierarchy.ops.…) and events (hierarchy.events.…). Workers write everything
// else below hierarchy.tx; the store's stream drops that token when it stores a
// message, so that what is stored and republished is always what was committed.
//
// Every token that comes from outside is checked with [Token] before it is used:
// a wildcard or a dot in an id would alias other subjects.
package subjects

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// DefaultPrefix is the first token of every subject unless another is configured.
const DefaultPrefix = "hierarchy"

// MaxToken is the greatest length of a token that comes from outside, in bytes.
const MaxToken = 64

// Space is the set of subjects under one prefix.
type Space struct{ prefix string }

// In returns the space under prefix, which must be a valid token.
func In(prefix string) (Space, error) {
	if !Token(prefix) {
		return Space{}, fmt.Errorf("prefix %q is not a subject token: want 1 to %d of A-Z a-z 0-9 _ -", prefix, MaxToken)
	}
	return Space{prefix: prefix}, nil
}

// Prefix returns the first token of the space's subjects.
func (s Space) Prefix() string {
	if s.prefix == "" {
		return DefaultPrefix
	}
	return s.prefix
}

// Token reports whether text can stand as one token of a subject.
func Token(text string) bool {
	if text == "" || len(text) > MaxToken {
		return false
	}
	for _, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Partition returns the partition of an entity among n, as the broker's
// partition() subject mapping computes it: FNV-1a of the token, modulo n.
func Partition(entity uuid.UUID, n int) int { return PartitionOf(entity.String(), n) }

// PartitionOf is [Partition] for a target that is a token but no UUID, as only
// rejected operations have.
func PartitionOf(target string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(target))
	return int(h.Sum32() % uint32(n)) //nolint:gosec // n is a small positive count
}

// OpsStream is the name of the operations stream.
func (s Space) OpsStream() string { return s.StoreStream() + "_OPS" }

// StoreStream is the name of the store's stream.
func (s Space) StoreStream() string {
	return strings.ToUpper(strings.ReplaceAll(s.Prefix(), "-", "_"))
}

// MembersBucket is the name of the key-value bucket of live workers.
func (s Space) MembersBucket() string { return s.StoreStream() + "_MEMBERS" }

func (s Space) join(tokens ...string) string {
	return s.Prefix() + "." + strings.Join(tokens, ".")
}

// Submit is where operations of priority p for entity are published.
func (s Space) Submit(p operation.Priority, entity uuid.UUID) string {
	return s.join("ops", p.String(), entity.String())
}

// Cancel is where cancellations of operations on entity are published.
func (s Space) Cancel(entity uuid.UUID) string { return s.join("ops", CancelToken, entity.String()) }

// CancelToken stands where an operation's subject has its priority.
const CancelToken = "cancel"

// Submissions matches everything that publishers send.
func (s Space) Submissions() string { return s.join("ops", "*", "*") }

// Sealed is what the operations stream takes instead of [Space.Submissions] while the
// number of partitions is being changed.
func (s Space) Sealed() string { return s.join("sealed") }

// Stored is how the operations stream stores a submission; the broker computes it.
// n is the number of partitions.
func (s Space) Stored(n int) string {
	return s.join("partition", fmt.Sprintf("{{partition(%d,2)}}", n), "{{wildcard(1)}}", "{{wildcard(2)}}")
}

// Submitted matches all that the operations stream stores for a partition.
func (s Space) Submitted(partition int) string {
	return s.join("partition", strconv.Itoa(partition), "*", "*")
}

// SubmittedTo matches all that the operations stream stores for one entity.
func (s Space) SubmittedTo(partition int, entity uuid.UUID) string {
	return s.join("partition", strconv.Itoa(partition), "*", entity.String())
}

// Submission is a subject of the operations stream taken apart. Class is the
// priority's name or [CancelToken] in a well-formed one; Target is the entity as
// the publisher spelled it. Both may be anything.
type Submission struct {
	Partition     int
	Class, Target string
}

// ParseSubmission takes apart a subject as the operations stream stores it.
func (s Space) ParseSubmission(subject string) (Submission, error) {
	rest, ours := strings.CutPrefix(subject, s.join("partition", ""))
	parts := strings.Split(rest, ".")
	if !ours || len(parts) != 3 {
		return Submission{}, fmt.Errorf("subject %q is no stored operation", subject)
	}
	partition, err := strconv.Atoi(parts[0])
	if err != nil || partition < 0 || strconv.Itoa(partition) != parts[0] {
		return Submission{}, fmt.Errorf("subject %q: partition %q is no number", subject, parts[0])
	}
	return Submission{Partition: partition, Class: parts[1], Target: parts[2]}, nil
}

// Write returns the subject under which a worker publishes a message that the
// store is to keep under stored.
func (s Space) Write(stored string) string {
	return s.join("tx", strings.TrimPrefix(stored, s.Prefix()+"."))
}

// Writes matches everything that workers publish to the store.
func (s Space) Writes() string { return s.join("tx", ">") }

// Kept is how the store's stream names what is published below [Space.Writes].
func (s Space) Kept() string { return s.join(">") }

// Fence is the record that owns a partition.
func (s Space) Fence(partition int) string { return s.join("fence", strconv.Itoa(partition)) }

// Fences matches the fences of all partitions.
func (s Space) Fences() string { return s.join("fence", "*") }

// Window is where a partition's decision records stand.
func (s Space) Window(partition int) string { return s.join("window", strconv.Itoa(partition)) }

// Windows matches the decision records of all partitions.
func (s Space) Windows() string { return s.join("window", "*") }

// Ledger is where a partition's pages of what was taken before the number of
// partitions was changed stand.
func (s Space) Ledger(partition int) string { return s.join("ledger", strconv.Itoa(partition)) }

// Ledgers matches the pages of all partitions.
func (s Space) Ledgers() string { return s.join("ledger", "*") }

// Checkpoint is where a partition's checkpoints stand, which sum up its decision records.
func (s Space) Checkpoint(partition int) string {
	return s.join("checkpoint", strconv.Itoa(partition))
}

// Checkpoints matches the checkpoints of all partitions.
func (s Space) Checkpoints() string { return s.join("checkpoint", "*") }

// Record is where the record of an operation that outlives its window stands.
func (s Space) Record(partition int, op uuid.UUID) string {
	return s.join("op", strconv.Itoa(partition), op.String())
}

// Records matches a partition's operation records.
func (s Space) Records(partition int) string { return s.join("op", strconv.Itoa(partition), "*") }

// AllRecords matches the operation records of all partitions.
func (s Space) AllRecords() string { return s.join("op", "*", "*") }

// State is where the head of an entity stands.
func (s Space) State(entity uuid.UUID) string { return s.join("state", entity.String()) }

// States matches the heads of all entities.
func (s Space) States() string { return s.join("state", "*") }

// Version is where version n of an entity stands.
func (s Space) Version(entity uuid.UUID, n uint64) string {
	return s.join("version", entity.String(), strconv.FormatUint(n, 10))
}

// Versions matches the versions of an entity.
func (s Space) Versions(entity uuid.UUID) string { return s.join("version", entity.String(), "*") }

// AllVersions matches every version of every entity.
func (s Space) AllVersions() string { return s.join("version", "*", "*") }

// Check is where a partition's read checks stand: messages without content that
// carry a condition on an entity which their batch only read.
func (s Space) Check(partition int) string { return s.join("check", strconv.Itoa(partition)) }

// Dead is where a partition's undecodable operations stand.
func (s Space) Dead(partition int) string { return s.join("dead", strconv.Itoa(partition)) }

// DeadLetters matches the undecodable operations of all partitions.
func (s Space) DeadLetters() string { return s.join("dead", "*") }

// Event is where events of a kind about an entity are published.
func (s Space) Event(kind operation.Kind, entity uuid.UUID) string {
	return s.EventToken(kind, entity.String())
}

// EventToken is [Space.Event] for a target that is a token but no UUID, as only
// rejected operations have.
func (s Space) EventToken(kind operation.Kind, target string) string {
	return s.join("events", string(kind), target)
}

// Events matches all events.
func (s Space) Events() string { return s.join("events", ">") }

// EventsOf matches the events of one kind.
func (s Space) EventsOf(kind operation.Kind) string { return s.join("events", string(kind), "*") }

// EventsAbout matches the events about one entity.
func (s Space) EventsAbout(entity uuid.UUID) string { return s.join("events", "*", entity.String()) }

// ParseEvent takes apart the subject of an event.
func (s Space) ParseEvent(subject string) (kind operation.Kind, target string, err error) {
	rest, ours := strings.CutPrefix(subject, s.join("events", ""))
	name, target, found := strings.Cut(rest, ".")
	if !ours || !found || strings.Contains(target, ".") {
		return "", "", fmt.Errorf("subject %q is no event", subject)
	}
	return operation.Kind(name), target, nil
}

// Ping is where a worker answers whether it is there.
func (s Space) Ping(worker string) string { return s.join("worker", worker, "ping") }
