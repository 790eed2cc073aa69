package operation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What is the same in every event.
const (
	specVersion  = "1.0"
	dataIsJSON   = "application/json"
	typePrefix   = "hierarchy.operation."
	typeSuffix   = ".v1"
	envelopeSize = 384 // bytes of an envelope without its data, about
)

// NewEvent makes an event of a kind. The id must be the same whenever the same fact
// is told; subject is the entity; traceparent may be empty; detail is the struct of
// the kind, or a pointer to it.
func NewEvent(kind Kind, id string, partition int, subject string, at time.Time, traceparent string, detail any) (Event, error) {
	if !fits(kind, detail) {
		return Event{}, fmt.Errorf("making event %s: the data of kind %q is no %T", id, kind, detail)
	}
	data, err := json.Marshal(listed(detail))
	if err != nil {
		return Event{}, fmt.Errorf("encoding the data of event %s: %w", id, err)
	}
	return Event{
		SpecVersion: specVersion, ID: id, Source: EventSource(partition), Type: EventType(kind), Subject: subject,
		Time: at.UTC(), DataContentType: dataIsJSON, TraceParent: traceparent, Data: data,
	}, nil
}

// fits reports whether detail is what events of a kind tell.
func fits(kind Kind, detail any) bool {
	switch detail.(type) {
	case StartedDetail, *StartedDetail:
		return kind == StartedEvent
	case CompletedDetail, *CompletedDetail:
		return kind == CompletedEvent
	case FailedDetail, *FailedDetail:
		return kind == FailedEvent
	case RetryDetail, *RetryDetail:
		return kind == RetryEvent
	case RejectedDetail, *RejectedDetail:
		return kind == RejectedEvent
	case CancelDetail, *CancelDetail:
		return kind == CancelledEvent || kind == CancelRefusedEvent
	case ConflictDetail, *ConflictDetail:
		return kind == ConflictEvent
	}
	return false
}

// listed returns detail with an empty list of changes in place of none, so that
// readers find a list in every completed event.
func listed(detail any) any {
	var d CompletedDetail
	switch given := detail.(type) {
	case CompletedDetail:
		d = given
	case *CompletedDetail:
		d = *given
	default:
		return detail
	}
	if d.Changes != nil {
		return detail
	}
	d.Changes = []Change{}
	return d
}

// Kind returns the kind of the event, or nothing if its type is none of ours.
func (e *Event) Kind() Kind {
	rest, ours := strings.CutPrefix(e.Type, typePrefix)
	name, versioned := strings.CutSuffix(rest, typeSuffix)
	if kind := Kind(name); ours && versioned && slices.Contains(Kinds(), kind) {
		return kind
	}
	return ""
}

// Decode reads the data of the event into detail, a pointer to the struct of its
// kind or to a [Detail].
func (e *Event) Decode(detail any) error {
	if err := json.Unmarshal(e.Data, detail); err != nil {
		return fmt.Errorf("decoding the data of event %s: %w", e.ID, err)
	}
	return nil
}

// Detail returns the data of the event as a pointer to the struct of its kind.
func (e *Event) Detail() (any, error) {
	detail, err := NewDetail(e.Kind())
	if err != nil {
		return nil, fmt.Errorf("event %s of type %q: %w", e.ID, abridge(e.Type, maxQuoted), err)
	}
	if err := e.Decode(detail); err != nil {
		return nil, err
	}
	return detail, nil
}

// errUnknownKind is why there is no struct for the data of an event.
var errUnknownKind = errors.New("unknown kind of event")

// NewDetail returns a pointer to an empty struct of a kind.
func NewDetail(k Kind) (any, error) {
	switch k {
	case StartedEvent:
		return &StartedDetail{}, nil
	case CompletedEvent:
		return &CompletedDetail{}, nil
	case FailedEvent:
		return &FailedDetail{}, nil
	case RetryEvent:
		return &RetryDetail{}, nil
	case RejectedEvent:
		return &RejectedDetail{}, nil
	case CancelledEvent, CancelRefusedEvent:
		return &CancelDetail{}, nil
	case ConflictEvent:
		return &ConflictDetail{}, nil
	}
	return nil, errUnknownKind
}

// Encode writes the event as a new document.
func (e *Event) Encode() ([]byte, error) {
	return AppendEvent(make([]byte, 0, envelopeSize+len(e.Data)), e)
}

// AppendEvent appends an event's document to dst. The data goes in as it is, so it
// must be JSON already; that of [NewEvent] is.
func AppendEvent(dst []byte, e *Event) ([]byte, error) {
	dst = appendString(append(dst, `{"specversion":`...), e.SpecVersion)
	dst = appendString(append(dst, `,"id":`...), e.ID)
	dst = appendString(append(dst, `,"source":`...), e.Source)
	dst = appendString(append(dst, `,"type":`...), e.Type)
	dst = appendString(append(dst, `,"subject":`...), e.Subject)
	dst, err := e.Time.AppendText(append(dst, `,"time":"`...))
	if err != nil {
		return nil, fmt.Errorf("encoding event %s: %w", e.ID, err)
	}
	dst = appendString(append(dst, `","datacontenttype":`...), e.DataContentType)
	if e.TraceParent != "" {
		dst = appendString(append(dst, `,"traceparent":`...), e.TraceParent)
	}
	dst = append(dst, `,"data":`...)
	if e.Data == nil {
		return append(dst, "null}"...), nil
	}
	return append(append(dst, e.Data...), '}'), nil
}

// appendString appends text as a JSON string. Nearly all that stands in an envelope
// needs no escapes.
func appendString(dst []byte, text string) []byte {
	if strings.IndexFunc(text, needsEscape) < 0 {
		return append(append(append(dst, '"'), text...), '"')
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(dst, `""`...) // no string is beyond json.Marshal
	}
	return append(dst, quoted...)
}

func needsEscape(r rune) bool {
	return r < ' ' || r > '~' || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&'
}

// MarshalJSON writes the event as [AppendEvent] does.
func (e *Event) MarshalJSON() ([]byte, error) { return e.Encode() }
