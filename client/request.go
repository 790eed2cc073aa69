package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// OperationNamespace is the UUIDv5 namespace of names for operations.
var OperationNamespace = uuid.NewSHA1(operation.EntityNamespace, []byte("operations"))

// OperationID returns the op_id that text stands for: a UUID is itself, any other
// text is a name and becomes a UUIDv5 of [OperationNamespace].
func OperationID(text string) uuid.UUID {
	if id, err := uuid.Parse(text); err == nil && len(text) == 36 {
		return id
	}
	return uuid.NewSHA1(OperationNamespace, []byte(text))
}

// Request is an operation as people write it. Entities and operations may be given
// by id or by name; what is empty gets its default.
type Request struct {
	ID           string // default: a new one
	Type         operation.Type
	Target       string
	Priority     operation.Priority // default: normal
	Source       string
	Params       any // marshalled to JSON; its parent_id may be a name
	Parent       string
	ParentTarget string
	CreatedAt    time.Time
	MaxRetries   *int
	ExpiresAt    time.Time
	OnLoss       operation.OnLoss
}

// Operation turns the request into an operation. The name of an entity to be
// created is kept in params.name.
func (r Request) Operation() (*operation.Operation, error) {
	op := &operation.Operation{
		Type: r.Type, Priority: r.Priority, CreatedAt: r.CreatedAt,
		MaxRetries: r.MaxRetries, ExpiresAt: r.ExpiresAt, OnLoss: r.OnLoss,
	}
	for _, field := range []struct {
		text string
		to   *uuid.UUID
		id   func(string) uuid.UUID
	}{
		{r.ID, &op.ID, OperationID},
		{r.Target, &op.Target, operation.EntityID},
		{r.Source, &op.Source, operation.EntityID},
		{r.Parent, &op.ParentID, OperationID},
		{r.ParentTarget, &op.ParentTarget, operation.EntityID},
	} {
		if field.text != "" {
			*field.to = field.id(field.text)
		}
	}
	var err error
	op.Params, err = r.params()
	return op, err
}

// params marshals the parameters and puts names into them where they belong.
func (r Request) params() (json.RawMessage, error) {
	body, err := marshalParams(r.Params)
	if err != nil || r.Type != operation.CreateEntity && r.Type != operation.AttachEntity {
		return body, err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return body, nil //nolint:nilerr // the operation's own check will say what is wrong with it
	}
	changed := r.nameParent(fields)
	if r.Type == operation.CreateEntity && fields["name"] == nil && isName(r.Target) {
		fields["name"], err = json.Marshal(r.Target)
		changed = true
	}
	if err != nil || !changed {
		return body, err
	}
	return json.Marshal(fields)
}

// nameParent turns a name in parent_id into an id.
func (Request) nameParent(fields map[string]json.RawMessage) bool {
	var parent string
	if err := json.Unmarshal(fields["parent_id"], &parent); err != nil || !isName(parent) {
		return false
	}
	fields["parent_id"] = fmt.Appendf(nil, "%q", operation.EntityID(parent).String())
	return true
}

func isName(text string) bool { return text != "" && operation.EntityID(text).String() != text }

func marshalParams(params any) (json.RawMessage, error) {
	switch p := params.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return bytes.Clone(p), nil
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	return body, nil
}
