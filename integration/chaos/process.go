package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// launcher starts processes. The kernel kills them when the thread that started them
// ends, so that nothing outlives the run, and therefore one thread starts them all.
type launcher struct{ starts chan func() }

// newLauncher returns a launcher that works until ctx is done.
func newLauncher(ctx context.Context) *launcher {
	l := &launcher{starts: make(chan func())}
	go func() { // ends with ctx, its thread with the process
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case start := <-l.starts:
				start()
			case <-ctx.Done():
				return
			}
		}
	}()
	return l
}

// process is a process that was started. It may have ended.
type process struct {
	name  string
	began time.Time
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	err   error         // how it ended, once done is closed
}

// start starts a program whose output is appended to a log. It ends with ctx at the
// latest.
func (l *launcher) start(ctx context.Context, name, log string, env []string, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer out.Close() // the process has its own
	p := &process{name: name, began: time.Now(), cmd: exec.CommandContext(ctx, program, args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	select {
	case l.starts <- func() { started <- p.cmd.Start() }:
	case <-ctx.Done():
		return nil, fmt.Errorf("starting %s: %w", name, ctx.Err())
	}
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { // ends with the process
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// signal sends a signal. A process that has ended is none the worse for it.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", s, p.name, err)
	}
	return nil
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.done
	return err
}

// startTime is how long a process may take to begin to listen to signals.
const startTime = 2 * time.Second

// terminate asks the process to end and returns how it did. It is an error not to end
// in time, or, but for one that has only just begun, by the signal.
func (p *process) terminate(patience time.Duration) error {
	young := time.Since(p.began) < startTime
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		if p.err != nil && !young {
			return fmt.Errorf("%s after SIGTERM: %w", p.name, p.err)
		}
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s has not ended %v after SIGTERM", p.name, patience), p.kill())
	}
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
