package ecsstore

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Get returns the value of a field of an entity and whether there is one. The value
// is shared and must not be changed.
func Get(e *Entity, path operation.Path) (any, bool) {
	var value any = e.Components
	for _, key := range path {
		var found bool
		if value, found = member(value, key); !found {
			return nil, false
		}
	}
	return value, true
}

// member returns the member of an object, or the element of an array, of that key.
func member(container any, key string) (any, bool) {
	switch c := container.(type) {
	case map[string]any:
		value, found := c[key]
		return value, found
	case []any:
		if i, ok := arrayIndex(key); ok && i < len(c) {
			return c[i], true
		}
	}
	return nil, false
}

// arrayIndex reads an index as JSON would write it: no sign, no leading zero.
func arrayIndex(key string) (int, bool) {
	i, err := strconv.Atoi(key)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == key
}

// editor changes the fields of one head, which it copies as far as needed: an
// object or array is copied when it is first changed and changed in place after
// that. An edit that fails leaves the head of no use.
type editor struct {
	head        *Entity // the editor's own
	owned       owned   // of head.Components
	ownsSources bool
}

// owned says of an object or array whether the editor may change it in place, and
// the same of what it holds. Its absence says no.
type owned struct {
	mine    bool
	members map[string]*owned
}

func (o *owned) member(key string) *owned {
	child, ok := o.members[key]
	if !ok {
		if o.members == nil {
			o.members = map[string]*owned{}
		}
		child = &owned{}
		o.members[key] = child
	}
	return child
}

// edit is one change of one field. The function leaf gets the present value and
// returns the new one, or gone.
type edit struct {
	path   operation.Path
	create bool // what is missing on the way comes to be
	leaf   func(old any, found bool) (any, error)
}

// gone is what a leaf returns for a field that is to be removed.
var gone any = new(struct{ _ byte })

// newEditor returns an editor of head, which must not be shared; what its fields
// refer to may be.
func newEditor(head *Entity) *editor { return &editor{head: head} }

// set puts a value. A field that is missing is refused unless create is true, and a
// value of another JSON type than the present one unless retype is; null is of every
// type.
func (ed *editor) set(path operation.Path, value any, create, retype bool) error {
	return ed.apply(edit{path: path, create: create, leaf: func(old any, found bool) (any, error) {
		if !found && !create {
			return nil, noField(path)
		}
		if found && !retype && old != nil && value != nil && typeOf(old) != typeOf(value) {
			return nil, operation.Refuse(operation.TypeMismatch, "field %s is of type %s, the new value of type %s: want retype", path, typeOf(old), typeOf(value))
		}
		return value, nil
	}})
}

// add adds a number to a field, which counts as 0 where it is missing, and returns
// the sum.
func (ed *editor) add(path operation.Path, number json.Number) (json.Number, error) {
	var total json.Number
	err := ed.apply(edit{path: path, create: true, leaf: func(old any, found bool) (any, error) {
		if !found {
			old = json.Number("0")
		}
		present, ok := old.(json.Number)
		if !ok {
			return nil, operation.Refuse(operation.NotANumber, "field %s is of type %s: only a number can be added to", path, typeOf(old))
		}
		total, ok = sum(present, number)
		if !ok {
			return nil, operation.Refuse(operation.NotANumber, "field %s: %s + %s is out of range", path, present, number)
		}
		return total, nil
	}})
	return total, err
}

// remove takes a field away. Elements of an array behind it move up, and nobody
// knows any more where those of the array came from.
func (ed *editor) remove(path operation.Path) error {
	err := ed.apply(edit{path: path, leaf: func(_ any, found bool) (any, error) {
		if !found {
			return nil, noField(path)
		}
		return gone, nil
	}})
	if err != nil || len(path) < 2 {
		return err
	}
	outer := path[:len(path)-1]
	if in, _ := Get(ed.head, outer); typeOf(in) == "array" {
		ed.forget(outer)
	}
	return nil
}

func noField(path operation.Path) error {
	return operation.Refuse(operation.FieldNotFound, "field %s does not exist", path)
}

func (ed *editor) apply(change edit) error {
	components, err := ed.owned.apply(ed.head.Components, change, 0)
	if err != nil {
		return err
	}
	ed.head.Components = components.(map[string]any)
	ed.forget(change.path)
	return nil
}

// apply makes an edit below a container that the path has reached with its first n
// keys, and returns the container that takes its place.
func (o *owned) apply(container any, ed edit, n int) (any, error) {
	switch c := container.(type) {
	case map[string]any:
		return o.applyObject(c, ed, n)
	case []any:
		return o.applyArray(c, ed, n)
	}
	if !ed.create {
		return nil, noField(ed.path)
	}
	return nil, operation.Refuse(operation.TypeMismatch, "field %s is of type %s: it has no %s", ed.path[:n], typeOf(container), ed.path[n])
}

func (o *owned) applyObject(c map[string]any, ed edit, n int) (any, error) {
	old, found := c[ed.path[n]]
	value, err := o.below(old, found, ed, n)
	if err != nil {
		return nil, err
	}
	if !o.mine {
		c, o.mine = cloneObject(c), true
	}
	if value == gone {
		delete(c, ed.path[n])
	} else {
		c[ed.path[n]] = value
	}
	return c, nil
}

func cloneObject(c map[string]any) map[string]any {
	if c == nil {
		return map[string]any{}
	}
	return maps.Clone(c)
}

func (o *owned) applyArray(c []any, ed edit, n int) (any, error) {
	i, ok := arrayIndex(ed.path[n])
	if !ok || i > len(c) || i == len(c) && !ed.create {
		return nil, operation.Refuse(operation.FieldNotFound, "field %s does not exist: %s is an array of %d", ed.path, ed.path[:n], len(c))
	}
	var old any
	if i < len(c) {
		old = c[i]
	}
	value, err := o.below(old, i < len(c), ed, n)
	if err != nil {
		return nil, err
	}
	if !o.mine {
		c, o.mine = slices.Clone(c), true
	}
	switch {
	case value == gone:
		o.members = nil // the elements behind change places
		return slices.Delete(c, i, i+1), nil
	case i == len(c):
		return append(c, value), nil
	}
	c[i] = value
	return c, nil
}

// below returns what takes the place of the member that the path names with its
// key n.
func (o *owned) below(old any, found bool, ed edit, n int) (any, error) {
	key := ed.path[n]
	if n == len(ed.path)-1 {
		delete(o.members, key) // another value comes there, which is not the editor's
		return ed.leaf(old, found)
	}
	child := o.member(key)
	if !found || old == nil {
		if !ed.create {
			return nil, noField(ed.path)
		}
		old, child.mine = map[string]any{}, true
	}
	return child.apply(old, ed, n+1)
}

// borrowed notes where the value of a field comes from.
func (ed *editor) borrowed(path operation.Path, s Source) {
	ed.ownSources()
	ed.head.Sources[path.String()] = s
}

// forget drops the provenance of whatever overlaps a field that changed: a
// borrowed value is only called so while it is what was borrowed.
func (ed *editor) forget(path operation.Path) {
	if len(ed.head.Sources) == 0 {
		return
	}
	changed := path.String()
	for field := range ed.head.Sources {
		if within(field, changed) || within(changed, field) {
			ed.ownSources()
			delete(ed.head.Sources, field)
		}
	}
	if len(ed.head.Sources) == 0 {
		ed.head.Sources, ed.ownsSources = nil, false // as it comes back from the store
	}
}

func (ed *editor) ownSources() {
	if ed.ownsSources {
		return
	}
	ed.ownsSources = true
	ed.head.Sources = maps.Clone(ed.head.Sources)
	if ed.head.Sources == nil {
		ed.head.Sources = map[string]Source{}
	}
}

// within reports whether field is outer or a part of it.
func within(field, outer string) bool {
	rest, ok := strings.CutPrefix(field, outer)
	return ok && (rest == "" || rest[0] == '.')
}

// typeOf names the JSON type of a decoded value.
func typeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}

// sum adds two numbers: exactly where both and the sum are integers of 64 bits, else
// as floating point numbers. It returns false if the sum has no finite value.
func sum(a, b json.Number) (json.Number, bool) {
	i, errA := a.Int64()
	j, errB := b.Int64()
	if total := i + j; errA == nil && errB == nil && (total > i) == (j > 0) {
		return json.Number(strconv.FormatInt(total, 10)), true
	}
	x, errA := a.Float64()
	y, errB := b.Float64()
	total := x + y
	if errA != nil || errB != nil || math.IsInf(total, 0) || math.IsNaN(total) {
		return "", false
	}
	text, err := json.Marshal(total)
	return json.Number(text), err == nil
}
