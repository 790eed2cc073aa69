package operation

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// param is what a built-in type demands of one of its params.
type param struct {
	name     string
	required bool
	check    func(span) error // of a value without faults of the wire form
}

// builtinParams lists the params of the built-in types. It is never changed.
var builtinParams = map[Type][]param{
	CreateEntity: {
		{"type", true, short(MaxTextBytes)},
		{"components", true, checkComponents},
		{"name", false, short(MaxNameBytes)},
		{"parent_id", false, checkID},
		{"orphan", false, checkFlag},
	},
	VersionEntity: {{"note", false, short(MaxTextBytes)}},
	ComplexUpdate: {
		{"set", false, checkSet},
		{"add", false, checkAdd},
		{"remove", false, checkRemove},
		{"retype", false, checkFlag},
		{"create", false, checkFlag},
	},
	ModifyField: {
		{"field", true, checkPathValue},
		{"value", true, nil},
		{"retype", false, checkFlag},
		{"create", false, checkFlag},
	},
	BorrowAttribute: {
		{"source_field", true, checkPathValue},
		{"target_field", true, checkPathValue},
		{"retype", false, checkFlag},
		{"create", false, checkFlag},
	},
	PromoteToRoot: {},
	DetachEntity:  {},
	AttachEntity:  {{"parent_id", true, checkID}},
	DeleteEntity:  {},
}

// typed checks the type and what it demands.
func (d *decoder) typed(custom func(Type) bool) error {
	params, builtin := builtinParams[d.op.Type]
	switch {
	case !builtin && (custom == nil || !custom(d.op.Type)):
		return invalid("op_type", "unknown type %q", abridge(string(d.op.Type), maxQuoted))
	case !builtin:
		return d.ambiguousParams()
	case d.op.Type == BorrowAttribute && d.op.Source == uuid.Nil:
		return invalid("source_entity_id", "missing: %s wants it", d.op.Type)
	}
	for _, m := range d.params {
		if err := checkParam(params, m); err != nil {
			return err
		}
	}
	for _, p := range params {
		if p.required && !slices.ContainsFunc(d.params, func(m member) bool { return string(m.key) == p.name }) {
			return invalid("params."+p.name, "missing: %s wants it", d.op.Type)
		}
	}
	return d.together()
}

func checkParam(params []param, m member) error {
	i := slices.IndexFunc(params, func(p param) bool { return p.name == string(m.key) })
	if i < 0 {
		return within(m.key, invalid("", "%s", unknownField(m.key, paramNames(params))))
	}
	if params[i].check == nil {
		return nil
	}
	return within(m.key, params[i].check(m.span))
}

// within puts the name of a param before the field that an error blames.
func within(name []byte, err error) error {
	e, ok := err.(*InvalidError) //nolint:errorlint // checks return it bare
	if !ok {
		return err
	}
	field := "params." + string(name)
	if e.Field != "" {
		field += "." + e.Field
	}
	e.Field = abridge(field, maxField)
	return e
}

func paramNames(params []param) []string {
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.name
	}
	return names
}

// ambiguousParams refuses params of a custom type whose names differ only in case:
// encoding/json would take the one for the other.
func (d *decoder) ambiguousParams() error {
	for i, m := range d.params {
		for _, other := range d.params[:i] {
			if bytes.EqualFold(m.key, other.key) {
				return within(m.key, invalid("", "the key is given twice, as %q too", abridge(string(other.key), maxQuoted)))
			}
		}
	}
	return nil
}

// together checks what no param shows alone.
func (d *decoder) together() error {
	switch d.op.Type {
	case CreateEntity:
		orphan := string(d.param("orphan").raw) == "true"
		if orphan && d.param("parent_id").kind != "" {
			return invalid("params.orphan", "an orphan has no parent, but parent_id is given")
		}
	case ComplexUpdate:
		return d.update()
	}
	return nil
}

// param returns the value of a param; its kind is empty if there is none.
func (d *decoder) param(name string) span {
	for _, m := range d.params {
		if string(m.key) == name {
			return m.span
		}
	}
	return span{}
}

// update checks that the paths of a complex update do not meddle with each other.
func (d *decoder) update() error {
	var paths [][]byte
	for _, name := range []string{"set", "add", "remove"} {
		paths = appendPaths(paths, d.param(name))
	}
	if len(paths) == 0 {
		return invalid("params", "want at least one change in set, add or remove")
	}
	slices.SortFunc(paths, comparePaths)
	for i, path := range paths[1:] {
		if rest, ok := bytes.CutPrefix(path, paths[i]); ok && (len(rest) == 0 || rest[0] == '.') {
			return invalid("params", "path %q is changed twice: %q is equal or lies above it",
				abridge(string(path), maxQuoted), abridge(string(paths[i]), maxQuoted))
		}
	}
	return nil
}

// appendPaths appends the keys of an object or the strings of an array.
func appendPaths(paths [][]byte, v span) [][]byte {
	s := scanner{data: v.raw}
	var err error
	switch v.kind {
	case objectKind:
		err = s.object(func(key []byte) error {
			paths = append(paths, key)
			_, err := s.value()
			return err
		})
	case arrayKind:
		err = s.array(func(element span) error {
			paths = append(paths, unescape(element.raw))
			return nil
		})
	case stringKind, numberKind, boolKind, nullKind:
	}
	if err != nil {
		return nil // the document has been passed over before
	}
	return paths
}

// comparePaths orders paths so that those which begin with another follow it at once.
func comparePaths(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '.':
			return -1
		case b[i] == '.':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

func want(kind jsonKind, v span) error {
	if v.kind != kind {
		return invalid("", "want %s, not %s", kind, v.kind)
	}
	return nil
}

func checkFlag(v span) error { return want(boolKind, v) }

func checkID(v span) error {
	var id uuid.UUID
	s := scanner{}
	err := s.id(v, &id)
	return unnamed(err)
}

// unnamed takes the name of the field from an error of a scanner without document.
func unnamed(err error) error {
	if e, ok := err.(*InvalidError); ok { //nolint:errorlint // scanners return it bare
		e.Field = ""
	}
	return err
}

func short(limit int) func(span) error {
	return func(v span) error {
		if problem := checkShort(v, limit); problem != "" {
			return invalid("", "%s", problem)
		}
		return nil
	}
}

func checkPathValue(v span) error {
	if err := want(stringKind, v); err != nil {
		return err
	}
	if problem := checkPath(string(unescape(v.raw))); problem != "" {
		return invalid("", "no path: %s", problem)
	}
	return nil
}

// eachMember calls visit for the members of a value that must be an object.
func eachMember(v span, visit func(key string, value span) error) error {
	if err := want(objectKind, v); err != nil {
		return err
	}
	s := scanner{data: v.raw}
	return s.object(func(key []byte) error {
		value, err := s.value()
		if err != nil {
			return err
		}
		return visit(string(key), value)
	})
}

func checkComponents(v span) error {
	return eachMember(v, func(key string, _ span) error {
		if strings.Contains(key, ".") {
			return invalid(key, "the name of a component has no dots")
		}
		return checkKeyPath(key)
	})
}

func checkKeyPath(key string) error {
	if problem := checkPath(key); problem != "" {
		return invalid(abridge(key, maxQuoted), "no path: %s", problem)
	}
	return nil
}

func checkSet(v span) error {
	return eachMember(v, func(key string, _ span) error { return checkKeyPath(key) })
}

func checkAdd(v span) error {
	return eachMember(v, func(key string, value span) error {
		if value.kind != numberKind {
			return invalid(key, "want a number, not %s", value.kind)
		}
		return checkKeyPath(key)
	})
}

func checkRemove(v span) error {
	if err := want(arrayKind, v); err != nil {
		return err
	}
	s, n := scanner{data: v.raw}, 0
	return s.array(func(element span) error {
		err := checkPathValue(element)
		if e, ok := err.(*InvalidError); ok { //nolint:errorlint // checks return it bare
			e.Field = fmt.Sprint(n)
		}
		n++
		return err
	})
}
