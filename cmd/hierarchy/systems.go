package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// systems are the slow systems that answer on NATS, by the type of operation that
// they execute.
type systems map[operation.Type]remote

// remote is where a system answers, and how long an attempt may take; 0: as long as
// with any other.
type remote struct {
	subject string
	timeout time.Duration
}

func (r remote) String() string {
	if r.timeout == 0 {
		return r.subject
	}
	return r.subject + "," + r.timeout.String()
}

func systemFlags(flags *pflag.FlagSet, s *systems) {
	flags.Var(s, "system", "have operations of a type executed by whoever answers on a subject, within --slow-timeout or a time-out of its own: TYPE=SUBJECT or TYPE=SUBJECT,5s; may be given several times")
}

// Type implements pflag.Value.
func (*systems) Type() string { return "TYPE=SUBJECT" }

func (s *systems) String() string {
	var out []string
	for name, r := range *s {
		out = append(out, string(name)+"="+r.String())
	}
	return strings.Join(slices.Sorted(slices.Values(out)), " ")
}

// Set implements pflag.Value.
func (s *systems) Set(text string) error {
	name, where, _ := strings.Cut(text, "=")
	subject, timeout, own := strings.Cut(where, ",")
	if name == "" || subject == "" || strings.ContainsAny(subject, " *>\t") {
		return fmt.Errorf("%q: want TYPE=SUBJECT", text)
	}
	r := remote{subject: subject}
	if own {
		var err error
		if r.timeout, err = time.ParseDuration(timeout); err != nil || r.timeout <= 0 {
			return fmt.Errorf("%q: want a positive time-out behind the comma, like 5s", text)
		}
	}
	if _, twice := (*s)[operation.Type(name)]; twice {
		return fmt.Errorf("type %s is given twice", name)
	}
	if *s == nil {
		*s = systems{}
	}
	(*s)[operation.Type(name)] = r
	return nil
}

// over returns the systems as those that ask over nc.
func (s *systems) over(nc *nats.Conn) map[operation.Type]ecsstore.SlowSystem {
	out := map[operation.Type]ecsstore.SlowSystem{}
	for name, r := range *s {
		out[name] = consumer.Remote(nc, r.subject)
		if r.timeout > 0 {
			out[name] = ecsstore.Within(r.timeout, out[name])
		}
	}
	return out
}

// anyType lets every type of operation through: which ones there are only workers know.
func anyType(operation.Type) bool { return true }
