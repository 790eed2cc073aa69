package consumer

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hierarchy-events/hierarchy/operation"
)

// askSubject is where the operations of type ask are executed.
const askSubject = "lab.ask"

func TestR19_RemoteSystems(t *testing.T) { scenarios(t, "R19_remote") }

// responder answers requests with what it was told to, in turn; the last answer
// stays. It is there once it has the first.
type responder struct {
	mu      sync.Mutex // guards what follows
	answers []string
	asked   []RemoteRequest
}

// answer is the step "answer [after=1s] [service-error=500] text": what the next
// attempt is answered with. In the text x*1000 stands for a thousand x.
func (s *stage) answer(words []string) {
	s.w.t.Helper()
	if s.responder == nil {
		s.responder = &responder{}
		if _, err := s.w.js.Conn().Subscribe(askSubject, s.responder.respond); err != nil {
			s.w.t.Fatal(err)
		}
	}
	text := strings.Join(words, " ")
	text = regexp.MustCompile(`(\w)\*(\d+)`).ReplaceAllStringFunc(text, func(m string) string {
		return strings.Repeat(m[:1], s.number(m[2:]))
	})
	s.responder.mu.Lock()
	defer s.responder.mu.Unlock()
	s.responder.answers = append(s.responder.answers, text)
}

// respond answers as the next answer says.
func (r *responder) respond(msg *nats.Msg) {
	r.mu.Lock()
	text := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	var request RemoteRequest
	if json.Unmarshal(msg.Data, &request) == nil {
		r.asked = append(r.asked, request)
	}
	r.mu.Unlock()
	reply := nats.NewMsg(msg.Reply)
	for more := true; more; {
		word, rest, _ := strings.Cut(text, " ")
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "after":
			d, _ := time.ParseDuration(value)
			<-time.After(d)
			text = rest
		case "service-error":
			reply.Header.Set(micro.ErrorCodeHeader, value)
			reply.Header.Set(micro.ErrorHeader, "out of order")
			text = rest
		default:
			more = false
		}
	}
	reply.Data = []byte(text)
	_ = msg.RespondMsg(reply)
}

// TestR19_ARemoteSystemIsTold shows what a responder is asked at each attempt.
func TestR19_ARemoteSystemIsTold(t *testing.T) {
	bubble(t, func(w *world) {
		s := &stage{w: w}
		w.ready()
		valve := w.made("valve-1")[0]
		s.answer([]string{`{"error":"not now"}`})
		s.answer([]string{`{"set":{"counter":7}}`})
		o := op(ask, valve, operation.Low, `{"amount":5}`)
		w.submit(o)
		after(time.Second)
		w.wants(completed, o)
		if got := w.field(valve, "counter"); got != "7" {
			t.Errorf("counter is %s, want 7", got)
		}
		asked := s.responder.asked
		if len(asked) != 2 {
			t.Fatalf("asked %d times, want 2", len(asked))
		}
		for i, request := range asked {
			if request.Attempt != i+1 || request.Key != o.ID.String() || request.Attempted != o.ID.String()+"/"+strconv.Itoa(i+1) {
				t.Errorf("attempt %d: %+v", i+1, request)
			}
			if request.Operation.Type != ask || string(request.Operation.Params) != `{"amount":5}` || request.Head.ID != valve {
				t.Errorf("attempt %d is told of %+v and %+v", i+1, request.Operation, request.Head)
			}
		}
	})
}

// TestR19_SystemsAsDocumented holds the examples of docs/systems.md against the code:
// the request has the fields it has, and each reply is read as its title says.
func TestR19_SystemsAsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/systems.md")
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile("(?s)<!-- (request|success|error|permanent|malformed) -->\n```json\n(.*?)```")
	shown := map[string]int{}
	for _, m := range marked.FindAllStringSubmatch(string(text), -1) {
		kind, body := m[1], []byte(m[2])
		shown[kind]++
		if kind == "request" {
			checkRequest(t, body)
			continue
		}
		_, err := readReply("s", body)
		failure := &operation.Failure{}
		if err != nil {
			failure = operation.AsFailure(err)
		}
		got := "success"
		switch {
		case failure.Permanent:
			got = "permanent"
		case strings.Contains(failure.Message, "malformed"):
			got = "malformed"
		case err != nil:
			got = "error"
		}
		if got != kind {
			t.Errorf("%s is said to be a %s and is a %s: %v", body, kind, got, err)
		}
	}
	for _, kind := range []string{"request", "success", "error", "permanent"} {
		if shown[kind] == 0 {
			t.Errorf("there is no example of a %s", kind)
		}
	}
	if n := strings.Count(string(text), "```json"); n != len(marked.FindAllString(string(text), -1)) {
		t.Errorf("%d blocks of JSON, of which some are not marked", n)
	}
}

func checkRequest(t *testing.T, body []byte) {
	t.Helper()
	var request RemoteRequest
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&request); err != nil {
		t.Fatalf("the request: %v", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for field := range reflect.TypeFor[RemoteRequest]().Fields() {
		want = append(want, field.Tag.Get("json"))
	}
	for name := range fields {
		got = append(got, name)
	}
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("the request (-code +docs):\n%s", diff)
	}
	if request.Head.ID != request.Operation.Target || request.Key != request.Operation.ID.String() {
		t.Errorf("the request does not agree with itself: %+v", request)
	}
}
