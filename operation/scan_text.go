package operation

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDigits is the greatest number of digits of a number.
const maxDigits = 64

// text passes over a string and returns it with its quotes.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	for s.pos++; s.pos < len(s.data); {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start:s.pos], nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, s.fail("bad JSON at byte %d: a control character in a string", s.pos)
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return nil, s.fail("invalid UTF-8 at byte %d", s.pos)
			}
			s.pos += size
		}
	}
	return nil, s.broken("the end of a string")
}

// escape passes over an escape sequence. A surrogate must be one of a pair.
func (s *scanner) escape() error {
	if rest := s.data[s.pos+1:]; len(rest) > 0 && bytes.IndexByte([]byte(`"\/bfnrt`), rest[0]) >= 0 {
		s.pos += 2
		return nil
	}
	r, ok := s.unit(s.pos)
	if !ok {
		return s.fail("bad JSON at byte %d: an unknown escape sequence", s.pos)
	}
	if r == 0 {
		return s.fail("a NUL at byte %d", s.pos)
	}
	at := s.pos
	s.pos += len(`\u0000`)
	if !utf16.IsSurrogate(r) {
		return nil
	}
	low, _ := s.unit(s.pos)
	if utf16.DecodeRune(r, low) == utf8.RuneError {
		return s.fail("half a surrogate pair at byte %d", at)
	}
	s.pos += len(`\u0000`)
	return nil
}

// unit reads the UTF-16 unit of an escape sequence at a position.
func (s *scanner) unit(at int) (rune, bool) {
	if len(s.data) < at+6 || s.data[at] != '\\' || s.data[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.data[at+2 : at+6] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unescape returns what a string that was passed over stands for. It shares the
// document where the string has no escapes.
func unescape(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil // the scanner has seen that it is a string
	}
	return []byte(text)
}

// number passes over a number that has a finite float64.
func (s *scanner) number() error {
	start := s.pos
	s.accept('-')
	whole := s.pos
	digits := s.digits()
	if digits == 0 {
		s.pos = start
		return s.broken("a value")
	}
	if digits > 1 && s.data[whole] == '0' {
		s.pos = whole + 1
		return s.broken("no digit behind a leading zero")
	}
	if s.accept('.') {
		n := s.digits()
		if n == 0 {
			return s.broken("a digit")
		}
		digits += n
	}
	if digits > maxDigits {
		return s.fail("a number of more than %d digits", maxDigits)
	}
	return s.exponent(start, digits)
}

// exponent passes over the exponent of the number that begins at start, if it has
// one. Without an exponent the digits alone keep a number finite.
func (s *scanner) exponent(start, digits int) error {
	if !s.accept('e') && !s.accept('E') {
		return nil
	}
	if !s.accept('-') {
		s.accept('+')
	}
	n := s.digits()
	if n == 0 {
		return s.broken("a digit")
	}
	if digits+n > maxDigits {
		return s.fail("a number of more than %d digits", maxDigits)
	}
	if f, err := strconv.ParseFloat(string(s.data[start:s.pos]), 64); err != nil || math.IsInf(f, 0) {
		return s.fail("a number out of range: want a finite 64-bit floating point number")
	}
	return nil
}

func (s *scanner) accept(c byte) bool {
	if s.pos == len(s.data) || s.data[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// digits passes over digits and returns how many there were.
func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}
