package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// reader walks over a JSON document and builds nothing but what it is asked for:
// most of what the streams hold is of no interest to the audit. It takes any bytes;
// the first thing that is not what was asked for ends the walk and is kept in err.
// What it passes over is not checked for being good JSON.
type reader struct {
	data []byte
	pos  int
	err  error
}

func (r *reader) fail(want string) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: want %s", r.pos, want)
	}
	r.pos = len(r.data)
}

// next passes over white space and returns the byte there, 0 at the end.
func (r *reader) next() byte {
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.pos++
	return true
}

// null passes over a null and reports whether there was one.
func (r *reader) null() bool {
	if r.next() != 'n' || !bytes.HasPrefix(r.data[r.pos:], []byte("null")) {
		return false
	}
	r.pos += len("null")
	return true
}

// members yields the keys of an object. A loop that does not read the value of a key
// skips it, and does not break. Null is an object without members.
func (r *reader) members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if r.null() {
			return
		}
		if !r.take('{') {
			r.fail("an object")
			return
		}
		if r.take('}') {
			return
		}
		for r.err == nil {
			key := r.text()
			if !r.take(':') {
				r.fail("a key and a colon")
				return
			}
			if !r.each(func() bool { return yield(key) }, '}') {
				return
			}
		}
	}
}

// elements yields once for each element of an array, which the loop reads or else
// skips, and does not break. Null is an array without elements.
func (r *reader) elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		if r.null() {
			return
		}
		if !r.take('[') {
			r.fail("an array")
			return
		}
		if r.take(']') {
			return
		}
		for i := 0; r.err == nil; i++ {
			if !r.each(func() bool { return yield(i) }, ']') {
				return
			}
		}
	}
}

// each has a value read and reports whether another one follows.
func (r *reader) each(yield func() bool, end byte) bool {
	before := r.pos
	if !yield() {
		return false
	}
	if r.pos == before {
		r.skip()
	}
	if r.take(',') {
		return true
	}
	if !r.take(end) {
		r.fail("a comma or " + string(end))
	}
	return false
}

// skip passes over a value.
func (r *reader) skip() {
	for depth := 0; ; {
		switch r.next() {
		case 0:
			r.fail("a value")
			return
		case '{', '[':
			depth++
			r.pos++
		case '}', ']':
			depth--
			r.pos++
		case ',', ':':
			r.pos++
			if depth == 0 {
				r.fail("a value")
			}
		case '"':
			r.quoted()
		default:
			r.scalar()
		}
		if depth <= 0 || r.err != nil {
			return
		}
	}
}

// quoted passes over a string and returns what stands between its quotes.
func (r *reader) quoted() []byte {
	if !r.take('"') {
		r.fail("a string")
		return nil
	}
	start := r.pos
	for {
		end := bytes.IndexByte(r.data[r.pos:], '"')
		if end < 0 {
			r.fail("the end of a string")
			return nil
		}
		r.pos += end + 1
		slashes := 0
		for i := r.pos - 2; i >= start && r.data[i] == '\\'; i-- {
			slashes++
		}
		if slashes%2 == 0 {
			return r.data[start : r.pos-1]
		}
	}
}

// scalar passes over a number or a literal and returns it.
func (r *reader) scalar() []byte {
	r.next()
	start := r.pos
	for r.pos < len(r.data) && !delimits(r.data[r.pos]) {
		r.pos++
	}
	if r.pos == start {
		r.fail("a number or a literal")
	}
	return r.data[start:r.pos]
}

// delimits reports whether a number or a literal ends before c.
func delimits(c byte) bool {
	switch c {
	case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// raw passes over a value and returns its text.
func (r *reader) raw() []byte {
	r.next()
	start := r.pos
	r.skip()
	if r.err != nil {
		return nil
	}
	return r.data[start:r.pos]
}

// text reads a string. It shares the document's memory where it can.
func (r *reader) text() []byte {
	q := r.quoted()
	if bytes.IndexByte(q, '\\') < 0 {
		return q
	}
	var s string
	if err := json.Unmarshal(fmt.Appendf(nil, `"%s"`, q), &s); err != nil {
		r.fail("a string without bad escapes")
	}
	return []byte(s)
}

func (r *reader) uint() uint64 {
	n, err := strconv.ParseUint(string(r.scalar()), 10, 64)
	if err != nil {
		r.fail("a whole number")
	}
	return n
}

// count reads a number that is small, such as that of attempts.
func (r *reader) count() int { return int(min(r.uint(), 1<<30)) } //nolint:gosec // it is bounded

func (r *reader) float() float64 {
	f, err := strconv.ParseFloat(string(r.scalar()), 64)
	if err != nil {
		r.fail("a number")
	}
	return f
}

func (r *reader) bool() bool { return string(r.scalar()) == "true" }

func (r *reader) id() uuid.UUID {
	id, err := uuid.ParseBytes(r.text())
	if err != nil {
		r.fail("an id")
	}
	return id
}

func (r *reader) time() time.Time {
	var t time.Time
	if err := t.UnmarshalText(r.text()); err != nil {
		r.fail("a time")
	}
	return t
}

func (r *reader) priority() operation.Priority {
	switch string(r.text()) {
	case "low":
		return operation.Low
	case "normal":
		return operation.Normal
	case "high":
		return operation.High
	case "critical":
		return operation.Critical
	}
	r.fail("a priority")
	return 0
}

// digest reads the digest of an operation's content, 0 if there is none.
func (r *reader) digest() uint64 {
	text := r.text()
	if len(text) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		r.fail("a digest")
	}
	return n
}

// done returns what was wrong with the document, if anything was.
func (r *reader) done() error {
	if r.err == nil && r.next() != 0 {
		return errors.New("something follows the document")
	}
	return r.err
}
