package operation

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxPathBytes is the greatest length of a path as text.
const MaxPathBytes = 256

// Path names a field of an entity: the keys of objects and indexes of arrays on the
// way to it, of which there is at least one.
type Path []string

// ParsePath reads a path as it is written: its segments, joined by dots.
func ParsePath(text string) (Path, error) {
	if problem := checkPath(text); problem != "" {
		return nil, fmt.Errorf("path %q: %s", abridge(text, maxQuoted), problem)
	}
	return strings.Split(text, "."), nil
}

// String returns the path as it is written.
func (p Path) String() string { return strings.Join(p, ".") }

// checkPath says what is wrong with a path, or nothing.
func checkPath(text string) string {
	if text == "" {
		return "it is empty"
	}
	if len(text) > MaxPathBytes {
		return fmt.Sprintf("it takes %d bytes, at most %d are allowed", len(text), MaxPathBytes)
	}
	if n := strings.Count(text, ".") + 1; n > MaxDepth {
		return fmt.Sprintf("it has %d segments, at most %d are allowed", n, MaxDepth)
	}
	if text[0] == '.' || text[len(text)-1] == '.' || strings.Contains(text, "..") {
		return "a segment is empty"
	}
	return checkText(text)
}

// checkText says what is wrong with the characters of a text, or nothing.
func checkText(text string) string {
	if !utf8.ValidString(text) {
		return "it is not valid UTF-8"
	}
	if strings.IndexByte(text, 0) >= 0 {
		return "it has a NUL"
	}
	return ""
}

// Address names an entity, one of its versions or its head, and a field of that or
// all of it: @valve-7, @valve-7.position.x, @valve-7~3.position.x.
type Address struct {
	Entity  string // an id or a name, see [Address.ID]
	Version uint64 // 0 is the head
	Path    Path   // nil is all of it
}

// ParseAddress reads an address.
func ParseAddress(text string) (Address, error) {
	rest, ok := strings.CutPrefix(text, "@")
	if !ok {
		return Address{}, addressError(text, "it does not begin with @")
	}
	head, path, dotted := strings.Cut(rest, ".")
	entity, version, numbered := strings.Cut(head, "~")
	a := Address{Entity: entity}
	if entity == "" || len(entity) > MaxNameBytes {
		return Address{}, addressError(text, fmt.Sprintf("want an id or a name of 1 to %d bytes behind the @", MaxNameBytes))
	}
	if problem := checkText(entity); problem != "" {
		return Address{}, addressError(text, problem)
	}
	if numbered {
		n, err := strconv.ParseUint(version, 10, 64)
		if err != nil || n == 0 || version[0] == '0' {
			return Address{}, addressError(text, "want a version number behind the ~")
		}
		a.Version = n
	}
	if dotted {
		p, err := ParsePath(path)
		if err != nil {
			return Address{}, addressError(text, err.Error())
		}
		a.Path = p
	}
	return a, nil
}

func addressError(text, problem string) error {
	return fmt.Errorf("address %q: %s", abridge(text, maxQuoted), problem)
}

// ID returns the id of the entity that the address names.
func (a Address) ID() uuid.UUID { return EntityID(a.Entity) }

// String returns the address as it is written.
func (a Address) String() string {
	text := "@" + a.Entity
	if a.Version > 0 {
		text += "~" + strconv.FormatUint(a.Version, 10)
	}
	if len(a.Path) > 0 {
		text += "." + a.Path.String()
	}
	return text
}
