package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// ErrNotDrained says that what was accepted takes longer to end than it was given.
var ErrNotDrained = errors.New("not everything that was accepted has ended")

// Resize says how the number of partitions is to be changed.
type Resize struct {
	To       int            // partitions, 1 to [MaxPartitions]; not needed to undo a change
	Owner    string         // what fences name meanwhile; a subject token
	Patience time.Duration  // in which what was accepted has to end
	Progress func(Progress) // called with each step, and now and then during a long one; nil: never
}

// Progress is how far a change has come.
type Progress struct {
	Step string `json:"step"`
	Done int    `json:"done"` // steps before it
	Of   int    `json:"of"`   // all steps
	Drain
}

// Resized is what a change came to.
type Resized struct {
	From       int           `json:"from"`
	To         int           `json:"to"`
	Generation uint64        `json:"generation"`
	Resumed    bool          `json:"resumed,omitempty"`  // it had been begun before
	Closed     time.Duration `json:"-"`                  // no operations were taken, as far as this run knows
	Recalled   int           `json:"recalled,omitempty"` // operations that the new partitions remember (rule R9)
}

// Resizing changes the number of partitions of a system whose workers go on running.
//
// Nothing that is stored of entities depends on that number. What does are the fences,
// the decision records, and how the operations stream sorts what it takes. So the
// change is a barrier: the operations stream takes no more, what it has is brought to
// an end, every fence is claimed, and one commit writes the fences of all partitions
// anew. That commit is the point of no return: before it a change can be undone, after
// it only finished, which whoever runs it again does, also after a crash.
//
// It is for one goroutine.
type Resizing struct {
	js    jetstream.JetStream
	space subjects.Space
	want  Resize
	lock  *resizeLock
	s     *JetStream
	was   Opened // as the operations stream says

	fences    []Held // by partition, once they are claimed
	end       uint64 // the operations stream's last sequence, once it is sealed
	begun     bool   // by this run or by another
	committed bool
	sealed    time.Time // by this run
	at        Progress
	sum       Resized
}

// NewResizing opens the streams of a space for a change.
func NewResizing(ctx context.Context, js jetstream.JetStream, space subjects.Space, want Resize) (*Resizing, error) {
	z := &Resizing{js: js, space: space, want: want}
	if err := z.look(ctx); err != nil {
		return nil, err
	}
	if z.want.To < 1 || z.want.To > MaxPartitions {
		return nil, fmt.Errorf("partitions is %d: want 1 to %d", z.want.To, MaxPartitions)
	}
	var err error
	z.lock, err = newResizeLock(ctx, js, space, z.want)
	return z, err
}

// look reads what there is. Who holds the lock looks again: another may have changed it
// meanwhile.
func (z *Resizing) look(ctx context.Context) (err error) {
	if z.was, err = Open(ctx, z.js, z.space); err != nil {
		return err
	}
	if z.want.To == 0 { // to undo a change
		z.want.To = max(z.was.Resizing, 1)
	}
	if z.s, err = NewJetStream(ctx, z.js, z.space); err != nil {
		return err
	}
	first, err := z.s.Fence(ctx, 0)
	if err != nil {
		return err
	}
	z.begun = z.was.Resizing > 0
	z.committed = z.begun && z.was.Resizing == z.want.To && first.Resizing == 0 && first.Partitions == z.want.To
	z.sum = Resized{From: z.was.Partitions, To: z.want.To, Resumed: z.begun, Generation: first.Generation}
	return nil
}

// Was returns what the streams were when they were opened.
func (z *Resizing) Was() Opened { return z.was }

// Step is a part of a change. A change that ends between two of them can be taken up.
type Step struct {
	Name string
	Do   func(context.Context) error
}

// Run changes the number of partitions. If that fails before the point of no return,
// everything is as it was and operations are taken again: so after [ErrUnsafe], after
// [ErrNotDrained], and when ctx ends.
func (z *Resizing) Run(ctx context.Context) (Resized, error) {
	ctx, release, err := z.lock.hold(ctx)
	if err != nil {
		return Resized{}, err
	}
	defer release()
	if err := z.look(ctx); err != nil {
		return Resized{}, err
	}
	steps, err := z.Steps()
	if err != nil {
		return Resized{}, err
	}
	if len(steps) > 0 && !z.committed {
		steps = append([]Step{{"survey", z.safe}}, steps...)
	}
	for i, step := range steps {
		z.tell(Progress{Step: step.Name, Done: i, Of: len(steps)})
		if err := step.Do(ctx); err != nil {
			return Resized{}, z.failed(ctx, fmt.Errorf("changing the number of partitions (%s): %w", step.Name, err))
		}
	}
	return z.sum, nil
}

func (z *Resizing) tell(p Progress) {
	z.at = p
	if z.want.Progress != nil {
		z.want.Progress(p)
	}
}

// Steps returns what Run does while it holds its lock; nothing if the number is as it
// should be.
func (z *Resizing) Steps() ([]Step, error) {
	switch {
	case z.was.Resizing > 0 && z.was.Resizing != z.want.To:
		return nil, z.other()
	case z.was.Resizing == 0 && z.was.Partitions == z.want.To:
		return nil, nil
	}
	if z.committed {
		return z.finish(), nil
	}
	steps := append([]Step{{"seal", z.seal}, {"drain", z.drain}}, z.claims(z.want.To)...)
	steps = append(steps, Step{"check", z.check})
	return append(append(steps, z.move(z.want.To)...), z.finish()...), nil
}

// other says that another change than the wanted one was begun.
func (z *Resizing) other() error {
	return fmt.Errorf("%w from %d to %d: finish that first, or undo it with --abort", ErrResizing, z.was.Partitions, z.was.Resizing)
}

// finish returns the steps after the point of no return.
func (z *Resizing) finish() []Step {
	return []Step{
		{"confirm", z.confirm},
		{"mark the store", func(ctx context.Context) error { return z.mark(ctx, z.want.To) }},
		{"open", func(ctx context.Context) error { return z.open(ctx, z.want.To) }},
	}
}

// undoTimeout bounds how long a run that failed tries to leave everything as it was.
const undoTimeout = 20 * time.Second

// failed undoes what can be undone, whatever has become of ctx.
func (z *Resizing) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errLockLost):
		return fmt.Errorf("%w; whoever has it now finishes or undoes this", context.Cause(ctx))
	case !z.begun:
		return fmt.Errorf("%w; nothing was changed", err)
	case z.committed:
		return fmt.Errorf("%w; all but the last steps are done, run it again to finish", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if undone := z.undo(ctx); undone != nil {
		return fmt.Errorf("%w; undoing it: %w; no operations are taken until it is run again, to finish or with --abort", err, undone)
	}
	return fmt.Errorf("%w; operations are taken again, by %d partitions as before", err, z.was.Partitions)
}

// Abort undoes a change that was begun and has not been finished, so that there are as
// many partitions as before and operations are taken again.
func (z *Resizing) Abort(ctx context.Context) error {
	ctx, release, err := z.lock.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := z.look(ctx); err != nil {
		return err
	}
	if z.was.Resizing == 0 {
		return errors.New("nobody has begun to change the number of partitions: there is nothing to undo")
	}
	z.want.To = z.was.Resizing
	return z.undo(ctx)
}

func (z *Resizing) undo(ctx context.Context) error {
	steps, err := z.UndoSteps(ctx)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := step.Do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.Name, err)
		}
	}
	return nil
}

// UndoSteps returns what Abort does while it holds its lock. Fences that are claimed,
// or of the new number already, are moved back like they were moved; workers have gone
// on with all others.
func (z *Resizing) UndoSteps(ctx context.Context) ([]Step, error) {
	var steps []Step
	for p := range z.size() {
		f, err := z.s.Fence(ctx, p)
		if err != nil {
			return nil, err
		}
		if f.Resizing > 0 || p < z.was.Partitions && f.Partitions > 0 && f.Partitions != z.was.Partitions {
			steps = append(z.claims(z.was.Partitions), z.move(z.was.Partitions)...)
			break
		}
	}
	return append(steps,
		Step{"mark the store", func(ctx context.Context) error { return z.mark(ctx, z.was.Partitions) }},
		Step{"open", func(ctx context.Context) error { return z.open(ctx, z.was.Partitions) }},
	), nil
}

// size is how many partitions there are before or after, whichever is more.
func (z *Resizing) size() int { return max(z.was.Partitions, z.want.To) }
