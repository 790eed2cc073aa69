package ecsstore

import (
	"encoding/json"
	"unicode/utf8"
)

// What a head takes besides what is measured, as JSON. The room of a full history
// is always counted, so that an entity never grows too large by being changed often.
const (
	frameBytes   = 512 // ids, place, counters, times, names of fields
	entryBytes   = 256 // of a modification
	childBytes   = 39  // of an id in a list
	sourceBytes  = 256 // of a source without its paths
	escapedBytes = 6   // of a character written as \u and four digits
)

// headSize returns a close upper bound of the length of e as JSON, with the room of
// a full history.
func headSize(e *Entity) int {
	size := frameBytes + MaxHistory*entryBytes + childBytes*len(e.Children)
	size += stringSize(e.Name) + stringSize(e.Type) + valueSize(e.Components)
	for field, s := range e.Sources {
		size += sourceBytes + stringSize(field) + stringSize(s.Field)
	}
	return size
}

// valueSize returns the length of a decoded JSON value as encoding/json writes it.
func valueSize(v any) int {
	switch v := v.(type) {
	case map[string]any:
		size := 1 + max(1, len(v)) // braces and commas
		for key, member := range v {
			size += stringSize(key) + 1 + valueSize(member)
		}
		return size
	case []any:
		size := 1 + max(1, len(v))
		for _, element := range v {
			size += valueSize(element)
		}
		return size
	case string:
		return stringSize(v)
	case json.Number:
		return len(v)
	case bool:
		if v {
			return len("true")
		}
		return len("false")
	case nil:
		return len("null")
	}
	text, err := json.Marshal(v) // no value of ours: a system of somebody else's made it
	if err != nil {
		return MaxEntityBytes + 1
	}
	return len(text)
}

// stringSize returns the length of a string as JSON: quotes and escapes included.
func stringSize(s string) int {
	size := 2
	for i := 0; i < len(s); {
		r, width := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRuneInString(s[i:])
		}
		size += runeSize(r, width)
		i += width
	}
	return size
}

func runeSize(r rune, width int) int {
	switch {
	case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
		return len(`\n`)
	case r < ' ', r == '<', r == '>', r == '&', r == '\u2028', r == '\u2029':
		return escapedBytes
	case r == utf8.RuneError && width == 1:
		return escapedBytes
	}
	return width
}
