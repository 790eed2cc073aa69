package main

import (
	"log/slog"
	"net"
	"testing"
)

// TestWorkersOnOneMachineNeedNoFlag has somebody listen on the default port.
func TestWorkersOnOneMachineNeedNoFlag(t *testing.T) {
	var config net.ListenConfig
	if first, err := config.Listen(t.Context(), "tcp", defaultHTTP); err == nil { // else it is in use already
		defer first.Close()
	}
	w, err := startWeb(t.Context(), defaultHTTP, &telemetry{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if at := w.listener.Addr().String(); at == defaultHTTP {
		t.Errorf("two listen on %s", at)
	}
}
