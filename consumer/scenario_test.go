package consumer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// A scenario is a test that is written and judged as text: what is done, a line for
// each step, then four dashes, then the transcript. A file of testdata has several;
// they are parted by empty lines, each has a title that begins with #, and lines like
// "with grace=1s" set what all that follow run with. Each runs in a world of its own.
//
//	# the best contender waits
//
//	make valve-1              entities that are there before the transcript begins
//	low valve-1 slow=1s       an operation; its words are in scenario_words_test.go
//	wait 100ms                time passes
//	cancel low#1              as transcripts call it; ghost@valve-1 is one of nobody
//	again low#1               the same operation once more
//	answer {"set":{"x":1}}    what a remote system answers; see remote_test.go
//	look                      the transcript shows what lives at this moment
//	die, stop, start          the worker, or another one
//
// What nobody says is usual: entities are made when the first step names none, and
// the world goes on for half a minute after the last step.
func scenarios(t *testing.T, file string) {
	t.Helper()
	path := filepath.Join("testdata", file+".txt")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	title, options := file, ""
	for i, block := range blocks {
		steps, _, isCase := strings.Cut(block, "----")
		switch {
		case strings.HasPrefix(block, "#"):
			title = strings.Trim(strings.SplitN(block, "\n", 2)[0], "# .")
		case strings.HasPrefix(block, "with "):
			options = block
		case isCase:
			t.Run(title, func(t *testing.T) {
				blocks[i] = steps + "----\n" + strings.TrimSpace(play(t, options, steps))
			})
		default:
			t.Fatalf("%s: block %d is no scenario:\n%s", path, i+1, block)
		}
	}
	got := strings.Join(blocks, "\n\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("%s (- want, + got; -update renews it):\n%s", path, diff)
	}
}

// play acts a scenario and returns its transcript.
func play(t *testing.T, options, steps string) (out string) {
	t.Helper()
	bubble(t, func(w *world) {
		s := &stage{w: w}
		s.set(options)
		s.crew = w.ready()
		lines := strings.Split(strings.TrimSpace(steps), "\n")
		if !strings.HasPrefix(lines[0], "make ") {
			lines = append([]string{"make valve-1"}, lines...)
		}
		for _, line := range lines {
			s.step(strings.Fields(line))
		}
		after(30 * time.Second)
		out = s.transcript()
	})
	return out
}

// stage is a scenario under way.
type stage struct {
	w     *world
	crew  *crew
	notes []remark
	ids   map[string]uuid.UUID // of operations, by what transcripts call them

	responder *responder
}

// remark is a line that stands in a transcript behind the first after events.
type remark struct {
	after int
	text  string
}

// set changes the configuration that workers start with.
func (s *stage) set(options string) {
	cfg := &s.w.cfg
	for word := range strings.FieldsSeq(strings.TrimPrefix(options, "with ")) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "window":
			cfg.Window = s.duration(value)
		case "grace":
			cfg.GracePeriod = s.duration(value)
		case "retry-base":
			cfg.RetryBase = s.duration(value)
			cfg.RetryMax = max(cfg.RetryMax, cfg.RetryBase)
		case "slow-timeout":
			cfg.SlowTimeout = s.duration(value)
		case "own-timeout":
			cfg.Slow[move] = ecsstore.Within(s.duration(value), cfg.Slow[move])
		case "max-concurrent":
			cfg.MaxConcurrent = s.number(value)
		case "max-age":
			cfg.MaxOperationAge = s.duration(value)
		case "max-carries":
			cfg.Limits.MaxCarries = s.number(value)
		case "max-carried":
			cfg.Limits.MaxCarried = s.number(value)
		case "independent-children":
			cfg.IndependentChildren = true
		case "words":
			s.w.words = true
		default:
			s.w.t.Fatalf("%q is no option", word)
		}
	}
}

func (s *stage) step(words []string) {
	s.w.t.Helper()
	w := s.w
	switch words[0] {
	case "make":
		w.made(words[1:]...)
	case "wait":
		after(s.duration(words[1]))
	case "cancel":
		s.cancel(words[1])
	case "answer":
		s.answer(words[1:])
	case "again":
		w.submit(s.called(words[1]))
	case "look":
		s.notes = append(s.notes, remark{after: len(w.told()), text: s.living()})
	case "die", "stop":
		if w.rough.IsZero() {
			w.rough = time.Now()
		}
		if words[0] == "die" {
			s.crew.die()
		} else {
			s.crew.stop()
		}
	case "start":
		s.crew = w.ready()
		after(time.Second)
	default:
		w.submit(s.operation(words))
	}
}

// cancel cancels an operation, or one that nobody has submitted: cancel ghost@valve-1.
func (s *stage) cancel(who string) {
	s.w.t.Helper()
	name, entity, unknown := strings.Cut(who, "@")
	if !unknown {
		s.w.cancel(s.called(name))
		return
	}
	id := s.reserved(name)
	s.w.names[id] = name
	s.w.cancel(operation.Operation{ID: id, Target: s.w.entity(entity)})
}

// transcript returns the events of the scenario with the remarks between them, then
// what workers have counted and what lives on.
func (s *stage) transcript() string {
	lines := s.w.told()
	for _, n := range slices.Backward(s.notes) {
		lines = slices.Insert(lines, n.after, n.text)
	}
	var sum Stats
	for _, c := range s.w.crews {
		st := c.Stats()
		sum.GracePeriodSaves += st.GracePeriodSaves
		sum.ExecutingProtections += st.ExecutingProtections
		sum.Duplicates += st.Duplicates
	}
	for _, c := range []struct {
		text string
		n    int
	}{
		{"saved by grace", sum.GracePeriodSaves},
		{"protected by execution", sum.ExecutingProtections},
		{"duplicates", sum.Duplicates},
	} {
		if c.n > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d", c.text, c.n))
		}
	}
	for _, reason := range s.w.dead() {
		lines = append(lines, "dead: "+reason)
	}
	if living := s.living(); living != "nothing lives" {
		lines = append(lines, living)
	}
	return strings.Join(lines, "\n")
}

// living tells what the records of live operations say.
func (s *stage) living() string {
	var out []string
	for id, r := range s.w.records() {
		text := fmt.Sprintf("%s %s as %s", s.w.name(id), r.Status, r.Role)
		if r.Attempt > 0 {
			text += fmt.Sprintf(", attempt %d", r.Attempt)
		}
		if r.Losses > 0 {
			text += fmt.Sprintf(", losses %d", r.Losses)
		}
		out = append(out, text)
	}
	if out == nil {
		return "nothing lives"
	}
	return "lives: " + strings.Join(sorted(out), "; ")
}

func (s *stage) duration(text string) time.Duration {
	s.w.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return d
}

// called returns an operation that was submitted before.
func (s *stage) called(name string) operation.Operation {
	s.w.t.Helper()
	for id, o := range s.w.ops {
		if s.w.names[id] == name {
			return o
		}
	}
	s.w.t.Fatalf("nobody is called %s", name)
	return operation.Operation{}
}
