package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// traceSink is a collector that takes spans and throws them away.
type traceSink struct {
	url      string
	server   *http.Server
	done     chan struct{}
	received atomic.Int64 // requests
}

// tracing starts the sink and returns the environment that makes a server push its spans there, at the default share of 1 %.
func (b *bench) tracing() ([]string, error) {
	if b.sink == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := &traceSink{url: "http://" + listener.Addr().String() + "/v1/traces", done: make(chan struct{})}
		s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.received.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/x-protobuf")
		})}
		go func() {
			defer close(s.done)
			if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				b.say("trace sink: %v", err)
			}
		}()
		b.sink = s
	}
	return []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + b.sink.url, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, nil
}

func (s *traceSink) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx)
	<-s.done
}
