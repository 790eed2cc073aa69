package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const healthcheckLong = `Healthcheck asks an HTTP address how it is: exit code 0 says that it answered well.

It is what the images use, which hold neither a shell nor another program to ask with.
Without URL it asks the worker of this machine whether it lives; /readyz in place of
/livez asks whether it should be sent work. A broker answers on its monitoring port.`

const healthcheckExample = `  hierarchy healthcheck
  hierarchy healthcheck http://127.0.0.1:8222/readyz
  hierarchy healthcheck http://broker-1:8222/healthz`

// defaultHealth is where a worker tells how it is unless it was told otherwise.
const defaultHealth = "http://127.0.0.1:8222/livez"

// healthTimeout bounds a check of which nobody said how long it may take.
const healthTimeout = 2 * time.Second

func newHealthcheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck [URL]", Short: "Ask a worker or a broker how it is",
		Long: healthcheckLong, Example: healthcheckExample, Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout := healthTimeout
			if cmd.Flags().Changed("timeout") {
				timeout = a.global.timeout
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return a.healthcheck(ctx, append(args, defaultHealth)[0])
		},
	}
}

func (a *app) healthcheck(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, bytes.TrimSpace(body))
	}
	a.printf("%s", bytes.TrimSpace(body))
	return nil
}
