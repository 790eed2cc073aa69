package audit

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// contradicted returns the first field of an entity that an event says it has changed
// and that has another value in the entity's components.
func (e *event) contradicted(entity uuid.UUID, components []byte) (field string, told, stored []byte) {
	for i := range e.changes {
		c := &e.changes[i]
		if c.entity != entity || len(c.value) == 0 || !e.lasting(i) {
			continue
		}
		if have := lookUp(components, c.path); !bytes.Equal(have, c.value) {
			return c.path, c.value, have
		}
	}
	return "", nil, nil
}

// lasting reports whether a change sets a field of the components, and no other
// change of the same event may have altered that.
func (e *event) lasting(i int) bool {
	c := &e.changes[i]
	switch c.action { //nolint:exhaustive // the others change no components, or remove
	case operation.Set, operation.Added, operation.Borrowed:
	default:
		return false
	}
	for j := range e.changes {
		o := &e.changes[j]
		if j != i && o.entity == c.entity && (o.action == operation.Removed || related(o.path, c.path)) {
			return false
		}
	}
	return true
}

// related reports whether one path is the other, or leads to it.
func related(a, b string) bool {
	return strings.HasPrefix(a+".", b+".") || strings.HasPrefix(b+".", a+".")
}

// lookUp returns the text of the value at a path of a JSON document, nil if there is
// none.
func lookUp(document []byte, path string) []byte {
	for segment := range strings.SplitSeq(path, ".") {
		r := reader{data: document}
		document = r.child(segment)
		if r.err != nil || document == nil {
			return nil
		}
	}
	return document
}

// child returns the text of a member of an object, or of an element of an array.
func (r *reader) child(segment string) (found []byte) {
	switch r.next() {
	case '{':
		for key := range r.members() {
			if string(key) == segment {
				found = r.raw()
			}
		}
	case '[':
		index, err := strconv.Atoi(segment)
		for i := range r.elements() {
			if err == nil && i == index {
				found = r.raw()
			}
		}
	}
	return slices.Clip(found)
}
