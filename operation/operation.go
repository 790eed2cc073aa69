package operation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Type names what an operation does. The nine built-in types are constants; a
// worker may register systems for more.
type Type string

// The built-in types.
const (
	CreateEntity    Type = "create_entity"
	VersionEntity   Type = "version_entity"
	ComplexUpdate   Type = "complex_update"
	ModifyField     Type = "modify_field"
	BorrowAttribute Type = "borrow_attribute"
	PromoteToRoot   Type = "promote_to_root"
	DetachEntity    Type = "detach_entity"
	AttachEntity    Type = "attach_entity"
	DeleteEntity    Type = "delete_entity"
)

// BuiltinTypes lists the built-in types.
func BuiltinTypes() []Type {
	return []Type{
		CreateEntity, VersionEntity, ComplexUpdate, ModifyField, BorrowAttribute,
		PromoteToRoot, DetachEntity, AttachEntity, DeleteEntity,
	}
}

// OnLoss says what becomes of an operation that loses its window.
type OnLoss string

// What may become of a loser. The empty value means [Reject].
const (
	Reject OnLoss = "reject" // it ends
	Carry  OnLoss = "carry"  // it contends again in the next windows
)

// Limits of the wire form, in the units their names say.
const (
	MaxBytes         = 64 << 10 // of one operation's JSON document
	MaxDepth         = 16       // of nested objects and arrays
	MaxKeys          = 256      // of one object
	MaxNodes         = 4096     // values of one document
	MaxRetriesLimit  = 20       // the greatest max_retries
	DefaultRetries   = 3        // where max_retries is absent
	MaxParentDepth   = 64       // operations in a chain of parents, the operation itself included
	MaxNameBytes     = 256      // of an entity's name
	MaxTypeNameBytes = 64       // of an op_type
	MaxTextBytes     = 1024     // of a note, a cancellation's reason or an entity's type
)

// Operation is one requested change of one target entity. It is immutable; ID is
// also its deduplication key.
type Operation struct {
	ID           uuid.UUID       `json:"op_id"`
	Type         Type            `json:"op_type"`
	Target       uuid.UUID       `json:"target_entity_id"`
	Priority     Priority        `json:"priority"`
	Source       uuid.UUID       `json:"source_entity_id,omitzero"`
	Params       json.RawMessage `json:"params,omitempty"`
	ParentID     uuid.UUID       `json:"parent_op_id,omitzero"`
	ParentTarget uuid.UUID       `json:"parent_target_entity_id,omitzero"`
	CreatedAt    time.Time       `json:"created_at,omitzero"`
	MaxRetries   *int            `json:"max_retries,omitempty"`
	ExpiresAt    time.Time       `json:"expires_at,omitzero"`
	OnLoss       OnLoss          `json:"on_loss,omitempty"`
}

// Retries returns how often a failed attempt is repeated.
func (o *Operation) Retries() int {
	if o.MaxRetries == nil {
		return DefaultRetries
	}
	return *o.MaxRetries
}

// Parent returns the operation's reference to its parent and whether it has one.
func (o *Operation) Parent() (Ref, bool) {
	if o.ParentID == uuid.Nil {
		return Ref{}, false
	}
	target := o.ParentTarget
	if target == uuid.Nil {
		target = o.Target
	}
	return Ref{Target: target, ID: o.ParentID}, true
}

// Ref returns the reference under which other operations name o as their parent.
func (o *Operation) Ref() Ref { return Ref{Target: o.Target, ID: o.ID} }

// Digest identifies the operation's content: the same id with another digest is
// another operation that took the id (rule R9). It is the same before the operation
// is encoded and after it was decoded.
func (o *Operation) Digest() string {
	content := *o
	content.CreatedAt, content.ExpiresAt = o.CreatedAt.UTC(), o.ExpiresAt.UTC()
	body, err := json.Marshal(&content)
	if err != nil {
		body = fmt.Appendf(nil, "%+v", content)
	}
	return DigestOf(body)
}

// DigestOf returns the first eight bytes of the SHA-256 of data, in hexadecimal.
func DigestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Ref names an operation by the entity it targets and its id.
type Ref struct {
	Target uuid.UUID `json:"target_entity_id"`
	ID     uuid.UUID `json:"op_id"`
}

// Cancel asks that an operation which is not executing be given up (rule R17).
type Cancel struct {
	ID     uuid.UUID `json:"cancel_id"`
	OpID   uuid.UUID `json:"op_id"`
	Reason string    `json:"reason,omitempty"`
}

// EntityNamespace is the UUIDv5 namespace of entity names.
var EntityNamespace = uuid.MustParse("6f1d8b0e-5a0c-5e0f-9c0e-7b6a1f3f2d10")

// EntityID returns the id that text stands for: a UUID is itself, any other text
// is a name and becomes a UUIDv5 of [EntityNamespace].
func EntityID(text string) uuid.UUID {
	if id, err := uuid.Parse(text); err == nil && len(text) == 36 {
		return id
	}
	return uuid.NewSHA1(EntityNamespace, []byte(text))
}
