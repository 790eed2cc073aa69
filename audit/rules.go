package audit

import "time"

// Rules are the settings of the workers on which it depends what is right. Workers
// of one system agree on them.
type Rules struct {
	GracePeriod     time.Duration // in which a holder between attempts cannot be displaced
	RetryBase       time.Duration // before the first retry, doubled with each
	RetryMax        time.Duration // the longest delay before a retry
	MaxClockSkew    time.Duration // how far created_at may lie before the broker's time
	MaxOperationAge time.Duration // after which an operation that was not resolved expires
	// IndependentChildren is set where children do not need a live parent.
	IndependentChildren bool
}

// DefaultRules returns the documented defaults.
func DefaultRules() Rules {
	return Rules{
		GracePeriod: 100 * time.Millisecond, RetryBase: 100 * time.Millisecond, RetryMax: 5 * time.Second,
		MaxClockSkew: 2 * time.Second, MaxOperationAge: 24 * time.Hour,
	}
}

// clamp returns the creation time that counts (rule R3): a time that was not given,
// or lies in the broker's future, is the broker's; one that lies too far back is the
// earliest allowed.
func (r *Rules) clamp(created, received time.Time) time.Time {
	if created.IsZero() || created.After(received) {
		return received
	}
	if earliest := received.Add(-r.MaxClockSkew); created.Before(earliest) {
		return earliest
	}
	return created
}

// delay returns the shortest and the longest delay before a retry, the first of
// which is number 1 (rule R12). Delays are drawn in whole nanoseconds.
func (r *Rules) delay(retry int) (shortest, longest time.Duration) {
	d := r.RetryBase
	for i := 1; i < retry && d < r.RetryMax; i++ {
		d *= 2
	}
	d = min(d, r.RetryMax)
	fifth := d / 5
	return d - fifth - 1, d + fifth + 1
}

// expired reports whether an operation has expired at a time (rule R15).
func (r *Rules) expired(created, expires, now time.Time) bool {
	return !expires.IsZero() && now.After(expires) || now.Sub(created) > r.MaxOperationAge
}
