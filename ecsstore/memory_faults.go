package ecsstore

import (
	"context"
	"errors"
)

// Call names a method of a store that a test can make fail.
type Call string

// The calls. The first three write, the others read.
const (
	CallClaim   Call = "claim"
	CallRelease Call = "release"
	CallCommit  Call = "commit"
	CallFence   Call = "fence"
	CallLoad    Call = "load"
	CallFind    Call = "find"
)

// Fault is how a call goes wrong.
type Fault int

// The faults of calls that write. Every lost reply has two halves, and whoever calls
// must live with both. A call that reads fails with [ErrUnknown] whatever the fault.
const (
	NoFault           Fault = iota
	FailAndNotPersist       // the reply is lost and nothing was stored: ErrUnknown
	FailButPersist          // the reply is lost and everything was stored: ErrUnknown
	Refuse                  // as if a condition did not hold: ErrRefused, nothing stored
	RefuseBusy              // as if the broker had too much to do: ErrBusy, nothing stored
)

// errInjected is the cause of what a fault makes of a call.
var errInjected = errors.New("fault injected")

// refusal is the error of a fault after which nothing was stored, and which says so.
func (f Fault) refusal() error {
	switch f {
	case Refuse:
		return errors.Join(ErrRefused, errInjected)
	case RefuseBusy:
		return errors.Join(ErrBusy, errInjected)
	case NoFault, FailAndNotPersist, FailButPersist:
	}
	return nil
}

// Fail gives the next calls of a kind these faults, one each, after those that were
// given before and are not used up.
func (m *Memory) Fail(call Call, faults ...Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[call] = append(m.faults[call], faults...)
}

// next uses up the next fault of a call.
func (m *Memory) next(call Call) Fault {
	faults := m.faults[call]
	if len(faults) == 0 {
		return NoFault
	}
	m.faults[call] = faults[1:]
	return faults[0]
}

// read begins a call that reads.
func (m *Memory) read(ctx context.Context, call Call) error {
	if m.next(call) != NoFault {
		return errors.Join(ErrUnknown, errInjected)
	}
	return ctx.Err()
}
