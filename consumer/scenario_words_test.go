package consumer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (s *stage) number(text string) int {
	s.w.t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return n
}

// operation reads an operation: its priority, its entity, and words that say what it
// does and how. Without any it sets a field.
func (s *stage) operation(words []string) operation.Operation {
	s.w.t.Helper()
	p, err := operation.ParsePriority(words[0])
	if err != nil {
		s.w.t.Fatalf("%q is no step", strings.Join(words, " "))
	}
	o := modify(s.w.entity(words[1]), p, "1")
	o.ID = s.reserved(fmt.Sprintf("%s#%d", p, s.w.count[p]+1))
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		if !s.does(&o, name, value) && !s.how(&o, name, value) {
			s.w.t.Fatalf("%q is no word of an operation", word)
		}
	}
	return o
}

// does reads what an operation does, whether it was said already or not.
func (s *stage) does(o *operation.Operation, name, value string) bool {
	s.w.t.Helper()
	become := func(other operation.Operation) {
		o.Type, o.Params, o.Source = other.Type, other.Params, other.Source
	}
	switch name {
	case "set":
		become(modify(o.Target, o.Priority, value))
	case "add":
		become(op(operation.ComplexUpdate, o.Target, o.Priority, `{"add":{"`+cmp.Or(value, "counter")+`":1}}`))
	case "create":
		become(create(o.Target))
		if value != "" {
			o.Params = json.RawMessage(`{"type":"valve","components":{},"parent_id":"` + s.w.entity(value).String() + `"}`)
		}
	case "delete":
		become(op(operation.DeleteEntity, o.Target, o.Priority, `{}`))
	case "attach":
		become(attach(o.Target, s.w.entity(value), o.Priority))
	case "borrow":
		become(borrow(o.Target, s.w.entity(value), o.Priority))
	case "slow":
		become(slow(o.Target, o.Priority, script{Take: value, Set: json.RawMessage("2")}))
	case "ask":
		become(op(ask, o.Target, o.Priority, `{}`))
	case "pure":
		become(pure(o.Target, o.Priority, script{Set: json.RawMessage("2")}))
	default:
		return false
	}
	return true
}

// how reads what else is to be said of an operation.
func (s *stage) how(o *operation.Operation, name, value string) bool {
	s.w.t.Helper()
	switch name {
	case "fail": // attempts
		s.direct(o, func(sc *script) { sc.Fail = s.number(value) })
	case "until": // attempts before that fail
		s.direct(o, func(sc *script) { sc.Until = s.w.zero.Add(s.duration(value)).UTC() })
	case "permanent":
		s.direct(o, func(sc *script) { sc.Permanent = true })
	case "panic":
		s.direct(o, func(sc *script) { sc.Panic = true })
	case "late":
		s.direct(o, func(sc *script) { sc.Late = true })
	case "carry":
		*o = carry(*o)
	case "retries":
		*o = retries(s.number(value), *o)
	case "expires":
		*o = expiring(s.duration(value), *o)
	case "created": // relative to now
		o.CreatedAt = time.Now().Add(s.duration(value)).UTC()
	case "under":
		s.under(o, value)
	default:
		return false
	}
	return true
}

// direct changes the script of an operation.
func (s *stage) direct(o *operation.Operation, change func(*script)) {
	s.w.t.Helper()
	sc, err := operation.ParamsOf[script](o)
	if err != nil {
		s.w.t.Fatal(err)
	}
	change(&sc)
	if err := o.WithParams(sc); err != nil {
		s.w.t.Fatal(err)
	}
}

// under names the parent of an operation: as transcripts call it if it was submitted
// before, and else with its entity, as in high#2@tank-1.
func (s *stage) under(o *operation.Operation, parent string) {
	name, entity, later := strings.Cut(parent, "@")
	p := operation.Operation{ID: s.reserved(name), Target: o.Target}
	if later {
		p.Target = s.w.entity(entity)
	} else if known, ok := s.w.ops[p.ID]; ok {
		p.Target = known.Target
	}
	*o = under(p, *o)
}

// reserved returns the id of the operation that will be called name.
func (s *stage) reserved(name string) uuid.UUID {
	if s.ids == nil {
		s.ids = map[string]uuid.UUID{}
	}
	if _, ok := s.ids[name]; !ok {
		s.ids[name] = uuid.Must(uuid.NewV7())
	}
	return s.ids[name]
}
