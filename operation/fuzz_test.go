package operation

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// seed adds the documents of the corpora whose class is, or is not, cancel.
func seed(f *testing.F, cancel bool) {
	f.Helper()
	for _, file := range []string{"testdata/invalid.txt", "testdata/valid.txt"} {
		for _, s := range specimens(&testing.T{}, file) {
			if len(s.document) < 4096 && (s.class == "cancel") == cancel {
				f.Add([]byte(s.document), s.class, s.target)
			}
		}
	}
}

// refused checks an error of a decoder: it names the field in one line of valid text
// and an owner only if the document shows it.
func refused(t *testing.T, body []byte, err error) {
	t.Helper()
	bad, ok := errors.AsType[*InvalidError](err)
	if !ok || bad.Field == "" || bad.Message == "" {
		t.Fatalf("got error %#v, want an InvalidError with field and message", err)
	}
	for _, r := range bad.Error() {
		if r < ' ' || r == utf8.RuneError {
			t.Fatalf("the error %q is no line of text", bad.Error())
		}
	}
	if len(bad.Error()) > 512 {
		t.Fatalf("the error has %d bytes", len(bad.Error()))
	}
	if again := attribute(body); again != bad.OpID {
		t.Fatalf("attributed to %s and to %s", bad.OpID, again)
	}
}

// FuzzDecode looks for documents that Decode accepts and encoding/json or the schema
// does not, or that change when they are encoded and decoded again.
func FuzzDecode(f *testing.F) {
	seed(f, false)
	f.Fuzz(func(t *testing.T, body []byte, class, target string) {
		kept := slices.Clone(body)
		op, err := Decode(body, class, target, acceptCustom)
		if string(kept) != string(body) {
			t.Fatal("Decode has changed its input")
		}
		if err != nil {
			refused(t, body, err)
			return
		}
		if err := validate(t, "operation.json", body); err != nil {
			t.Fatalf("the schema refuses what Decode accepts: %v", err)
		}
		if id := attribute(body); id != op.ID {
			t.Fatalf("the operation is %s, its document attributed to %s", op.ID, id)
		}
		encoded, err := op.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(encoded, class, target, acceptCustom)
		if err != nil {
			t.Fatalf("the operation does not decode again: %v", err)
		}
		if again.Digest() != op.Digest() {
			t.Fatalf("the digest changes: %s", cmp.Diff(op, again))
		}
		op.Params, again.Params = compact(t, op.Params), compact(t, again.Params)
		if diff := cmp.Diff(op, again); diff != "" {
			t.Fatalf("decode(encode(x)) is not x:\n%s", diff)
		}
		sameAsJSON(t, body, op)
	})
}

// compact returns params as they are encoded.
func compact(t *testing.T, params json.RawMessage) json.RawMessage {
	t.Helper()
	if params == nil {
		return nil
	}
	text, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sameAsJSON compares with what encoding/json reads, the priority and the time zone
// apart.
func sameAsJSON(t *testing.T, body []byte, op *Operation) {
	t.Helper()
	var want Operation
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatalf("encoding/json refuses what Decode accepts: %v", err)
	}
	want.Priority = op.Priority
	want.CreatedAt, want.ExpiresAt = want.CreatedAt.UTC(), want.ExpiresAt.UTC()
	if want.Params != nil {
		want.Params = compact(t, want.Params)
	}
	if diff := cmp.Diff(&want, op); diff != "" {
		t.Fatalf("encoding/json and Decode differ:\n%s", diff)
	}
}

// FuzzDecodeCancel does the same for cancellations.
func FuzzDecodeCancel(f *testing.F) {
	seed(f, true)
	f.Fuzz(func(t *testing.T, body []byte, _, _ string) {
		c, err := DecodeCancel(body)
		if err != nil {
			refused(t, body, err)
			return
		}
		if err := validate(t, "cancel.json", body); err != nil {
			t.Fatalf("the schema refuses what DecodeCancel accepts: %v", err)
		}
		var want Cancel
		if err := json.Unmarshal(body, &want); err != nil || want != c {
			t.Fatalf("encoding/json reads %v (%v), DecodeCancel %v", want, err, c)
		}
		encoded, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := DecodeCancel(encoded); err != nil || again != c {
			t.Fatalf("decode(encode(%v)) is %v (%v)", c, again, err)
		}
	})
}

// FuzzPath holds paths against their text.
func FuzzPath(f *testing.F) {
	for _, text := range []string{"a", "position.x", "tags.0", "", ".", "a..b", "a.", "\x00", "\xff", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		if p.String() != text || len(p) == 0 || len(p) > MaxDepth || slices.Contains(p, "") {
			t.Fatalf("%q is read as %q", text, p)
		}
		if err := validate(t, "terms.json#/$defs/path", marshal(text)); err != nil {
			t.Fatalf("the schema refuses path %q: %v", text, err)
		}
	})
}

// FuzzAddress holds addresses against their text.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"@valve-7", "@valve-7.position.x", "@valve-7~3.position.x", "@~1", "@a~0", "@a~01", "@a~+1", "@a~", "valve-7", "@", "@a.", "@\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if a.String() != text || a.Entity == "" {
			t.Fatalf("%q is read as %#v", text, a)
		}
	})
}

// FuzzEventEnvelope reads events as any listener must: without trust.
func FuzzEventEnvelope(f *testing.F) {
	for _, kind := range Kinds() {
		e := event(f, kind)
		body, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"type":"hierarchy.operation.started.v1","data":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var e Event
		if json.Unmarshal(body, &e) != nil {
			return
		}
		detail, err := e.Detail()
		if err != nil {
			return
		}
		made, err := NewEvent(e.Kind(), e.ID, 1, e.Subject, e.Time, e.TraceParent, detail)
		if err != nil {
			return // a time or priority that can be read but not written
		}
		encoded, err := made.Encode()
		if err != nil {
			return
		}
		var again Event
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatalf("%s does not decode again: %v", encoded, err)
		}
		if diff := cmp.Diff(made, again); diff != "" {
			t.Fatalf("decode(encode(x)) is not x:\n%s", diff)
		}
	})
}

// FuzzRecord reads records of operations as the next owner of a partition does.
func FuzzRecord(f *testing.F) {
	f.Add(marshal(filled(Record{})))
	f.Add([]byte(`{"operation":{"op_id":"","priority":"low"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r, again Record
		if json.Unmarshal(body, &r) != nil {
			return
		}
		encoded, err := json.Marshal(&r)
		if err != nil {
			return // a time or priority that can be read but not written
		}
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatalf("%s does not decode again: %v", encoded, err)
		}
		twice, err := json.Marshal(&again)
		if err != nil || string(twice) != string(encoded) {
			t.Fatalf("encoded once: %s, twice: %s (%v)", encoded, twice, err)
		}
	})
}
