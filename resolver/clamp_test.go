package resolver

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestR3_ClampKeepsCreationWithinTheSkew(t *testing.T) {
	const skew = 2 * time.Second
	for about, c := range map[string]struct {
		created time.Time
		skew    time.Duration
		want    time.Time
	}{
		"absent":                 {time.Time{}, skew, start},
		"now":                    {start, skew, start},
		"a little earlier":       {start.Add(-time.Second), skew, start.Add(-time.Second)},
		"as early as allowed":    {start.Add(-skew), skew, start.Add(-skew)},
		"a nanosecond too early": {start.Add(-skew - 1), skew, start.Add(-skew)},
		"forged past":            {start.Add(-1000 * time.Hour), skew, start.Add(-skew)},
		"a nanosecond late":      {start.Add(1), skew, start},
		"far future":             {start.Add(1000 * time.Hour), skew, start},
		"no skew":                {start.Add(-1), 0, start},
		"negative skew":          {start.Add(-1), -time.Hour, start},
	} {
		if got := Clamp(c.created, start, c.skew); !got.Equal(c.want) {
			t.Errorf("%s: %v counts as %v, want %v", about, c.created, got, c.want)
		}
	}
}

func TestR3_ClampSpeaksUTC(t *testing.T) {
	zone := time.FixedZone("elsewhere", 3600)
	for _, created := range []time.Time{{}, start.In(zone), start.Add(-time.Hour).In(zone)} {
		if got := Clamp(created, start.In(zone), time.Second); got.Location() != time.UTC {
			t.Errorf("%v counts as %v", created, got)
		}
	}
}

func TestR3_ClampIsIdempotentAndMonotonic(t *testing.T) {
	offset := rapid.Int64Range(-5_000_000, 5_000_000)
	rapid.Check(t, func(t *rapid.T) {
		skew := time.Duration(offset.Draw(t, "skew"))
		early, late := start.Add(time.Duration(offset.Draw(t, "a"))), start.Add(time.Duration(offset.Draw(t, "b")))
		if early.After(late) {
			early, late = late, early
		}
		first, second := Clamp(early, start, skew), Clamp(late, start, skew)
		if first.After(second) {
			t.Fatalf("%v counts as %v, and the later %v as %v", early, first, late, second)
		}
		if again := Clamp(first, start, skew); !again.Equal(first) {
			t.Fatalf("%v counts as %v and that as %v", early, first, again)
		}
	})
}
