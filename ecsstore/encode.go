package ecsstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Heads are written with every change, each with a hundred entries of history, so
// they are encoded by hand. What comes out is byte for byte what encoding/json makes
// of them; anything unusual is left to it.

// jsonWriter appends JSON to what it is given. Its first error sticks and makes the
// document void.
type jsonWriter struct {
	err  error
	day  int64    // that date is of, counted from 1; 0: of none
	date [10]byte // of the latest time written
}

// The space that is set aside for what is encoded, about.
const (
	headRoom  = 1 << 10 // of a head with a few components
	entryRoom = 176     // of an entry of its history
)

// encodeHead returns the JSON of a head.
func encodeHead(e *Entity) ([]byte, error) {
	var w jsonWriter
	out := make([]byte, 0, headRoom+entryRoom*len(e.History)+sourceBytes*len(e.Sources))
	out = w.entity(out, e)
	return out, w.err
}

// encodeVersion returns the JSON of a version. Its head goes without the history:
// that of the entity tells the same, and it would be most of what versions take.
func encodeVersion(v *Version) ([]byte, error) {
	var w jsonWriter
	out := appendID(append(make([]byte, 0, headRoom), `{"entity":`...), v.Entity)
	out = strconv.AppendUint(append(out, `,"version":`...), v.Number, 10)
	out = appendID(append(out, `,"op_id":`...), v.OpID)
	out = w.time(append(out, `,"time":`...), v.Time)
	if v.Note != "" {
		out = w.text(append(out, `,"note":`...), v.Note)
	}
	out = append(out, `,"head":`...)
	if v.Head == nil {
		return append(out, "null}"...), w.err
	}
	head := *v.Head
	head.History = nil
	return append(w.entity(out, &head), '}'), w.err
}

func (w *jsonWriter) entity(dst []byte, e *Entity) []byte {
	dst = appendID(append(dst, `{"id":`...), e.ID)
	if e.Name != "" {
		dst = w.text(append(dst, `,"name":`...), e.Name)
	}
	dst = w.text(append(dst, `,"type":`...), e.Type)
	dst = w.text(append(dst, `,"place":`...), string(e.Place))
	if e.Parent != uuid.Nil {
		dst = appendID(append(dst, `,"parent_id":`...), e.Parent)
	}
	if len(e.Children) > 0 {
		dst = appendList(append(dst, `,"children":`...), e.Children, appendID)
	}
	dst = strconv.AppendUint(append(dst, `,"revision":`...), e.Revision, 10)
	dst = strconv.AppendUint(append(dst, `,"version_count":`...), e.VersionCount, 10)
	dst = strconv.AppendUint(append(dst, `,"borrow_count":`...), e.BorrowCount, 10)
	dst = w.object(append(dst, `,"components":`...), e.Components)
	if len(e.Sources) > 0 {
		dst = appendMembers(append(dst, `,"attribute_sources":`...), e.Sources, w.text, w.source)
	}
	if len(e.History) > 0 {
		dst = appendList(append(dst, `,"modification_history":`...), e.History, w.modification)
	}
	dst = w.time(append(dst, `,"created_at":`...), e.CreatedAt)
	dst = w.time(append(dst, `,"updated_at":`...), e.UpdatedAt)
	return append(dst, '}')
}

func (w *jsonWriter) modification(dst []byte, m Modification) []byte {
	dst = strconv.AppendUint(append(dst, `{"revision":`...), m.Revision, 10)
	dst = appendID(append(dst, `,"op_id":`...), m.OpID)
	dst = w.text(append(dst, `,"op_type":`...), string(m.OpType))
	dst = w.time(append(dst, `,"time":`...), m.Time)
	if m.Priority != 0 {
		dst = w.priority(append(dst, `,"effective_priority":`...), m.Priority)
	}
	if m.Depth != 0 {
		dst = strconv.AppendInt(append(dst, `,"depth":`...), int64(m.Depth), 10)
	}
	return append(dst, '}')
}

func (w *jsonWriter) source(dst []byte, s Source) []byte {
	dst = appendID(append(dst, `{"entity":`...), s.Entity)
	dst = w.text(append(dst, `,"field":`...), s.Field)
	if s.Version != 0 {
		dst = strconv.AppendUint(append(dst, `,"version":`...), s.Version, 10)
	}
	dst = strconv.AppendUint(append(dst, `,"revision":`...), s.Revision, 10)
	dst = appendID(append(dst, `,"op_id":`...), s.OpID)
	return append(dst, '}')
}

// value appends what decoding JSON makes, numbers kept as they are written.
func (w *jsonWriter) value(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		return w.object(dst, v)
	case []any:
		if v != nil {
			return appendList(dst, v, w.value)
		}
	case string:
		return w.text(dst, v)
	case json.Number:
		if isNumber(string(v)) {
			return append(dst, v...)
		}
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return w.other(dst, v)
}

func (w *jsonWriter) object(dst []byte, o map[string]any) []byte {
	if o == nil {
		return append(dst, "null"...)
	}
	return appendMembers(dst, o, w.text, w.value)
}

func appendList[T any](dst []byte, elements []T, element func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, e)
	}
	return append(dst, ']')
}

// appendMembers appends an object with its keys in order.
func appendMembers[T any](dst []byte, o map[string]T, text func([]byte, string) []byte, member func([]byte, T) []byte) []byte {
	var few [16]string // most objects are small
	keys := few[:0]
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = member(append(text(dst, key), ':'), o[key])
	}
	return append(dst, '}')
}

// text appends a string. Hardly any needs escapes: one that does is longer as JSON
// than its two quotes account for.
func (w *jsonWriter) text(dst []byte, s string) []byte {
	if stringSize(s) != len(s)+len(`""`) {
		return w.other(dst, s)
	}
	return append(append(append(dst, '"'), s...), '"')
}

const hexDigits = "0123456789abcdef"

func appendID(dst []byte, id uuid.UUID) []byte {
	var text [len(`"00000000-0000-0000-0000-000000000000"`)]byte
	text[0], text[len(text)-1] = '"', '"'
	at := 1
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = hexDigits[b>>4], hexDigits[b&15]
		at += 2
	}
	return append(dst, text[:]...)
}

// time appends what time.Time.MarshalJSON writes. Times of one head are mostly of
// the same day, whose date is computed once.
func (w *jsonWriter) time(dst []byte, t time.Time) []byte {
	seconds := t.Unix()
	if t.Location() != time.UTC || seconds < 0 || seconds > lastSecond {
		return w.other(dst, t)
	}
	const perDay, perHour, perMinute = 86400, 3600, 60
	if day := seconds/perDay + 1; day != w.day { // plus 1: the zero day is none
		w.day = day
		t.AppendFormat(w.date[:0], time.DateOnly)
	}
	dst = append(append(append(dst, '"'), w.date[:]...), 'T')
	dst = append(appendTwo(dst, seconds%perDay/perHour), ':')
	dst = append(appendTwo(dst, seconds%perHour/perMinute), ':')
	dst = appendTwo(dst, seconds%perMinute)
	if nanos := t.Nanosecond(); nanos != 0 {
		dst = appendFraction(dst, nanos)
	}
	return append(dst, 'Z', '"')
}

// lastSecond is the end of the year 9999, beyond which no time can be written.
const lastSecond = 253402300799

func appendTwo(dst []byte, n int64) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10)) //nolint:gosec // digits
}

// appendFraction appends the fraction of a second without zeros at its end.
func appendFraction(dst []byte, nanos int) []byte {
	digits := 9
	for nanos%10 == 0 {
		nanos /= 10
		digits--
	}
	dst = append(dst, ".000000000"[:1+digits]...)
	for at := len(dst) - 1; nanos > 0; at-- {
		dst[at] = byte('0' + nanos%10) //nolint:gosec // a digit
		nanos /= 10
	}
	return dst
}

func (w *jsonWriter) priority(dst []byte, p operation.Priority) []byte {
	switch p {
	case operation.Low, operation.Normal, operation.High, operation.Critical:
		return w.text(dst, p.String())
	}
	return w.other(dst, p)
}

// other appends what encoding/json makes of v.
func (w *jsonWriter) other(dst []byte, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		w.fail(err)
	}
	return append(dst, data...)
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("encoding a head: %w", err)
	}
}
