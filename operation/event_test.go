package operation

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var eventTime = time.Date(2026, 1, 2, 4, 4, 5, 678901000, time.FixedZone("", 3600))

// event returns an event of a kind with every field set.
func event(tb testing.TB, kind Kind) Event {
	tb.Helper()
	detail, err := NewDetail(kind)
	if err != nil {
		tb.Fatal(err)
	}
	fill(reflect.ValueOf(detail).Elem())
	e, err := NewEvent(kind, "id-1", 3, benchTarget, eventTime, "00-trace", detail)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// TestEvents takes an event of each kind through the wire: the envelope and the data
// are valid, come back the same, and are what encoding/json would have written.
func TestEvents(t *testing.T) {
	for _, kind := range Kinds() {
		e := event(t, kind)
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, "event.json", body); err != nil {
			t.Errorf("event.json refuses %s: %v", body, err)
		}
		type plain Event // without MarshalJSON
		if want := marshal(plain(e)); string(body) != string(want) {
			t.Errorf("%s is encoded as\n%s, encoding/json writes\n%s", kind, body, want)
		}
		var got Event
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", kind, diff)
		}
		if got.Kind() != kind {
			t.Errorf("an event of kind %q is received as %q", kind, got.Kind())
		}
		detail, err := got.Detail()
		if err != nil {
			t.Fatal(err)
		}
		want, _ := NewDetail(kind)
		fill(reflect.ValueOf(want).Elem())
		if diff := cmp.Diff(want, detail); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", kind, diff)
		}
		var basics Detail
		if err := got.Decode(&basics); err != nil || basics.Worker == "" {
			t.Errorf("%s has no basics: %+v, %v", kind, basics, err)
		}
	}
}

// TestEventTakesTheStructOrAPointer encodes both alike.
func TestEventTakesTheStructOrAPointer(t *testing.T) {
	for _, kind := range Kinds() {
		pointer := event(t, kind)
		detail, err := pointer.Detail()
		if err != nil {
			t.Fatal(err)
		}
		value, err := NewEvent(kind, "id-1", 3, benchTarget, eventTime, "00-trace", reflect.ValueOf(detail).Elem().Interface())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pointer, value); diff != "" {
			t.Errorf("%s (-pointer +struct):\n%s", kind, diff)
		}
	}
}

// TestCompletedAlwaysListsItsChanges finds a list where nothing changed.
func TestCompletedAlwaysListsItsChanges(t *testing.T) {
	for _, detail := range []any{CompletedDetail{}, &CompletedDetail{}} {
		e, err := NewEvent(CompletedEvent, "id", 1, benchTarget, eventTime, "", detail)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(e.Data), `"changes":[]`) {
			t.Errorf("the data of %T is %s", detail, e.Data)
		}
	}
}

// TestEventEscapes writes what a publisher might put into a name.
func TestEventEscapes(t *testing.T) {
	for _, text := range []string{"", `"`, `\`, "<", "&", ">", "\x00\n", "\u2028", "\xff", "\u00e4\U0001f600", "plain"} {
		e, err := NewEvent(StartedEvent, text, 1, text, eventTime, text, StartedDetail{})
		if err != nil {
			t.Fatal(err)
		}
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		type plain Event
		if want := marshal(plain(e)); string(body) != string(want) {
			t.Errorf("%q is encoded as\n%s, encoding/json writes\n%s", text, body, want)
		}
		if twice := marshal(&e); string(twice) != string(body) {
			t.Errorf("MarshalJSON writes %s, Encode %s", twice, body)
		}
	}
}

// TestEventRefuses what cannot be told.
func TestEventRefuses(t *testing.T) {
	for name, try := range map[string]func() error{
		"unknown kind": func() error {
			_, err := NewEvent("exploded", "id", 1, "s", eventTime, "", StartedDetail{})
			return err
		},
		"detail of another kind": func() error {
			_, err := NewEvent(StartedEvent, "id", 1, "s", eventTime, "", RetryDetail{})
			return err
		},
		"no detail": func() error {
			_, err := NewEvent(StartedEvent, "id", 1, "s", eventTime, "", nil)
			return err
		},
		"detail without JSON": func() error {
			_, err := NewEvent(CompletedEvent, "id", 1, "s", eventTime, "", CompletedDetail{ExecutionMS: math.NaN()})
			return err
		},
		"a time without text": func() error {
			e := Event{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
			_, err := e.Encode()
			return err
		},
		"a type of others": func() error {
			e := Event{Type: "com.example.started.v1", Data: json.RawMessage("{}")}
			_, err := e.Detail()
			return err
		},
		"a later version": func() error {
			e := Event{Type: "hierarchy.operation.started.v2", Data: json.RawMessage("{}")}
			_, err := e.Detail()
			return err
		},
		"data of another shape": func() error {
			e := Event{Type: EventType(StartedEvent), Data: json.RawMessage("[]")}
			_, err := e.Detail()
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	empty := Event{}
	if body, err := empty.Encode(); err != nil || !strings.HasSuffix(string(body), `"data":null}`) {
		t.Errorf("an empty event is encoded as %s, %v", body, err)
	}
}

// TestOutcomes says which events end a life.
func TestOutcomes(t *testing.T) {
	ends := map[Kind]Status{CompletedEvent: Succeeded, RejectedEvent: Rejected, CancelledEvent: Cancelled}
	for _, kind := range Kinds() {
		status, ended := kind.Outcome()
		if want, wanted := ends[kind]; status != want || ended != wanted || ended != status.Terminal() {
			t.Errorf("%s ends as %q (%t), want %q", kind, status, ended, want)
		}
	}
}
