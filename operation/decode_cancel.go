package operation

import "github.com/google/uuid"

// cancelDecoder reads a cancellation.
type cancelDecoder struct {
	scanner
	out Cancel
}

func (d *cancelDecoder) cancel() (Cancel, error) {
	if n := len(d.data); n > MaxBytes {
		return Cancel{}, invalid(wholeBody, "the document takes %d bytes, at most %d are allowed", n, MaxBytes)
	}
	if err := d.document(d.field); err != nil {
		return Cancel{}, err
	}
	if d.out.ID == uuid.Nil {
		return Cancel{}, invalid("cancel_id", "missing")
	}
	if d.out.OpID == uuid.Nil {
		return Cancel{}, invalid("op_id", "missing")
	}
	return d.out, nil
}

func (d *cancelDecoder) field(key []byte) error {
	v, err := d.value()
	if err != nil {
		return err
	}
	switch string(key) {
	case "cancel_id":
		return d.id(v, &d.out.ID)
	case "op_id":
		return d.id(v, &d.out.OpID)
	case "reason":
		return readText(&d.scanner, v, MaxTextBytes, &d.out.Reason)
	}
	return d.unknown(key, []string{"cancel_id", "op_id", "reason"})
}
