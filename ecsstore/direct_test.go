package ecsstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
)

// TestR16_ADirectAnswerIsWhole has a broker answer that loses one of its messages: a
// claim must not take what is left for all there is.
func TestR16_ADirectAnswerIsWhole(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	s := &JetStream{nc: js.Conn(), js: js}
	for lost, want := range map[int]error{0: nil, 3: errScanGap, 5: errScanGap, 9: errScanGap} {
		answers, err := s.nc.Subscribe("$JS.API.DIRECT.GET."+s.space.StoreStream(), func(msg *nats.Msg) {
			for _, sequence := range []int{3, 5, 9} {
				one := nats.NewMsg(msg.Reply)
				one.Header = nats.Header{
					headerSubject: {"hierarchy.op.1.x"}, headerSequence: {fmt.Sprint(sequence)},
					headerBefore: {fmt.Sprint(map[int]int{3: 0, 5: 3, 9: 5}[sequence])},
				}
				if sequence != lost {
					_ = msg.RespondMsg(one)
				}
			}
			end := nats.NewMsg(msg.Reply)
			end.Header = nats.Header{headerStatus: {statusEnd}, headerPending: {"7"}, headerBefore: {"9"}}
			_ = msg.RespondMsg(end)
		})
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		rest, err := s.direct(t.Context(), directRequest{Sequence: 1, Batch: 10}, func(stored) error {
			read++
			return nil
		})
		if !errors.Is(err, want) || want == nil && (read != 3 || rest != 7) {
			t.Errorf("without %d: %d read and %d to come, %v; want %v", lost, read, rest, err, want)
		}
		if err := answers.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}
