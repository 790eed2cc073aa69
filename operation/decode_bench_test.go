package operation

import (
	"fmt"
	"testing"
)

const (
	benchTarget = "0198c0de-0000-7000-8000-00000000000a"
	benchBody   = `{"op_id":"0198c0de-0000-7000-8000-000000000001","op_type":"modify_field","target_entity_id":"` + benchTarget +
		`","priority":"high","params":{"field":"position.x","value":7.25},"created_at":"2026-01-02T03:04:05.678901Z","max_retries":3,"parent_op_id":"0198c0de-0000-7000-8000-000000000002"}`
)

func BenchmarkDecode(b *testing.B) {
	body := []byte(benchBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, "high", benchTarget, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeWidest decodes what takes longest for its size: many keys, each of
// which is compared with all before it.
func BenchmarkDecodeWidest(b *testing.B) {
	body := fmt.Appendf(nil, `{"op_id":%q,"op_type":"modify_field","target_entity_id":%q,"params":{"field":"a","value":[{%s}`,
		known["ID"], benchTarget, members(MaxKeys))
	for range 14 {
		body = fmt.Appendf(body, ",{%s}", members(MaxKeys))
	}
	body = append(body, "]}}"...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, "high", benchTarget, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeInvalid decodes an operation that is refused and attributed.
func BenchmarkDecodeInvalid(b *testing.B) {
	body := []byte(benchBody)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, "low", benchTarget, nil); err == nil {
			b.Fatal("it was not refused")
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	op, err := Decode([]byte(benchBody), "high", benchTarget, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		op.Digest()
	}
}
