package consumer

import (
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// MaxCrashes is how many workers an operation may kill (rule R16).
const MaxCrashes = 5

// become moves an operation on in its life.
func become(r *operation.Record, next operation.Status) error {
	err := legal(r, next)
	if err == nil {
		r.Status = next
	}
	return err
}

// legal holds a transition against the one table that knows which there are.
func legal(r *operation.Record, next operation.Status) error {
	if r.Status.CanBecome(next) {
		return nil
	}
	return fmt.Errorf("operation %s is %s and cannot become %s", r.OpID, r.Status, next)
}

// start begins an attempt of an operation that its entity's lane is free for, or
// whose holder it is. A pure system is executed here and now, a slow one after the
// commit that says so.
func (d *draft) start(old *operation.Record) error {
	r := *old
	refusal, err := d.refusal(&r)
	if err != nil {
		return err
	}
	if refusal != nil {
		return d.reject(&r, refusal.Reason, refusal.Message, nil)
	}
	if r.Careful && r.Status == operation.Pending && !d.alone(&r) {
		r.Due = time.Time{} // it waits for its turn
		d.hold(&r)
		return nil
	}
	if err := become(&r, operation.Executing); err != nil {
		return err
	}
	r.Attempt++
	r.AttemptAt, r.Due = d.round.now, time.Time{}
	d.tally.started++
	if err := d.event(operation.StartedEvent, &r, &operation.StartedDetail{Detail: d.detail(&r), Attempt: r.Attempt}); err != nil {
		return err
	}
	slow := d.round.cfg.slow(r.Operation.Type)
	if slow {
		if err := d.needTarget(&r); err != nil {
			return d.failed(&r, err)
		}
	}
	if slow || r.Careful || r.Crashes > 0 {
		d.hold(&r)
		d.runs = append(d.runs, &r)
		return nil
	}
	return d.execute(&r, d.round.cfg.system(r.Operation.Type), nil)
}

// refusal checks what must hold before an operation contends again and before each
// attempt: it has not expired (rule R15) and its parent is live (rule R10).
func (d *draft) refusal(r *operation.Record) (*operation.Failure, error) {
	if f := d.expired(r); f != nil {
		return f, nil
	}
	if r.Role == "" { // its window has just looked
		return nil, nil //nolint:nilnil // no refusal, no error
	}
	if f := d.bereft(r); f != nil {
		return f, nil
	}
	_, err := d.inherit(r)
	if err == nil || missing(err) {
		return nil, err
	}
	return operation.AsFailure(err), nil
}

func (d *draft) expired(r *operation.Record) *operation.Failure {
	now, cfg := d.round.now, d.round.cfg
	fail := func(format string, args ...any) *operation.Failure {
		return &operation.Failure{Reason: operation.Expired, Message: fmt.Sprintf(format, args...), Permanent: true}
	}
	if at := r.Operation.ExpiresAt; !at.IsZero() && now.After(at) {
		return fail("expired at %s", at.Format(time.RFC3339Nano))
	}
	if age := now.Sub(r.CreatedAt); age > cfg.MaxOperationAge {
		return fail("is %v old: %v at most", age.Truncate(time.Second), cfg.MaxOperationAge)
	}
	return nil
}

// needTarget fails like a pure system would if the target is not there.
func (d *draft) needTarget(r *operation.Record) error {
	e, err := d.round.tx.Entity(r.Operation.Target)
	switch {
	case err != nil:
		return err
	case e == nil:
		return operation.Retryable(operation.TargetNotFound, "entity %s does not exist", r.Operation.Target)
	case e.Place == ecsstore.Deleted:
		return operation.Refuse(operation.EntityDeleted, "entity %s was deleted", r.Operation.Target)
	}
	return nil
}

// execute runs a system against the round's transaction and settles the attempt.
// took is what the attempt took outside the commit, if it did anything there.
func (d *draft) execute(r *operation.Record, system ecsstore.System, took *time.Duration) error {
	began := time.Now()
	before := len(d.round.tx.Versions())
	result, err := d.round.tx.Execute(system, ecsstore.Execution{
		Operation: r.Operation, Effective: r.EffectivePriority, Depth: r.Depth, Time: d.round.now,
	})
	if took == nil && d.round.traced {
		d.ran = stretch{began, time.Now()}
		defer func() { d.ran = stretch{} }()
	}
	if err != nil {
		return d.failed(r, err)
	}
	versions := d.round.tx.Versions()[before:]
	d.part.Versions = append(d.part.Versions, versions...)
	d.part.Fence.Counts.Versions += uint64(len(versions))
	elapsed := time.Since(began)
	if took != nil {
		elapsed += *took
	}
	return d.completed(r, result, elapsed)
}

func (d *draft) completed(r *operation.Record, result ecsstore.Result, took time.Duration) error {
	changes := result.Changes
	if changes == nil {
		changes = []operation.Change{}
	}
	d.free(r)
	d.tally.executed(took)
	if err := d.end(r, operation.Succeeded, ""); err != nil {
		return err
	}
	return d.event(operation.CompletedEvent, r, &operation.CompletedDetail{
		Detail: d.detail(r), Attempt: r.Attempt, ExecutionMS: milliseconds(took),
		Version: result.Version, Revision: result.Revision, Changes: changes,
	})
}

// failed settles an attempt that failed: a rejection if the operation can never
// succeed (rule R13), else a retry if one is left (rule R12).
func (d *draft) failed(r *operation.Record, err error) error {
	if missing(err) {
		return err
	}
	f := operation.AsFailure(err)
	f.Message = abridge(f.Message)
	r.LastError = f.Message
	if f.Permanent || d.ahead(r) {
		return d.reject(r, f.Reason, f.Message, nil)
	}
	if err := become(r, operation.Failed); err != nil {
		return err
	}
	d.tally.failed++
	if err := d.event(operation.FailedEvent, r, &operation.FailedDetail{
		Detail: d.detail(r), Attempt: r.Attempt, Error: f.Message, Reason: f.Reason, RetryCount: r.Retries,
	}); err != nil {
		return err
	}
	if r.Retries >= r.Operation.Retries() {
		message := fmt.Sprintf("gave up after %d attempts: %s", r.Attempt, f.Message)
		return d.reject(r, operation.MaxRetriesExceeded, message, nil)
	}
	r.Retries++
	return d.retry(r, d.round.cfg.delay(r.Retries-1), f.Reason)
}

// ahead reports whether an operation goes ahead of the holder of its entity, so that it
// has no place to wait in for another attempt.
func (d *draft) ahead(r *operation.Record) bool {
	holder := d.lane(r.Operation.Target).holder
	return holder != nil && holder.OpID != r.OpID
}

// abridge bounds what a system says of a failure: it is stored and told several times.
func abridge(message string) string {
	if len(message) <= operation.MaxTextBytes {
		return message
	}
	const more = " ..."
	return strings.ToValidUTF8(message[:operation.MaxTextBytes-len(more)], "") + more
}

// retry lets the operation wait for its next attempt.
func (d *draft) retry(r *operation.Record, delay time.Duration, reason operation.Reason) error {
	if err := become(r, operation.Pending); err != nil {
		return err
	}
	r.Due, r.RetryReason = d.round.now.Add(delay), reason
	d.tally.retried++
	d.hold(r)
	return d.event(operation.RetryEvent, r, &operation.RetryDetail{
		Detail: d.detail(r), RetryCount: r.Retries, MaxRetries: r.Operation.Retries(),
		BackoffMS: milliseconds(delay), Due: r.Due, Reason: reason,
	})
}

// recovered puts an operation back whose worker went away during the attempt, or
// gives it up if it has killed too many (rule R16). A worker that let go in good
// order does not count against the operation.
func (d *draft) recovered(r *operation.Record) error {
	if d.p.claim.claim.Unclean {
		r.Crashes++
	}
	if r.Crashes >= MaxCrashes {
		return d.reject(r, operation.Poison, fmt.Sprintf("%d workers died during its attempts", r.Crashes), nil)
	}
	r.Careful = !d.round.cfg.slow(r.Operation.Type) || r.Crashes > 1
	return d.retry(r, 0, operation.Recovered)
}

// reject ends an operation. winner is the one it had to give way to, if any.
func (d *draft) reject(r *operation.Record, reason operation.Reason, message string, winner *operation.Record) error {
	d.free(r)
	if err := d.end(r, operation.Rejected, reason); err != nil {
		return err
	}
	detail := &operation.RejectedDetail{Detail: d.detail(r), Reason: reason, Message: message}
	if winner != nil {
		detail.WinnerOpID, detail.WinnerPriority = winner.OpID, winner.EffectivePriority
	}
	return d.event(operation.RejectedEvent, r, detail)
}

// system returns the pure system of a type.
func (c *Config) system(name operation.Type) ecsstore.System {
	if s, ok := c.Systems[name]; ok {
		return s
	}
	return builtin[name]
}

var builtin = ecsstore.Builtin()

// delay returns how long to wait before a retry, the first of which is number 0.
func (c *Config) delay(retry int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(c.RetryBase), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2), backoff.WithMaxInterval(c.RetryMax),
		backoff.WithMaxElapsedTime(0),
	)
	for range retry {
		b.NextBackOff()
	}
	return b.NextBackOff()
}

// ref is a record's reference as a parent.
func ref(r *operation.Record) operation.Ref {
	return operation.Ref{Target: r.Operation.Target, ID: r.OpID}
}
