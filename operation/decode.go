package operation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// InvalidError says why a document is no operation and no cancellation (rule R14).
type InvalidError struct {
	OpID    uuid.UUID // Nil if no op_id could be read without doubt
	Field   string    // dotted from the top of the document, or "body"
	Message string
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// wholeBody stands for a field where the document as a whole is to blame.
const wholeBody = "body"

// maxQuoted is how much of a publisher's text an error quotes, in bytes.
const maxQuoted = 40

// Decode reads an operation from the body of a message. The tokens class and target
// of the message's subject say its priority and target; the body must agree. The
// function custom reports the types that a worker knows besides the built-in ones;
// nil knows none.
//
// Every error is an [*InvalidError]. The operation keeps no reference to body, and
// its times are in UTC.
func Decode(body []byte, class, target string, custom func(Type) bool) (*Operation, error) {
	d := decoder{scanner: scanner{data: body}}
	op, err := d.operation(class, target, custom)
	if err != nil {
		return nil, blame(err, body)
	}
	return op, nil
}

// DecodeCancel reads a cancellation. Every error is an [*InvalidError].
func DecodeCancel(body []byte) (Cancel, error) {
	d := cancelDecoder{scanner: scanner{data: body}}
	c, err := d.cancel()
	if err != nil {
		return Cancel{}, blame(err, body)
	}
	return c, nil
}

// Encode writes the operation as Decode reads it.
func (o *Operation) Encode() ([]byte, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding operation %s: %w", o.ID, err)
	}
	return body, nil
}

// Encode writes the cancellation as DecodeCancel reads it.
func (c Cancel) Encode() ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding cancellation %s: %w", c.ID, err)
	}
	return body, nil
}

// blame completes an error of a decoder with the operation's id.
func blame(err error, body []byte) error {
	if invalid, ok := err.(*InvalidError); ok { //nolint:errorlint // decoders return it bare
		invalid.OpID = attribute(body)
	}
	return err
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Message: fmt.Sprintf(format, args...)}
}

// decoder reads an operation in one pass. Params wait until the type is known, which
// may come behind them.
type decoder struct {
	scanner
	op     Operation
	params []member
}

func (d *decoder) operation(class, target string, custom func(Type) bool) (*Operation, error) {
	if n := len(d.data); n > MaxBytes {
		return nil, invalid(wholeBody, "the document takes %d bytes, at most %d are allowed", n, MaxBytes)
	}
	if err := d.document(d.field); err != nil {
		return nil, err
	}
	if err := d.required(); err != nil {
		return nil, err
	}
	if err := d.subject(class, target); err != nil {
		return nil, err
	}
	if err := d.typed(custom); err != nil {
		return nil, err
	}
	op := d.op
	op.Params = bytes.Clone(op.Params)
	return &op, nil
}

// field reads the member of the document that has the key.
func (d *decoder) field(key []byte) error {
	if string(key) == "params" {
		return d.readParams()
	}
	v, err := d.value()
	if err != nil {
		return err
	}
	switch op := &d.op; string(key) {
	case "op_id":
		return d.id(v, &op.ID)
	case "op_type":
		return readText(&d.scanner, v, MaxTypeNameBytes, &op.Type)
	case "target_entity_id":
		return d.id(v, &op.Target)
	case "priority":
		return d.priority(v)
	case "source_entity_id":
		return d.id(v, &op.Source)
	case "parent_op_id":
		return d.id(v, &op.ParentID)
	case "parent_target_entity_id":
		return d.id(v, &op.ParentTarget)
	case "created_at":
		return d.time(v, &op.CreatedAt)
	case "expires_at":
		return d.time(v, &op.ExpiresAt)
	case "max_retries":
		return d.retries(v)
	case "on_loss":
		return d.onLoss(v)
	}
	return d.unknown(key, fieldNames)
}

// fieldNames lists the fields of an operation, for messages.
var fieldNames = []string{
	"op_id", "op_type", "target_entity_id", "priority", "source_entity_id", "params", "parent_op_id",
	"parent_target_entity_id", "created_at", "max_retries", "expires_at", "on_loss",
}

// unknown refuses a key that is none of the names.
func (s *scanner) unknown(key []byte, names []string) error {
	return s.fail("%s", unknownField(key, names))
}

func unknownField(key []byte, names []string) string {
	i := slices.IndexFunc(names, func(name string) bool { return bytes.EqualFold(key, []byte(name)) })
	if i >= 0 {
		return fmt.Sprintf("unknown field: it is spelled %s", names[i])
	}
	return "unknown field"
}

// readParams passes over the params and notes their members.
func (d *decoder) readParams() error {
	if d.space() != '{' {
		v, err := d.value()
		if err != nil {
			return err
		}
		return d.fail("want an object, not %s", v.kind)
	}
	d.nodes++
	start := d.pos
	d.params = make([]member, 0, 4)
	err := d.object(func(key []byte) error {
		v, err := d.value()
		d.params = append(d.params, member{key: key, span: v})
		return err
	})
	d.op.Params = d.data[start:d.pos]
	return err
}

func (s *scanner) id(v span, into *uuid.UUID) error {
	if v.kind != stringKind {
		return s.fail("want an id, not %s", v.kind)
	}
	text := unescape(v.raw)
	id, ok := parseID(text)
	if !ok {
		return s.fail("%s", notAnID(string(text)))
	}
	*into = id
	return nil
}

func notAnID(text string) string {
	if text == uuid.Nil.String() {
		return "want an id, not the nil UUID"
	}
	return fmt.Sprintf("want a UUID of 36 characters in lower case, not %q", abridge(text, maxQuoted))
}

// parseID reads a UUID in its canonical form. Only that form is allowed: the broker
// computes an entity's partition from the characters of its id.
func parseID(text []byte) (uuid.UUID, bool) {
	if len(text) != 36 || slices.ContainsFunc(text, func(c byte) bool { return c >= 'A' && c <= 'F' }) {
		return uuid.Nil, false
	}
	id, err := uuid.ParseBytes(text)
	return id, err == nil && id != uuid.Nil
}

// readText reads a text that is not empty and has no more than limit bytes.
func readText[T ~string](s *scanner, v span, limit int, into *T) error {
	if problem := checkShort(v, limit); problem != "" {
		return s.fail("%s", problem)
	}
	*into = T(unescape(v.raw))
	return nil
}

// checkShort says what is wrong with a text that must have 1 to limit bytes.
func checkShort(v span, limit int) string {
	if v.kind != stringKind {
		return fmt.Sprintf("want a string, not %s", v.kind)
	}
	if n := len(unescape(v.raw)); n == 0 || n > limit {
		return fmt.Sprintf("want 1 to %d bytes, not %d", limit, n)
	}
	return ""
}

func (d *decoder) priority(v span) error {
	if v.kind != stringKind {
		return d.fail("want a string, not %s", v.kind)
	}
	p, err := ParsePriority(string(unescape(v.raw)))
	if err != nil {
		return d.fail("%s", unknownPriority(string(unescape(v.raw))))
	}
	d.op.Priority = p
	return nil
}

func unknownPriority(name string) string {
	return fmt.Sprintf("want low, normal, high or critical, not %q", abridge(name, maxQuoted))
}

// time reads an instant of RFC 3339 whose year is in 1970 to 9999 in UTC too.
func (s *scanner) time(v span, into *time.Time) error {
	if v.kind != stringKind {
		return s.fail("want a time, not %s", v.kind)
	}
	text := unescape(v.raw)
	var t time.Time
	if err := t.UnmarshalText(text); err != nil || !strictTime(text) {
		return s.fail("want a time of RFC 3339, not %q", abridge(string(text), maxQuoted))
	}
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return s.fail("want a time from 1970 to 9999, not %q", abridge(string(text), maxQuoted))
	}
	*into = t
	return nil
}

// strictTime refuses what package time takes for a time of RFC 3339 and is none: an
// hour of one digit, a comma before the fraction, an offset of 24 hours or 60 minutes.
func strictTime(text []byte) bool {
	const hour, fraction = len("2006-01-02T15"), len("2006-01-02T15:04:05")
	if text[hour] != ':' || text[fraction] == ',' {
		return false
	}
	offset := text[len(text)-len("07:00"):]
	return text[len(text)-1] == 'Z' || string(offset[:2]) < "24" && string(offset[3:]) < "60"
}

func (d *decoder) retries(v span) error {
	n, err := strconv.Atoi(string(v.raw))
	if v.kind != numberKind || err != nil || n < 0 || n > MaxRetriesLimit {
		return d.fail("want an integer from 0 to %d, not %s", MaxRetriesLimit, abridge(string(v.raw), maxQuoted))
	}
	d.op.MaxRetries = &n
	return nil
}

func (d *decoder) onLoss(v span) error {
	loss := OnLoss(unescapeString(v))
	if loss != Reject && loss != Carry {
		return d.fail("want reject or carry, not %s", abridge(string(v.raw), maxQuoted))
	}
	d.op.OnLoss = loss
	return nil
}

// unescapeString returns the text of a value that is a string, or nothing.
func unescapeString(v span) string {
	if v.kind != stringKind {
		return ""
	}
	return string(unescape(v.raw))
}

// required refuses an operation that lacks a field.
func (d *decoder) required() error {
	switch op := &d.op; {
	case op.ID == uuid.Nil:
		return invalid("op_id", "missing")
	case op.Type == "":
		return invalid("op_type", "missing")
	case op.Target == uuid.Nil:
		return invalid("target_entity_id", "missing")
	case op.ParentTarget != uuid.Nil && op.ParentID == uuid.Nil:
		return invalid("parent_op_id", "missing, though parent_target_entity_id is given")
	}
	return nil
}

// subject refuses an operation that disagrees with its subject and takes over the
// subject's priority.
func (d *decoder) subject(class, target string) error {
	if id, ok := parseID([]byte(target)); !ok {
		return invalid("target_entity_id", "in the subject: %s", notAnID(target))
	} else if id != d.op.Target {
		return invalid("target_entity_id", "it is %s in the body, %s in the subject", d.op.Target, id)
	}
	p, err := ParsePriority(class)
	if err != nil {
		return invalid("priority", "in the subject: %s", unknownPriority(class))
	}
	if d.op.Priority != 0 && d.op.Priority != p {
		return invalid("priority", "it is %s in the body, %s in the subject", d.op.Priority, p)
	}
	d.op.Priority = p
	return nil
}
