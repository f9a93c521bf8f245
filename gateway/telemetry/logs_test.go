package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
)

func TestLogsReachACollectorAndStayWhereTheyWere(t *testing.T) {
	col := &collector{}
	srv := httptest.NewServer(col)
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	var local strings.Builder
	log, stop, err := StartLogs(t.Context(), Options{
		Version: "1.2.3", Push: Push{Logs: true}, Logger: slog.New(slog.NewTextHandler(&local, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		t.Fatal(err)
	}
	traced := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{8}, TraceFlags: trace.FlagsSampled}))
	log.With(slog.String("room", "cellar")).WarnContext(traced, "a cork broke", slog.Int("bottle", 3), slog.String("why", strings.Repeat("x", 2*maxLogValue)))
	log.Debug("nobody asked for this level")
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	col.mu.Lock()
	defer col.mu.Unlock()
	var records []*logs.LogRecord
	for _, push := range col.logs {
		for _, r := range push.ResourceLogs {
			for _, s := range r.ScopeLogs {
				records = append(records, s.LogRecords...)
			}
		}
	}
	if len(records) != 1 {
		t.Fatalf("%d records were pushed, want 1", len(records))
	}
	r := records[0]
	attributes := map[string]string{}
	for _, a := range r.Attributes {
		attributes[a.Key] = a.Value.GetStringValue()
	}
	if r.Body.GetStringValue() != "a cork broke" || r.SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_WARN || attributes["room"] != "cellar" || len(attributes["why"]) != maxLogValue {
		t.Errorf("pushed %v", r)
	}
	if r.TraceId[0] != 7 || r.SpanId[0] != 8 {
		t.Errorf("trace %x, span %x", r.TraceId, r.SpanId)
	}
	if text := local.String(); strings.Count(text, "a cork broke") != 1 || !strings.Contains(text, "bottle=3") || strings.Contains(text, "nobody") {
		t.Errorf("local log %s", text)
	}
}

func TestWithoutPushTheLoggerIsTheSame(t *testing.T) {
	mine := slog.New(slog.DiscardHandler)
	log, stop, err := StartLogs(t.Context(), Options{Logger: mine})
	if err != nil || log != mine || stop(t.Context()) != nil {
		t.Errorf("logger %v, %v", log, err)
	}
}

// A collector that takes connections and never answers.
func TestNobodyWaitsForACollectorThatHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+silent.Addr().String())
	log, stop, err := StartLogs(t.Context(), Options{Push: Push{Logs: true}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	logged := make(chan struct{})
	go func() {
		for range 50_000 { // the queue is 2,048 long
			log.Info("a line")
		}
		close(logged)
	}()
	select {
	case <-logged:
	case <-time.After(time.Minute):
		t.Fatal("logging waits for the collector")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stop(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("close: %v, want an error within %v", err, closeTimeout)
	}
}
