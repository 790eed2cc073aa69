package resolver

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

var update = flag.Bool("update", false, "write what came out to testdata")

// commands are what a case in testdata may ask for.
var commands = map[string]func(t *testing.T, header line, input string) string{
	"resolve": func(t *testing.T, header line, input string) string {
		t.Helper()
		c := contest(t, input)
		out := brief(Resolve(c, header.limits()))
		if held := Held(c, Resolve(c, usual)); held != (Counters{}) {
			out += fmt.Sprintf("held off: %d by grace, %d by execution\n", held.GracePeriodSaves, held.ExecutingProtections)
		}
		return out
	},
	"explain": func(t *testing.T, header line, input string) string {
		t.Helper()
		return named(Explain(Resolve(contest(t, input), header.limits())))
	},
	"inherit": func(t *testing.T, _ line, input string) string {
		t.Helper()
		return inherited(t, input)
	},
	"stored": func(t *testing.T, _ line, input string) string {
		t.Helper()
		winners, losers := ResolveStored(stored(t, input))
		return fmt.Sprintf("win: %s\nlose: %s\n", names(winners), names(losers))
	},
}

// TestGolden runs the cases of testdata. A file is named after the rules that it is
// about; a case is a command, its input, four dashes, and what comes out of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("looking for cases: found %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(text), got); diff != "" && !*update {
				t.Errorf("%s differs (- file, + now); -update accepts it:\n%s", file, diff)
			}
		})
	}
}

// run returns the text with what each case comes to now. Blocks are parted by an empty
// line; those that start with # are prose.
func run(t *testing.T, text string) string {
	t.Helper()
	blocks := strings.Split(strings.TrimSuffix(text, "\n"), "\n\n")
	for i, block := range blocks {
		if strings.HasPrefix(block, "#") {
			continue
		}
		question, _, ok := strings.Cut(block, "----")
		command, input, more := strings.Cut(question, "\n")
		do := commands[strings.Fields(command)[0]]
		if !ok || !more || do == nil {
			t.Fatalf("block %d is no case:\n%s", i+1, block)
		}
		header := parseLine(t, command+" _")
		blocks[i] = question + "----\n" + strings.TrimSuffix(do(t, header, input), "\n")
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

func (l line) limits() Limits {
	return Limits{
		MaxCarries: l.number("carries", usual.MaxCarries),
		MaxCarried: l.number("carried", usual.MaxCarried),
	}
}

// inherited reads operations of which the first is the one that inherits. The others
// are what is known of its ancestors.
func inherited(t *testing.T, input string) string {
	t.Helper()
	var op *operation.Operation
	known := map[operation.Ref]Parent{}
	for s := range strings.Lines(strings.TrimSpace(input)) {
		l := parseLine(t, s)
		if op == nil {
			op = &operation.Operation{
				ID: id(l.words[0]), Target: id("e"), Priority: l.priority(l.words[1]), ParentID: l.id("parent"),
			}
		}
		known[operation.Ref{Target: id("e"), ID: id(l.words[0])}] = l.parent()
	}
	in, err := Inherit(op, func(ref operation.Ref) (Parent, bool, error) {
		p, ok := known[ref]
		return p, ok, nil
	})
	if err != nil {
		return named(err.Error())
	}
	if in.From == uuid.Nil {
		return fmt.Sprintf("%s of its own, depth %d", in.Effective, in.Depth)
	}
	return fmt.Sprintf("%s from %s, depth %d", in.Effective, name(in.From), in.Depth)
}

// parent reads what is known of an ancestor. One with a depth has been in a window.
func (l line) parent() Parent {
	p := Parent{Priority: l.priority(l.words[1]), Live: !l.has("dead"), Depth: l.number("depth", 0)}
	if p.Depth > 0 {
		p.Effective, p.InheritedFrom = l.effective(), l.id("from")
	}
	if parent := l.id("parent"); parent != uuid.Nil {
		p.Parent, p.HasParent = operation.Ref{Target: id("e"), ID: parent}, true
	}
	return p
}

func stored(t *testing.T, input string) (out []Stored) {
	t.Helper()
	for s := range strings.Lines(strings.TrimSpace(input)) {
		l := parseLine(t, s)
		op := Stored{
			OpID: id(l.words[0]), Effective: l.priority(l.words[1]), CreatedAt: l.at(),
			Sequence: uint64(l.number("seq", len(out)+1)), Protected: l.has("protected"),
		}
		for _, status := range operation.Statuses() {
			if l.has(string(status)) {
				op.Status = status
			}
		}
		out = append(out, op)
	}
	return out
}

func names(ids []uuid.UUID) string {
	if len(ids) == 0 {
		return "none"
	}
	var out []string
	for _, i := range ids {
		out = append(out, name(i))
	}
	return strings.Join(out, " ")
}
