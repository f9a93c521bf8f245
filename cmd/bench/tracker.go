package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// tracker calls one tracking server. It costs little itself, for it runs on the same cores: bodies are made by appending, and answers
// are counted, not parsed.
type tracker struct {
	name, url string
	http      *fasthttp.Client
}

// filledExperiment is the experiment that holds the filled runs, and historyRun the run with the long history.
const (
	filledExperiment = "1"
	historyRun       = "0123456789abcdef0123456789abcdef"
	historyPoints    = 100_000
)

func newTracker(p *process) *tracker {
	return &tracker{name: p.name, url: p.url, http: &fasthttp.Client{
		MaxConnsPerHost: 2 * crowd, ReadTimeout: 5 * time.Minute, WriteTimeout: 5 * time.Minute, MaxIdemponentCallAttempts: 1,
		ReadBufferSize: 64 << 10, MaxResponseBodySize: 256 << 20,
	}}
}

// api calls an endpoint and hands the answer, which is valid during the call only, to look.
func (t *tracker) api(method, path string, body []byte, look func(answer []byte) error) error {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.Header.SetMethod(method)
	req.SetRequestURI(t.url + "/api/2.0/mlflow/" + path)
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(body)
	}
	if err := t.http.Do(req, res); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if res.StatusCode() != fasthttp.StatusOK {
		return fmt.Errorf("%s: status %d: %.300s", path, res.StatusCode(), res.Body())
	}
	if look == nil {
		return nil
	}
	return look(res.Body())
}

// field returns the text that follows "name": in an answer.
func field(answer []byte, name string) string {
	_, rest, ok := bytes.Cut(answer, []byte(`"`+name+`":`))
	if !ok {
		return ""
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"`))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

func (t *tracker) createRun(experiment string) (run string, err error) {
	body := fmt.Appendf(nil, `{"experiment_id":"%s","start_time":%d}`, experiment, time.Now().UnixMilli())
	err = t.api("POST", "runs/create", body, func(answer []byte) error {
		if run = field(answer, "run_id"); run == "" {
			return errors.New("runs/create: no run_id in the answer")
		}
		return nil
	})
	return run, err
}

func (t *tracker) runWithMetric(n int64) error {
	run, err := t.createRun("0")
	if err != nil {
		return err
	}
	return t.api("POST", "runs/log-metric", fmt.Appendf(nil, `{"run_id":"%s","key":"m","value":%d.5,"timestamp":%d,"step":%d}`, run, n, n, n), nil)
}

// batch logs a thousand points into a run of its own, with the time of day, as a training loop does.
func (t *tracker) batch(int64) error {
	run, err := t.createRun("0")
	if err != nil {
		return err
	}
	return t.logBatch(run, time.Now().UnixMilli(), 0)
}

func (t *tracker) logBatch(run string, at int64, step int) error {
	body := make([]byte, 0, 80_000)
	body = append(append(append(body, `{"run_id":"`...), run...), `","metrics":[`...)
	for i := range 1000 {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"key":"loss","value":`...)
		body = strconv.AppendFloat(body, float64(i)/1000, 'g', -1, 64)
		body = append(body, `,"timestamp":`...)
		body = strconv.AppendInt(body, at+int64(i), 10)
		body = append(body, `,"step":`...)
		body = strconv.AppendInt(body, int64(step+i), 10)
		body = append(body, '}')
	}
	return t.api("POST", "runs/log-batch", append(body, `]}`...), nil)
}

// everyday does a little of what people and their programs do with an empty server.
func (t *tracker) everyday() error {
	for n := range int64(50) {
		if err := t.runWithMetric(n); err != nil {
			return err
		}
	}
	for _, path := range []string{"/", "/health", "/ready", "/metrics", "/openapi.json", "/api/2.0/serving-endpoints", "/api/2.0/mlflow/registered-models/search?max_results=100"} {
		status, _, err := t.http.GetTimeout(nil, t.url+path, time.Minute)
		if err != nil {
			return err
		}
		if status >= fasthttp.StatusInternalServerError {
			return fmt.Errorf("%s: status %d", path, status)
		}
	}
	for range 5 {
		if err := t.batch(0); err != nil {
			return err
		}
		if err := t.api("POST", "runs/search", []byte(`{"experiment_ids":["0"],"filter":"metrics.m > 0.5","order_by":["metrics.m DESC"],"max_results":100}`), nil); err != nil {
			return err
		}
		if err := t.api("POST", "experiments/search", []byte(`{"max_results":100}`), nil); err != nil {
			return err
		}
	}
	return nil
}

// wants100 holds an answer of runs/search to 100 runs.
func wants100(answer []byte) error {
	if n := bytes.Count(answer, []byte(`"info":`)); n != 100 {
		return fmt.Errorf("found %d runs, want 100", n)
	}
	return nil
}

func (t *tracker) search(int64) error {
	return t.api("POST", "runs/search", []byte(`{"experiment_ids":["`+filledExperiment+`"],"filter":"metrics.m > 0.5 AND params.kind = 'a'","order_by":["metrics.m DESC"],"max_results":100}`), wants100)
}

func (t *tracker) readHistory(int64) error {
	points, token := 0, ""
	for {
		q := url.Values{"run_id": {historyRun}, "metric_key": {"loss"}, "max_results": {"25000"}}
		if token != "" {
			q.Set("page_token", token)
		}
		err := t.api("GET", "metrics/get-history?"+q.Encode(), nil, func(answer []byte) error {
			points += bytes.Count(answer, []byte(`"timestamp":`))
			token = lastField(answer, "next_page_token")
			return nil
		})
		if err != nil {
			return err
		}
		if token == "" {
			break
		}
	}
	if points != historyPoints {
		return fmt.Errorf("read %d points, want %d", points, historyPoints)
	}
	return nil
}

// largeSearch makes the body of one search over the large database; r chooses keys and bounds.
type largeSearch struct {
	name string
	body func(r *rand.Rand) string
}

var largeSearches = []largeSearch{
	{"by a metric, filtered by it and by a param", func(r *rand.Rand) string {
		return fmt.Sprintf(`"filter":"metrics.%s > %.3f AND params.kind = 'a'","order_by":["metrics.%s DESC"]`, largeKey(r), r.Float64()/2, largeKey(r))
	}},
	{"by a metric, no filter", func(r *rand.Rand) string { return fmt.Sprintf(`"order_by":["metrics.%s ASC"]`, largeKey(r)) }},
	{"in the default order, filtered by two metrics", func(r *rand.Rand) string {
		return fmt.Sprintf(`"filter":"metrics.%s < 0.9 AND metrics.%s > 0.1"`, largeKey(r), largeKey(r))
	}},
	{"in the default order", func(*rand.Rand) string { return `"order_by":["start_time DESC"]` }},
}

func largeKey(r *rand.Rand) string { return fmt.Sprintf("metric_%03d", r.IntN(largeKeys)) }

// searches runs a search of the large database with n clients for a window, every second one going on to the next page, and
// returns the times in ms.
func (t *tracker) searches(s largeSearch, n int, window time.Duration) (took []float64, pages int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for c := range n {
		wg.Go(func() {
			r, token, question := rand.New(rand.NewPCG(uint64(c), 1)), "", ""
			for time.Since(began) < window {
				if token == "" {
					question = s.body(r)
				}
				body := `{"experiment_ids":["` + filledExperiment + `"],"max_results":100,` + question + `,"page_token":"` + token + `"}`
				at := time.Now()
				e := t.api("POST", "runs/search", []byte(body), func(answer []byte) error {
					if token = ""; r.IntN(2) == 0 {
						token = lastField(answer, "next_page_token")
					}
					return wants100(answer)
				})
				mu.Lock()
				took, err = append(took, ms(time.Since(at))), errors.Join(err, e)
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return took, len(took), err
}

// lastField is field for the last field of that name.
func lastField(answer []byte, name string) string {
	i := bytes.LastIndex(answer, []byte(`"`+name+`":`))
	if i < 0 {
		return ""
	}
	return field(answer[i:], name)
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
