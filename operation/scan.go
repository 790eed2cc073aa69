package operation

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonKind is the JSON type of a value. Its text stands in messages.
type jsonKind string

const (
	objectKind jsonKind = "an object"
	arrayKind  jsonKind = "an array"
	stringKind jsonKind = "a string"
	numberKind jsonKind = "a number"
	boolKind   jsonKind = "a boolean"
	nullKind   jsonKind = "null"
)

// span is a value that a scanner has passed over. It lies in the document.
type span struct {
	kind jsonKind
	raw  []byte
}

// member is a member of an object: its name, free of escapes, and its value.
type member struct {
	key []byte
	span
}

// scanner passes over a JSON document once and holds it to the limits of the wire
// form before anything is built of it: depth, keys, nodes, keys given twice,
// invalid UTF-8, NUL, numbers without a finite value. It stops at the first fault.
// It does not allocate for a document without escapes.
type scanner struct {
	data  []byte
	pos   int
	nodes int
	depth int            // of open objects and arrays
	trail [MaxDepth]step // where it is in each of them
	seen  [][]byte       // the keys so far of the open objects, outermost first
}

// step is the present key of an open object, nil before there is one, or the present
// index of an open array.
type step struct {
	key   []byte
	array bool
	index int
}

// maxField is the greatest length of a field's name in an error, in bytes: it comes
// from the publisher and goes into events.
const maxField = 128

// where names the field at which the scanner is.
func (s *scanner) where() string {
	var b strings.Builder
	for i, at := range s.trail[:s.depth] {
		if i > 0 && (at.array || at.key != nil) {
			b.WriteByte('.')
		}
		if at.array {
			b.WriteString(strconv.Itoa(at.index))
		}
		b.Write(at.key)
	}
	if b.Len() == 0 {
		return wholeBody
	}
	return abridge(b.String(), maxField)
}

// abridge shortens text to about n bytes and makes it valid UTF-8 on one line: it may
// come to stand in a header.
func abridge(text string, n int) string {
	if len(text) > n {
		text = text[:n] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// fail blames the field at which the scanner is.
func (s *scanner) fail(format string, args ...any) error {
	return &InvalidError{Field: s.where(), Message: fmt.Sprintf(format, args...)}
}

// broken reports a breach of JSON's grammar at the present position.
func (s *scanner) broken(want string) error {
	if s.pos >= len(s.data) {
		return s.fail("bad JSON: the document ends where %s should be", want)
	}
	if c := s.data[s.pos]; c >= utf8.RuneSelf {
		return s.fail("bad JSON at byte %d: want %s, not byte 0x%x", s.pos, want, c)
	}
	return s.fail("bad JSON at byte %d: want %s, not %q", s.pos, want, s.data[s.pos])
}

// document passes over a document that must be one object and nothing more. The
// function visit is called as by object.
func (s *scanner) document(visit func(key []byte) error) error {
	if s.space() != '{' {
		return s.broken("an object")
	}
	s.nodes++
	if err := s.object(visit); err != nil {
		return err
	}
	if s.space(); s.pos < len(s.data) {
		return s.fail("data follows the document at byte %d", s.pos)
	}
	return nil
}

// space passes over white space and returns the byte behind it, 0 at the end.
func (s *scanner) space() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value passes over any value.
func (s *scanner) value() (span, error) {
	c := s.space()
	if s.nodes++; s.nodes > MaxNodes {
		return span{}, s.fail("more than %d values in one document", MaxNodes)
	}
	start := s.pos
	kind, err := s.of(c)
	if err != nil {
		return span{}, err
	}
	return span{kind: kind, raw: s.data[start:s.pos]}, nil
}

// of passes over a value that begins with c.
func (s *scanner) of(c byte) (jsonKind, error) {
	switch c {
	case '{':
		return objectKind, s.object(nil)
	case '[':
		return arrayKind, s.array(nil)
	case '"':
		_, err := s.text()
		return stringKind, err
	case 't':
		return boolKind, s.literal("true")
	case 'f':
		return boolKind, s.literal("false")
	case 'n':
		return nullKind, s.literal("null")
	}
	return numberKind, s.number()
}

func (s *scanner) literal(text string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(text)) {
		return s.broken("a value")
	}
	s.pos += len(text)
	return nil
}

// open enters an object or array.
func (s *scanner) open(array bool) error {
	if s.depth == MaxDepth {
		return s.fail("objects and arrays are nested more than %d deep", MaxDepth)
	}
	s.trail[s.depth] = step{array: array}
	s.depth++
	s.pos++
	return nil
}

// object passes over an object. The function visit is called for each key and must
// pass over its value; nil passes over any.
func (s *scanner) object(visit func(key []byte) error) error {
	if err := s.open(false); err != nil {
		return err
	}
	first := len(s.seen)
	for n := 0; s.more(n, '}'); n++ {
		if err := s.key(first); err != nil {
			return err
		}
		if err := s.visit(visit); err != nil {
			return err
		}
	}
	s.seen = s.seen[:first]
	return s.close('}')
}

// visit passes over the value of the present key.
func (s *scanner) visit(visit func(key []byte) error) error {
	if visit != nil {
		return visit(s.trail[s.depth-1].key)
	}
	_, err := s.value()
	return err
}

// array passes over an array. The function visit is called for each element.
func (s *scanner) array(visit func(element span) error) error {
	if err := s.open(true); err != nil {
		return err
	}
	for n := 0; s.more(n, ']'); n++ {
		s.trail[s.depth-1].index = n
		element, err := s.value()
		if err != nil {
			return err
		}
		if visit == nil {
			continue
		}
		if err := visit(element); err != nil {
			return err
		}
	}
	return s.close(']')
}

// more passes over the comma behind n members and reports whether another one is to
// come. What is neither comma nor end is left to close, which complains of it.
func (s *scanner) more(n int, end byte) bool {
	c := s.space()
	if n == 0 {
		return c != end
	}
	if c != ',' {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) close(end byte) error {
	if s.space() != end {
		return s.broken(fmt.Sprintf("',' or '%c'", end))
	}
	s.pos++
	s.depth--
	return nil
}

// key passes over the next key of the object whose keys begin at first, and its
// colon, and makes it the present key.
func (s *scanner) key(first int) error {
	at := &s.trail[s.depth-1]
	at.key = nil
	if s.space() != '"' {
		return s.broken("a key")
	}
	raw, err := s.text()
	if err != nil {
		return err
	}
	at.key = unescape(raw)
	for _, other := range s.seen[first:] {
		if bytes.Equal(other, at.key) {
			return s.fail("the key is given twice")
		}
	}
	if len(s.seen)-first == MaxKeys {
		s.depth--
		return s.fail("more than %d keys in one object", MaxKeys)
	}
	s.seen = append(s.seen, at.key)
	if s.space() != ':' {
		return s.broken("':'")
	}
	s.pos++
	return nil
}
