package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"sluice/gateway/predictions/predictionstest"
	"sluice/gateway/predictions/rest"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func serve(t *testing.T) (*predictionstest.Archive, *fiber.App) {
	t.Helper()
	a := predictionstest.New(t)
	log := slog.New(slog.DiscardHandler)
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(log), DisableStartupMessage: true})
	h := rest.New(a.Reader, func(_ context.Context, endpoint string) (string, error) {
		column, known := map[string]string{"wine": "order", "names": "name", "keyless": ""}[endpoint]
		if !known {
			return "", mlflow.Missingf("no endpoint %q", endpoint)
		}
		return column, nil
	}, log)
	for _, r := range h.Routes() {
		app.Add(r.Method, r.Path, r.Handler)
	}
	t.Cleanup(func() {
		if err := h.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return a, app
}

func get(t *testing.T, app *fiber.App, query string) (status int, media string, body []byte) {
	t.Helper()
	res, err := app.Test(httptest.NewRequest("GET", "/api/2.0/sluice/predictions"+query, nil), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), body
}

type page struct {
	Predictions []struct {
		ID        string `json:"databricks_request_id"`
		Timestamp int64  `json:"timestamp_ms"`
	}
	Next   string `json:"next_page_token"`
	Follow string `json:"follow_token"`
}

func list(t *testing.T, app *fiber.App, query string) page {
	t.Helper()
	status, _, body := get(t, app, query)
	var p page
	if err := json.Unmarshal(body, &p); err != nil || status != 200 {
		t.Fatalf("%s: %d %s", query, status, body)
	}
	return p
}

func TestListAndGet(t *testing.T) {
	t.Parallel()
	a, app := serve(t)
	ids := a.Record(t, 1, 20)
	a.Flush(t)
	ids = append(ids, a.Record(t, 2, 3)...) // on their way
	from := predictionstest.Start.UnixMilli()
	for query, count := range map[string]int{
		"": 20, "?limit=7": 7, "?endpoint=wine&model_name=wine&model_version=1": 20, "?model_version=2": 0, "?arm=canary": 6, "?status_code=503": 6,
		"?status_code=5xx": 6, "?status_code=200-299": 14, "?shadow=true": 5, "?shadow=false": 15, "?endpoint=other": 0, "?order=newest": 20,
		fmt.Sprintf("?from=%d&to=%d", from+5000, from+9000): 4, "?from=" + url.QueryEscape(predictionstest.Start.Format("2006-01-02T15:04:05Z07:00")): 20,
		"?min_latency_ms=8": 6, "?max_latency_ms=0.5": 0, "?max_latency_ms=1": 2, "?min_latency_ms=2&max_latency_ms=3.25": 4, "?arm=canary&min_latency_ms=9&status_code=503&model_version=1": 1,
		"?endpoint=wine&key=7": 1, "?endpoint=wine&key=7.0": 0, "?endpoint=wine&key=0": 20 + 3, "?endpoint=wine&key=21": 1, "?endpoint=wine&key=21&model_version=1": 0, "?endpoint=wine&key=99": 0, "?endpoint=names&key=a+7": 0,
		"?endpoint=wine&key=7&databricks_request_id=" + uuid.UUID(ids[7]).String(): 1, "?endpoint=wine&key=8&databricks_request_id=" + uuid.UUID(ids[7]).String(): 0,
		"?client_request_id=" + url.QueryEscape("client 2"): 3, "?databricks_request_id=" + uuid.UUID(ids[21]).String(): 1,
		"?model_version=1&databricks_request_id=" + uuid.UUID(ids[21]).String(): 0, "?databricks_request_id=" + uuid.NewString(): 0,
	} {
		if p := list(t, app, query); len(p.Predictions) != count {
			t.Errorf("%s: %d records, want %d", query, len(p.Predictions), count)
		}
	}
	for _, id := range ids {
		status, _, body := get(t, app, "/"+uuid.UUID(id).String())
		var one struct {
			Prediction struct {
				ID string `json:"databricks_request_id"`
			}
		}
		if err := json.Unmarshal(body, &one); err != nil || status != 200 || one.Prediction.ID != uuid.UUID(id).String() {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _, body := get(t, app, "?endpoint=nobody&key=7"); status != 404 || !json.Valid(body) {
		t.Errorf("a key of an unknown endpoint: %d %s", status, body)
	}
	if status, _, body := get(t, app, "/"+uuid.NewString()); status != 404 || !json.Valid(body) {
		t.Errorf("unknown: %d %s", status, body)
	}
}

func TestPagesAndFollowing(t *testing.T) {
	t.Parallel()
	a, app := serve(t)
	a.Record(t, 1, 10)
	a.Flush(t)
	for _, order := range []string{"oldest", "newest"} {
		seen, token := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			query := "?limit=3&order=" + order
			if token != "" {
				query += "&page_token=" + token
			}
			p := list(t, app, query)
			for _, r := range p.Predictions {
				seen[r.ID] = true
			}
			if token = p.Next; token == "" {
				if len(seen) != 10 || pages != 3 {
					t.Errorf("%s: %d records, %d pages", order, len(seen), pages)
				}
				break
			}
		}
	}
	last := list(t, app, "?limit=2&order=newest")
	if p := list(t, app, "?page_token="+last.Follow); len(p.Predictions) != 0 || p.Follow != last.Follow {
		t.Errorf("nothing new, and %+v", p)
	}
	a.Record(t, 2, 2)
	a.Flush(t)
	if p := list(t, app, "?page_token="+last.Follow); len(p.Predictions) != 2 {
		t.Errorf("two new, and %+v", p)
	}
	if status, _, _ := get(t, app, "?model_version=1&page_token="+last.Follow); status != 400 {
		t.Errorf("the token of another query: %d", status)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	a, app := serve(t)
	a.Record(t, 1, 10)
	a.Flush(t)
	for format, media := range map[string]string{
		"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv", "arrow": "application/vnd.apache.arrow.stream", "parquet": "application/vnd.apache.parquet",
	} {
		status, got, body := get(t, app, "?format="+format)
		if status != 200 || got != media || len(body) < 1000 {
			t.Errorf("%s: %d %s, %d bytes", format, status, got, len(body))
		}
		q := httptest.NewRequest("GET", "/api/2.0/sluice/predictions", nil)
		q.Header.Set("Accept", "image/png, "+media+";q=0.9")
		if res, err := app.Test(q, -1); err != nil || res.Header.Get("Content-Type") != media {
			t.Errorf("Accept %s: %v", media, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, app := serve(t)
	for _, query := range []string{
		"/no-id", "?limit=0", "?limit=x", "?limit=1001", "?endpoint=", "?shadow=maybe", "?from=yesterday", "?from=2000&to=1000", "?status_code=600", "?status_code=4x",
		"?status_code=500-400", "?order=random", "?page_token=x", "?page_token=MS4xLjEuMQ", "?format=xml", "?databricks_request_id=7", "?unknown=1", "?arm=a&arm=b",
		"?key=7", "?endpoint=keyless&key=7", "?endpoint=wine&key=", "?min_latency_ms=0", "?min_latency_ms=-1", "?max_latency_ms=NaN", "?max_latency_ms=1e300", "?max_latency_ms=1e-9", "?min_latency_ms=fast",
		"?min_latency_ms=5&max_latency_ms=4", "?model_version=-1", "?model_version=stable", "?%zz",
	} {
		status, _, body := get(t, app, query)
		var refused struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(body, &refused); err != nil || status != 400 || refused.Code != "INVALID_PARAMETER_VALUE" || refused.Message == "" {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// TestGaps: what the log says may be missing is listed, the newest first; what is asked for and unknown is refused.
func TestGaps(t *testing.T) {
	t.Parallel()
	a, app := serve(t)
	if status, _, body := get(t, app, "/gaps"); status != 200 || string(body) != `{"gaps":[]}` {
		t.Errorf("none: %d %s", status, body)
	}
	for n := range 3 {
		g := predlog.Gap{ID: fmt.Sprint("0198c0de-0000-7000-8000-00000000000", n), From: predictionstest.Start.Add(time.Duration(n) * time.Hour), AtMost: 7}
		g.To = g.From.Add(time.Second)
		if err := a.Index.AddGap(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	var all struct{ Gaps []predlog.Gap }
	_, _, body := get(t, app, fmt.Sprintf("/gaps?to=%d&limit=5", predictionstest.Start.Add(90*time.Minute).UnixMilli()))
	if err := json.Unmarshal(body, &all); err != nil || len(all.Gaps) != 2 || all.Gaps[0].ID[35] != '1' || !all.Gaps[1].From.Equal(predictionstest.Start) || all.Gaps[1].AtMost != 7 {
		t.Errorf("two: %s, %v", body, err)
	}
	for _, query := range []string{"/gaps?endpoint=wine", "/gaps?limit=0", "/gaps?from=soon", "/gaps?limit=1&limit=2"} {
		if status, _, body := get(t, app, query); status != 400 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
