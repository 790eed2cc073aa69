package main

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// systems are the slow systems that answer on NATS, by the type of operation that
// they execute.
type systems map[operation.Type]string

func systemFlags(flags *pflag.FlagSet, s *systems) {
	flags.Var(s, "system", "have operations of a type executed by whoever answers on a subject: TYPE=SUBJECT; may be given several times")
}

// Type implements pflag.Value.
func (*systems) Type() string { return "TYPE=SUBJECT" }

func (s *systems) String() string {
	var out []string
	for name, subject := range *s {
		out = append(out, string(name)+"="+subject)
	}
	return strings.Join(out, ",")
}

// Set implements pflag.Value.
func (s *systems) Set(text string) error {
	name, subject, found := strings.Cut(text, "=")
	if !found || name == "" || subject == "" || strings.ContainsAny(subject, " *>\t") {
		return fmt.Errorf("%q: want TYPE=SUBJECT", text)
	}
	if *s == nil {
		*s = systems{}
	}
	(*s)[operation.Type(name)] = subject
	return nil
}

// over returns the systems as those that ask over nc.
func (s *systems) over(nc *nats.Conn) map[operation.Type]ecsstore.SlowSystem {
	out := map[operation.Type]ecsstore.SlowSystem{}
	for name, subject := range *s {
		out[name] = consumer.Remote(nc, subject)
	}
	return out
}
