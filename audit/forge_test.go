package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// forge makes of the recording what a broken worker would have recorded.
type forge struct {
	*tape
	tb testing.TB
}

// line returns the first message of a kind whose data has all the texts in it.
func (f *forge) line(kind string, texts ...string) *line {
	f.tb.Helper()
	return f.behind(nil, kind, texts...)
}

// behind is line for messages behind another one.
func (f *forge) behind(l *line, kind string, texts ...string) *line {
	f.tb.Helper()
	from := 0
	if l != nil {
		from = f.index(l) + 1
	}
	for _, l := range f.store[from:] {
		if l.kind() == kind && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(l.Data, text) }) {
			return l
		}
	}
	f.tb.Fatalf("the recording has no %s with %q", kind, texts)
	return nil
}

func (f *forge) index(l *line) int { return slices.Index(f.store, l) }

// mate returns the first message of a kind in the commit of another.
func (f *forge) mate(l *line, kind string, texts ...string) *line {
	f.tb.Helper()
	for _, m := range f.commit(l) {
		if m.kind() == kind && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(m.Data, text) }) {
			return m
		}
	}
	f.tb.Fatalf("the commit of %s has no %s with %q", l.Subject, kind, texts)
	return nil
}

// commit returns the messages of a commit.
func (f *forge) commit(l *line) []*line {
	var out []*line
	for _, m := range f.store {
		if m.batch() == l.batch() {
			out = append(out, m)
		}
	}
	return out
}

func (f *forge) remove(lines ...*line) {
	f.store = slices.DeleteFunc(f.store, func(l *line) bool { return slices.Contains(lines, l) })
}

// insert puts a copy of a message behind another and returns it.
func (f *forge) insert(behind, l *line) *line {
	c := *l
	c.Header = maps.Clone(l.Header)
	c.Header[headerBatchID] = behind.batch()
	delete(c.Header, headerBatchCommit)
	c.Sequence, c.Time = behind.Sequence, behind.Time
	f.store = slices.Insert(f.store, f.index(behind)+1, &c)
	return &c
}

// replace replaces a text that must be there, everywhere in a message's data.
func (f *forge) replace(l *line, before, after string) {
	f.tb.Helper()
	if !strings.Contains(l.Data, before) {
		f.tb.Fatalf("%s has no %s: %s", l.Subject, before, l.Data)
	}
	l.Data = strings.ReplaceAll(l.Data, before, after)
}

// set sets a field of a message's document; path is separated by dots, and goes into
// the first element of arrays.
func (f *forge) set(l *line, path string, value any) {
	f.tb.Helper()
	l.edit(f.tb, func(doc map[string]any) {
		tokens := strings.Split(path, ".")
		for _, token := range tokens[:len(tokens)-1] {
			switch v := doc[token].(type) {
			case map[string]any:
				doc = v
			case []any:
				doc = v[0].(map[string]any)
			default:
				f.tb.Fatalf("%s has no %s", l.Subject, path)
			}
		}
		doc[tokens[len(tokens)-1]] = value
	})
}

// get returns a field of a message's document as text.
func (f *forge) get(l *line, path string) string {
	f.tb.Helper()
	var doc any
	if err := json.Unmarshal([]byte(l.Data), &doc); err != nil {
		f.tb.Fatal(err)
	}
	for token := range strings.SplitSeq(path, ".") {
		if list, ok := doc.([]any); ok {
			doc = list[0]
		}
		doc = doc.(map[string]any)[token]
	}
	switch v := doc.(type) {
	case string:
		return v
	default:
		text, _ := json.Marshal(v)
		return string(text)
	}
}

// op is the text by which messages about the operation of an event are found.
func (f *forge) op(l *line) string { return `"op_id":"` + f.get(l, "data.op_id") + `"` }

// decision edits the first decision over an entity in a window, and the conflict event
// that tells of it.
func (f *forge) decision(conflict *line, change func(contenders []any) []any) {
	f.tb.Helper()
	entity := f.get(conflict, "subject")
	conflict.edit(f.tb, func(doc map[string]any) {
		data := doc["data"].(map[string]any)
		data["contenders"] = change(data["contenders"].([]any))
		first := data["contenders"].([]any)[0].(map[string]any)
		data["winner_op_id"], data["op_id"] = first["op_id"], first["op_id"]
		data["sequence"] = first["sequence"]
	})
	f.mate(conflict, "window", entity).edit(f.tb, func(doc map[string]any) {
		for _, d := range doc["decisions"].([]any) {
			if d := d.(map[string]any); d["entity"] == entity && len(d["contenders"].([]any)) > 1 {
				d["contenders"] = change(d["contenders"].([]any))
			}
		}
	})
}

// taken edits what a window in the commit of a message says of an operation that it
// took.
func (f *forge) taken(l *line, op string, change func(taken map[string]any)) {
	f.tb.Helper()
	f.mate(l, "window", `"op_id":"`+op+`"`).edit(f.tb, func(doc map[string]any) {
		for _, t := range doc["taken"].([]any) {
			if t := t.(map[string]any); t["op_id"] == op {
				change(t)
			}
		}
	})
}

// resubmit replaces a text in the operation of an event as it was submitted, and has
// everything agree that depends on its content.
func (f *forge) resubmit(event *line, before, after string) {
	f.tb.Helper()
	for _, l := range f.input {
		if !strings.Contains(l.Data, f.op(event)) {
			continue
		}
		was := digest(l)
		f.replace(l, before, after)
		for _, m := range f.store {
			if strings.Contains(m.Data, f.op(event)) {
				m.Data = strings.ReplaceAll(strings.ReplaceAll(m.Data, before, after), was, digest(l))
			}
		}
	}
}

// digest returns the digest of what was submitted with a message.
func digest(l *line) string {
	return fmt.Sprintf("%016x", decodeSubmission(subjects.Space{}, l.Sequence, l.Time, l.Subject, []byte(l.Data)).digest)
}

func newID() string { return uuid.NewString() }
