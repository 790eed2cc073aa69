package operation

import (
	"bytes"

	"github.com/google/uuid"
)

// attribute finds the op_id of a document that was refused, so that its rejection
// can be told of (rule R14). It reads a document of any size and shape, broken or
// not, and returns Nil unless exactly one member at the top is called op_id, in
// whatever case, and it is spelled right and is an id.
func attribute(body []byte) uuid.UUID {
	var id uuid.UUID
	found, depth := 0, 0
	for i := 0; i < len(body); {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(body, i)
			if key := body[i:end]; depth == 1 && isOpID(key) && isKey(body[end:]) {
				found++
				id = idAfter(key, body[end:])
			}
			i = end
			continue
		}
		i++
	}
	if found != 1 {
		return uuid.Nil
	}
	return id
}

// stringEnd returns the position behind the string that begins at start.
func stringEnd(body []byte, start int) int {
	for i := start + 1; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(body)
}

// isKey reports whether a string before rest is a key.
func isKey(rest []byte) bool {
	s := scanner{data: rest}
	return s.space() == ':'
}

// isOpID reports whether a quoted string is op_id in any case.
func isOpID(quoted []byte) bool {
	const name = `"op_id"`
	if bytes.IndexByte(quoted, '\\') >= 0 && len(quoted) <= 6*len(name) {
		return bytes.EqualFold(unescape(quoted), []byte("op_id"))
	}
	return bytes.EqualFold(quoted, []byte(name))
}

// idAfter reads the id that stands as the value of key at the head of rest.
func idAfter(key, rest []byte) uuid.UUID {
	s := scanner{data: rest}
	s.space()
	s.pos++ // the colon
	if string(unescape(key)) != "op_id" || s.space() != '"' {
		return uuid.Nil
	}
	raw, err := s.text()
	if err != nil {
		return uuid.Nil
	}
	id, _ := parseID(unescape(raw))
	return id
}
