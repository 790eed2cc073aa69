package main

import (
	"encoding/json"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// tankFull is a reason of our own. Programs that read the events branch on it.
const tankFull operation.Reason = "tank_full"

// fillParams are the params of an operation of type fill: {"litres": 40}.
type fillParams struct {
	Litres json.Number `json:"litres"`
}

// fill pours into a tank what still goes into it: components level and capacity. It is
// pure, and what it changes is committed together with the events that tell of it.
func fill(tx *ecsstore.Txn, x ecsstore.Execution) ([]operation.Change, error) {
	params, err := operation.ParamsOf[fillParams](x.Operation)
	if err != nil {
		return nil, err
	}
	litres, err := params.Litres.Float64()
	if err != nil || litres < 0 {
		return nil, operation.Refuse(operation.Invalid, "params.litres is %q: want a number that is not negative", params.Litres)
	}
	tank, err := tx.Entity(x.Operation.Target)
	if err != nil {
		return nil, err // not loaded yet: the worker loads it and calls again
	}
	if tank == nil {
		return nil, operation.Retryable(operation.TargetNotFound, "there is no tank %s yet", x.Operation.Target)
	}
	if level, capacity := number(tank, "level"), number(tank, "capacity"); level+litres > capacity {
		return nil, operation.Refuse(tankFull, "%v litres do not go into a tank of %v that has %v", litres, capacity, level)
	}
	return ecsstore.ApplyPatch(tx, x, ecsstore.Patch{Add: map[string]json.Number{"level": params.Litres}})
}

// number reads a component that is a number. One that is missing counts as 0.
func number(e *ecsstore.Entity, component string) float64 {
	text, _ := e.Components[component].(json.Number) // numbers are kept as they were written
	n, _ := text.Float64()
	return n
}
