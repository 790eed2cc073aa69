package operation

import "testing"

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
