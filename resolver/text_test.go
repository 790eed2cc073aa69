package resolver

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// The tests write contests as text, one operation to a line:
//
//	holder h low executing
//	a low
//	b normal eff=high from=q at=3us seq=9 parent=a lost=2 carry old
//
// Names stand for ids, times are after a common start, and a sequence that is not
// given is the number of the line.

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// id returns the id that a name of at most 16 letters stands for. Ids sort as names
// of equal length do.
func id(name string) (out uuid.UUID) {
	copy(out[16-len(name):], name)
	return out
}

var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// name returns the name that an id stands for.
func name(id uuid.UUID) string { return strings.TrimLeft(string(id[:]), "\x00") }

// named replaces ids by the names that they stand for.
func named(text string) string {
	return ids.ReplaceAllStringFunc(text, func(s string) string { return name(uuid.MustParse(s)) })
}

// line is one line of a contest: words and settings.
type line struct {
	t        *testing.T
	text     string
	words    []string
	settings map[string]string
}

func parseLine(t *testing.T, text string) line {
	t.Helper()
	l := line{t: t, text: text, settings: map[string]string{}}
	for f := range strings.FieldsSeq(text) {
		if key, value, ok := strings.Cut(f, "="); ok {
			l.settings[key] = value
		} else {
			l.words = append(l.words, f)
		}
	}
	if len(l.words) < 2 {
		t.Fatalf("line %q: want at least a name and a priority", text)
	}
	return l
}

func (l line) has(word string) bool { return slices.Contains(l.words[2:], word) }

func (l line) id(key string) uuid.UUID {
	if v, ok := l.settings[key]; ok {
		return id(v)
	}
	return uuid.Nil
}

func (l line) number(key string, absent int) int {
	v, ok := l.settings[key]
	if !ok {
		return absent
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		l.t.Fatalf("line %q: %v", l.text, err)
	}
	return n
}

func (l line) at() time.Time {
	v, ok := l.settings["at"]
	if !ok {
		return start
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		l.t.Fatalf("line %q: %v", l.text, err)
	}
	return start.Add(d)
}

func (l line) priority(word string) operation.Priority {
	p, err := operation.ParsePriority(word)
	if err != nil {
		l.t.Fatalf("line %q: %v", l.text, err)
	}
	return p
}

// effective returns the setting eff, by default the own priority.
func (l line) effective() operation.Priority {
	if v, ok := l.settings["eff"]; ok {
		return l.priority(v)
	}
	return l.priority(l.words[1])
}

func (l line) contender(sequence int) Contender {
	c := Contender{
		OpID: id(l.words[0]), ParentID: l.id("parent"), InheritedFrom: l.id("from"),
		Priority: l.priority(l.words[1]), Effective: l.effective(),
		CreatedAt: l.at(), Sequence: uint64(l.number("seq", sequence)),
		Losses: l.number("lost", 0), New: !l.has("old"), Creates: l.has("creates"),
	}
	if l.has("carry") {
		c.OnLoss = operation.Carry
	}
	return c
}

// contest reads a contest for the entity e.
func contest(t *testing.T, text string) Contest {
	t.Helper()
	c := Contest{Entity: id("e")}
	for s := range strings.Lines(text) {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		l := parseLine(t, s)
		if l.words[0] == "holder" {
			l.words = l.words[1:]
			c.Holder = &operation.Holder{
				OpID: id(l.words[0]), EffectivePriority: l.priority(l.words[1]), Status: operation.Pending,
				Protected: l.has("protected"), Missing: l.has("missing"),
			}
			if l.has("executing") {
				c.Holder.Status = operation.Executing
			}
			continue
		}
		c.Contenders = append(c.Contenders, l.contender(len(c.Contenders)+1))
	}
	return c
}

// brief writes a decision in one line per contender.
func brief(d operation.Decision) string {
	var b strings.Builder
	if d.Preempts {
		fmt.Fprintf(&b, "preempts %s\n", name(d.Holder.OpID))
	}
	for _, c := range d.Contenders {
		words := []string{name(c.OpID), string(c.Verdict), string(c.Reason), string(c.Separator)}
		b.WriteString(strings.Join(strings.Fields(strings.Join(words, " ")), " ") + "\n")
	}
	return b.String()
}

// usual are the limits of the system's defaults.
var usual = Limits{MaxCarries: 100, MaxCarried: 100}
