package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// scale asks scales that speak HTTP.
type scale struct {
	url  string
	http *http.Client
}

// weigh asks the scale of a tank what it weighs, and keeps the answer as a version of
// the tank. It does I/O, so it runs outside the commit: that the attempt has started is
// stored before, and what comes back is stored after. Meanwhile nothing else is done to
// the tank.
func (s *scale) weigh(ctx context.Context, task ecsstore.Task) (ecsstore.Patch, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/"+task.Head.Name, http.NoBody)
	if err != nil {
		return ecsstore.Patch{}, operation.Refuse("no_scale", "asking the scale: %v", err)
	}
	// The same for every attempt of the operation: a scale that has weighed for it
	// already does not weigh again.
	request.Header.Set("Idempotency-Key", task.Key())
	response, err := s.http.Do(request)
	if err != nil {
		return ecsstore.Patch{}, fmt.Errorf("asking the scale: %w", err) // another attempt may help
	}
	defer response.Body.Close()
	weight, err := io.ReadAll(io.LimitReader(response.Body, 100))
	switch {
	case err != nil:
		return ecsstore.Patch{}, fmt.Errorf("reading the scale's answer: %w", err)
	case response.StatusCode == http.StatusNotFound:
		return ecsstore.Patch{}, operation.Refuse("no_scale", "%s stands on no scale", task.Head.Name)
	case response.StatusCode != http.StatusOK:
		return ecsstore.Patch{}, operation.Retryable("scale_failed", "the scale says %s", response.Status)
	}
	return ecsstore.Patch{
		Set:  map[string]json.RawMessage{"weight": weight},
		Note: "weighed", Version: true,
	}, nil
}
