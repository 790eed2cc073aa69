package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/pflag"
)

// profiles are the files that profiles of this process go to, where they are wanted.
type profiles struct{ cpu, memory string }

func (p *profiles) flags(flags *pflag.FlagSet) {
	flags.StringVar(&p.cpu, "cpuprofile", "", "file for a CPU profile")
	flags.StringVar(&p.memory, "memprofile", "", "file for a profile of allocations")
	for _, name := range []string{"cpuprofile", "memprofile"} {
		flags.Lookup(name).Hidden = true
	}
}

// start starts what is wanted; stop writes it.
func (p *profiles) start() (stop func() error, err error) {
	if p.cpu == "" {
		return p.writeMemory, nil
	}
	file, err := os.Create(p.cpu)
	if err != nil {
		return nil, fmt.Errorf("making a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("making a profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(file.Close(), p.writeMemory())
	}, nil
}

func (p *profiles) writeMemory() error {
	if p.memory == "" {
		return nil
	}
	file, err := os.Create(p.memory)
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	runtime.GC() // so that it says what is in use now
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}
