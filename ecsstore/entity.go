package ecsstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Place is where an entity stands in the forest.
type Place string

// The places. An orphan was created but never promoted and has no version.
const (
	Root    Place = "root"
	Child   Place = "child"
	Orphan  Place = "orphan"
	Deleted Place = "deleted"
)

// Limits of one entity.
const (
	MaxHistory     = 100       // entries kept of an entity's modification history
	MaxEntityBytes = 256 << 10 // of a head as JSON
	MaxTreeDepth   = 64        // entities from a root down to its deepest descendant
	MaxChildren    = 1024      // of one entity
)

// Entity is the head of an entity: its present state. Values of components are
// what encoding/json makes of them with numbers kept as json.Number. An Entity in
// a cache or a Txn is shared and must not be changed in place.
type Entity struct {
	ID           uuid.UUID         `json:"id"`
	Name         string            `json:"name,omitempty"` // for people; the id never depends on it once made
	Type         string            `json:"type"`
	Place        Place             `json:"place"`
	Parent       uuid.UUID         `json:"parent_id,omitzero"`
	Children     []uuid.UUID       `json:"children,omitempty"` // sorted
	Revision     uint64            `json:"revision"`           // grows by one with each change of the head
	VersionCount uint64            `json:"version_count"`      // the number of the latest version
	BorrowCount  uint64            `json:"borrow_count"`
	Components   map[string]any    `json:"components"`
	Sources      map[string]Source `json:"attribute_sources,omitempty"`    // by field path
	History      []Modification    `json:"modification_history,omitempty"` // oldest first
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

// Source is the provenance of a borrowed field.
type Source struct {
	Entity   uuid.UUID `json:"entity"`
	Field    string    `json:"field"`
	Version  uint64    `json:"version,omitempty"` // the source's latest version then
	Revision uint64    `json:"revision"`
	OpID     uuid.UUID `json:"op_id"`
}

// Modification is an entry of an entity's history.
type Modification struct {
	Revision uint64             `json:"revision"`
	OpID     uuid.UUID          `json:"op_id"`
	OpType   operation.Type     `json:"op_type"`
	Time     time.Time          `json:"time"`
	Priority operation.Priority `json:"effective_priority,omitempty"`
	Depth    int                `json:"depth,omitempty"` // of the operation's chain of parents
}

// Version is an immutable snapshot of an entity. It is stored without the entity's
// history, which the present head has.
type Version struct {
	Entity uuid.UUID `json:"entity"`
	Number uint64    `json:"version"`
	OpID   uuid.UUID `json:"op_id"`
	Time   time.Time `json:"time"`
	Note   string    `json:"note,omitempty"`
	Head   *Entity   `json:"head"`
}

// Head is an entity with the stream sequence it was read or written at. A Head
// without entity says that there was none.
type Head struct {
	Entity   *Entity
	Sequence uint64
}
