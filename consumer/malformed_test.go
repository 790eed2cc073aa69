package consumer

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// malformed is a message that is no operation: its fault, the tokens of its subject,
// and its body, in which $ID, $T and $HEAD stand for ids and for the fields that are
// required.
type malformed struct{ fault, class, target, body string }

// theirs returns a malformed message to valve-1 of priority normal.
func theirs(fault, body string) malformed { return malformed{fault, "normal", "", body} }

// faults has every kind of malformed message, and of each kind some that differ in
// what can be said of them. The corpus of package operation has many more.
func faults() []malformed {
	const field = `"params":{"field":"counter","value":`
	return []malformed{
		theirs("bad JSON", `hello`),
		theirs("bad JSON behind the op_id", `{$HEAD,"params":`),
		theirs("empty", ``),
		theirs("no object", `["$ID"]`),
		theirs("two documents", `{$HEAD,`+field+`1}} {}`),
		theirs("unknown type", `{"op_id":"$ID","op_type":"paint","target_entity_id":"$T"}`),
		theirs("unknown field", `{$HEAD,`+field+`1},"colour":"red"}`),
		theirs("unknown param", `{$HEAD,"params":{"field":"counter","value":1,"colour":"red"}}`),
		theirs("no op_id", `{"op_type":"modify_field","target_entity_id":"$T",`+field+`1}}`),
		theirs("no op_type", `{"op_id":"$ID","target_entity_id":"$T",`+field+`1}}`),
		theirs("no target", `{"op_id":"$ID","op_type":"modify_field",`+field+`1}}`),
		theirs("no params", `{$HEAD}`),
		theirs("missing param", `{$HEAD,"params":{"field":"counter"}}`),
		theirs("ill-typed param", `{$HEAD,"params":{"field":7,"value":1}}`),
		theirs("ill-typed field", `{$HEAD,`+field+`1},"max_retries":"three"}`),
		theirs("op_id that is no UUID", `{"op_id":"seven","op_type":"modify_field","target_entity_id":"$T",`+field+`1}}`),
		theirs("source that is no UUID", `{$HEAD,`+field+`1},"source_entity_id":"valve-2"}`),
		theirs("another target than in the subject", `{"op_id":"$ID","op_type":"modify_field","target_entity_id":"$ID",`+field+`1}}`),
		theirs("another priority than in the subject", `{$HEAD,`+field+`1},"priority":"critical"}`),
		{"a priority that there is not", "urgent", "", `{$HEAD,` + field + `1}}`},
		{"a target that is no UUID", "normal", "valve-1", `{"op_id":"$ID","op_type":"modify_field","target_entity_id":"valve-1",` + field + `1}}`},
		{"a target with a wildcard", "normal", "valve*", `{$HEAD,` + field + `1}}`},
		theirs("too large", `{$HEAD,`+field+`"`+strings.Repeat("x", operation.MaxBytes)+`"}}`),
		theirs("too deep", `{$HEAD,`+field+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}}`),
		theirs("too many keys", `{$HEAD,`+field+`{`+keys(operation.MaxKeys+1)+`}}}`),
		theirs("too many values", `{$HEAD,`+field+`[`+strings.Repeat(`0,`, operation.MaxNodes)+`0]}}`),
		theirs("a key twice", `{$HEAD,`+field+`1},`+field+`2}}`),
		theirs("the op_id twice", `{$HEAD,"op_id":"$ID",`+field+`1}}`),
		theirs("a key in another case", `{$HEAD,`+field+`1},"PRIORITY":"critical"}`),
		theirs("invalid UTF-8", `{$HEAD,`+field+"\"\xff\"}}"),
		theirs("a lone surrogate", `{$HEAD,`+field+`"\ud800"}}`),
		theirs("a number out of range", `{$HEAD,`+field+`1e999}}`),
		theirs("retries out of range", `{$HEAD,`+field+`1},"max_retries":-1}`),
		{"a cancellation that is bad JSON", "cancel", "", `{`},
		{"a cancellation of nothing", "cancel", "", `{"cancel_id":"$ID"}`},
		{"a cancellation for no UUID", "cancel", "", `{"cancel_id":"$ID","op_id":"seven"}`},
	}
}

// keys returns n members of an object.
func keys(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"k%d":0`, i))
	}
	return strings.Join(out, ",")
}

// TestR14_MalformedMessagesEndAndStallNothing sends every kind of malformed message
// among good operations for the same entity: each good one is executed in its turn,
// and of each other the transcript shows what was said.
func TestR14_MalformedMessagesEndAndStallNothing(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		var good []operation.Operation
		var text strings.Builder
		for i, bad := range faults() {
			id := uuid.NewSHA1(uuid.Nil, []byte(bad.fault))
			dead := len(w.dead())
			w.names[id] = bad.fault
			good = append(good, count(valve, operation.Low))
			body := w.spoil(bad, id, valve)
			w.submit(good[i])
			after(20 * time.Millisecond)
			fmt.Fprintf(&text, "%s: %s\n", bad.fault, w.verdict(id, dead, body))
		}
		w.wants(completed, good...)
		if got := w.field(valve, "counter"); got != fmt.Sprint(len(good)) {
			t.Errorf("counter is %s, want %d", got, len(good))
		}
		w.compare("R14", text.String())
	})
}

// spoil publishes a malformed message and returns its body.
func (w *world) spoil(bad malformed, id, target uuid.UUID) []byte {
	w.t.Helper()
	text := strings.ReplaceAll(bad.body, "$HEAD", `"op_id":"$ID","op_type":"modify_field","target_entity_id":"$T"`)
	text = strings.NewReplacer("$ID", id.String(), "$T", target.String()).Replace(text)
	w.publish("hierarchy.ops."+bad.class+"."+cmp.Or(bad.target, target.String()), []byte(text))
	return []byte(text)
}

// verdict tells what became of a malformed message.
func (w *world) verdict(id uuid.UUID, deadBefore int, body []byte) string {
	w.t.Helper()
	for _, e := range w.events() {
		if e.detail.OpID == id {
			return fmt.Sprintf("%s, %s: %s", e.kind, e.detail.Reason, w.plain(e.detail.Message))
		}
	}
	letters := w.stored(w.space.DeadLetters())
	if len(letters) != deadBefore+1 {
		return fmt.Sprintf("%d dead letters", len(letters)-deadBefore)
	}
	if !bytes.Equal(letters[deadBefore].Data(), body) {
		w.t.Errorf("the dead letter has %q, sent was %q", letters[deadBefore].Data(), body)
	}
	return "dead letter, " + w.plain(letters[deadBefore].Headers().Get(ecsstore.HeaderDeadReason))
}

// plain replaces ids by names.
func (w *world) plain(text string) string {
	for id, name := range w.names {
		text = strings.ReplaceAll(text, id.String(), "<"+name+">")
	}
	return text
}
