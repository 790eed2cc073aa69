package operation

import "fmt"

// Priority ranks operations that contend for one entity; the greater wins. The
// zero value is no priority at all.
type Priority int

// The four priorities a publisher may use. The numbers are ranks: they are
// compared, never stored. On the wire a priority is its name.
const (
	Low      Priority = 2
	Normal   Priority = 5
	High     Priority = 8
	Critical Priority = 10
)

// Priorities lists the priorities from the lowest to the highest.
func Priorities() []Priority { return []Priority{Low, Normal, High, Critical} }

// ParsePriority returns the priority of that name.
func ParsePriority(name string) (Priority, error) {
	for _, p := range Priorities() {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown priority %q: want low, normal, high or critical", name)
}

// String returns the name that stands in subjects and documents.
func (p Priority) String() string {
	switch p {
	case Low:
		return "low"
	case Normal:
		return "normal"
	case High:
		return "high"
	case Critical:
		return "critical"
	}
	return fmt.Sprintf("priority(%d)", int(p))
}

// MarshalText writes the name.
func (p Priority) MarshalText() ([]byte, error) {
	if _, err := ParsePriority(p.String()); err != nil {
		return nil, err
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads a name.
func (p *Priority) UnmarshalText(text []byte) error {
	got, err := ParsePriority(string(text))
	if err != nil {
		return err
	}
	*p = got
	return nil
}
