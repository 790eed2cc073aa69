package ecsstore

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxComponentDepth limits how deep objects and arrays nest in an entity's
// components, the object of all components included.
const MaxComponentDepth = 32

// What a head takes besides what is measured, as JSON. The room of a full history
// is always counted, so that an entity never grows too large by being changed often.
const (
	frameBytes   = 512 // ids, place, counters, times, names of fields
	entryBytes   = 256 // of a modification
	childBytes   = 39  // of an id in a list
	sourceBytes  = 256 // of a source without its paths
	escapedBytes = 6   // of a character written as \u and four digits
)

// measure is what an entity's components come to.
type measure struct {
	size    int         // as encoding/json writes them
	depth   int         // of nested objects and arrays
	foreign any         // a value that decoding JSON does not make, where there is one
	huge    json.Number // one that is no finite 64-bit floating point number, likewise
}

// headSize returns a close upper bound of the length of e as JSON whose components
// take that many bytes, with the room of a full history.
func headSize(e *Entity, components int) int {
	size := frameBytes + MaxHistory*entryBytes + childBytes*len(e.Children) + components
	size += stringSize(e.Name) + stringSize(e.Type)
	for field, s := range e.Sources {
		size += sourceBytes + stringSize(field) + stringSize(s.Field)
	}
	return size
}

// value measures a decoded JSON value at a depth.
func (m *measure) value(v any, depth int) {
	switch v := v.(type) {
	case map[string]any:
		m.nest(len(v), depth+1)
		for key, member := range v {
			m.size += stringSize(key) + len(":")
			m.value(member, depth+1)
		}
	case []any:
		m.nest(len(v), depth+1)
		for _, element := range v {
			m.value(element, depth+1)
		}
	case string:
		m.size += stringSize(v)
	case json.Number:
		m.number(v)
	case bool:
		m.size += len("false")
	case nil:
		m.size += len("null")
	default:
		m.foreign = v
	}
}

// nest counts the braces and commas of an object or array.
func (m *measure) nest(members, depth int) {
	m.size += 1 + max(1, members)
	m.depth = max(m.depth, depth)
}

func (m *measure) number(n json.Number) {
	m.size += len(n)
	switch {
	case !isNumber(string(n)):
		m.foreign = n
	case !finite(string(n)):
		m.huge = n
	}
}

// finite reports whether a JSON number is one that readers can take: a 64-bit floating
// point number. Only an exponent or very many digits make it too large.
func finite(number string) bool {
	if len(number) < 300 && !strings.ContainsAny(number, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(number, 64)
	return err == nil
}

// isNumber reports whether text is a JSON number. Most are short integers.
func isNumber(text string) bool {
	if text == "" || !isDigit(text[len(text)-1]) || text[0] != '-' && !isDigit(text[0]) {
		return false // what json.Valid would take for another value or for space
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return json.Valid([]byte(text))
		}
	}
	return text[0] != '0' || len(text) == 1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// asciiSize is the length of each ASCII character in a JSON string.
var asciiSize = func() (size [utf8.RuneSelf]uint8) {
	for c := range size {
		size[c] = 1
		if c < ' ' || c == '<' || c == '>' || c == '&' {
			size[c] = escapedBytes
		}
	}
	for _, c := range "\"\\\n\r\t\b\f" {
		size[c] = uint8(len(`\n`))
	}
	return size
}()

// stringSize returns the length of a string as JSON: quotes and escapes included.
func stringSize(s string) int {
	size := len(`""`)
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			size += int(asciiSize[c])
			i++
			continue
		}
		r, width := utf8.DecodeRuneInString(s[i:])
		if r == '\u2028' || r == '\u2029' || r == utf8.RuneError && width == 1 {
			size += escapedBytes
		} else {
			size += width
		}
		i += width
	}
	return size
}
