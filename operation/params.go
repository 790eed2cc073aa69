package operation

import (
	"bytes"
	"encoding/json"

	"github.com/google/uuid"
)

// CreateParams are the params of [CreateEntity].
type CreateParams struct {
	Type       string         `json:"type"`
	Components map[string]any `json:"components"`
	Name       string         `json:"name,omitempty"`
	ParentID   uuid.UUID      `json:"parent_id,omitzero"` // makes it a child
	Orphan     bool           `json:"orphan,omitempty"`   // leaves it out of every tree; excludes a parent
}

// MarshalJSON writes the components of an entity that has none as an empty object:
// they are required.
func (p CreateParams) MarshalJSON() ([]byte, error) {
	type plain CreateParams
	if p.Components == nil {
		p.Components = map[string]any{}
	}
	return json.Marshal(plain(p))
}

// VersionParams are the params of [VersionEntity].
type VersionParams struct {
	Note string `json:"note,omitempty"`
}

// UpdateParams are the params of [ComplexUpdate]. There is at least one change, and
// no path is equal to or the beginning of another.
type UpdateParams struct {
	Set    map[string]any         `json:"set,omitempty"` // by path
	Add    map[string]json.Number `json:"add,omitempty"` // by path
	Remove []string               `json:"remove,omitempty"`
	Retype bool                   `json:"retype,omitempty"` // a value may be of another JSON type than before
	Create bool                   `json:"create,omitempty"` // accepted, and without effect: what is set need not exist
}

// ModifyParams are the params of [ModifyField].
type ModifyParams struct {
	Field  string `json:"field"` // a path
	Value  any    `json:"value"`
	Retype bool   `json:"retype,omitempty"`
	Create bool   `json:"create,omitempty"`
}

// BorrowParams are the params of [BorrowAttribute].
type BorrowParams struct {
	SourceField string `json:"source_field"` // a path
	TargetField string `json:"target_field"` // a path
	Retype      bool   `json:"retype,omitempty"`
	Create      bool   `json:"create,omitempty"`
}

// AttachParams are the params of [AttachEntity].
type AttachParams struct {
	ParentID uuid.UUID `json:"parent_id"`
}

// ParamsOf returns the params of an operation as a T: one of the types above for a
// built-in type of operation, whatever fits for another. Numbers among values of
// type any are of type [json.Number], so that none loses digits. What does not fit
// is a permanent [Failure].
func ParamsOf[T any](o *Operation) (T, error) {
	var params T
	if len(o.Params) == 0 {
		return params, nil
	}
	dec := json.NewDecoder(bytes.NewReader(o.Params))
	dec.UseNumber()
	if err := dec.Decode(&params); err != nil {
		return params, Refuse(Invalid, "params of %s: %v", o.Type, err)
	}
	return params, nil
}

// WithParams sets the params of an operation.
func (o *Operation) WithParams(params any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return Refuse(Invalid, "params of %s: %v", o.Type, err)
	}
	o.Params = body
	return nil
}
