package main

import (
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sluice/loadtest"
)

// framesScript makes the python_function models, and calls one directly.
//
//go:embed python/frames.py
var framesScript []byte

// frameRows is how many rows a wide request to a Python model has.
const frameRows = 1000

var frameColumns = []string{"a", "b", "c", "d"}

// pythonModels compares models that only Python can run: single rows with `mlflow models serve` and MLServer, frames of 1000 rows with calling the model directly, and the
// start of a worker with that of a program that loads the model.
func (b *bench) pythonModels(ctx context.Context) error {
	script := filepath.Join(b.dir, "frames.py")
	if err := os.WriteFile(script, framesScript, 0o644); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "frames")
	if out, err := exec.CommandContext(ctx, b.python, script, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, out)
	}
	interpreter, err := filepath.Abs(b.python)
	if err != nil {
		return err
	}
	p, err := b.serve(ctx, "python", "--python", interpreter, "--python-workers", "2")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	models := map[string]*model{}
	for _, name := range []string{"frame", "heavy"} {
		m := &model{name: name, dir: filepath.Join(dir, name), folder: "pyfunc", columns: frameColumns}
		if err := errors.Join(m.readRows(), api{p.url}.register(ctx, m)); err != nil {
			return err
		}
		models[name] = m
	}
	return errors.Join(
		b.frameSingles(ctx, p, models["frame"]),
		b.frameBlocks(ctx, p, models["heavy"], script),
		b.workerStarts(ctx, interpreter, models["frame"]),
	)
}

// frameSingles races single rows against MLflow's own server and MLServer, each in its quickest configuration.
func (b *bench) frameSingles(ctx context.Context, p *process, m *model) error {
	ours := b.ours(p, m, mlflowJSON, 1)
	sides := []side{ours, alone(ours)}
	peers := []*peerSingles{
		{name: "mlflow models serve", protocol: mlflowJSON, ways: b.mlflowPackage(filepath.Join(m.dir, m.folder)), rate: 15},
		{name: "MLServer", protocol: inferFrame, ways: b.mlserverMLflow(m), rate: 6},
	}
	for _, peer := range peers {
		best, missing := b.best(ctx, peer.name, m, peer.protocol, 1, peer.ways)
		if peer.missing = missing; missing != nil {
			continue
		}
		defer func() { _ = best.p.stop() }()
		peer.at = len(sides)
		sides = append(sides, best.side, alone(best.side))
	}
	windows, err := b.race(ctx, sides...)
	if err != nil {
		return err
	}
	b.say("  frame, 1 row: sluice %.0f requests/s with %d connections, p50 %.2f ms with one", middle(windows[0], rateOf), b.connections, middle(windows[1], p50Of))
	for _, peer := range peers {
		b.claimSingles(peer, windows)
	}
	return nil
}

// alone is a side with one connection.
func alone(s side) side {
	s.connections = 1
	return s
}

// peerSingles is one that single rows are raced against.
type peerSingles struct {
	name     string
	protocol protocol
	ways     []configuration
	rate     float64 // how many times its rate ours must be
	missing  error
	at       int // of its two sides
}

func (b *bench) claimSingles(peer *peerSingles, windows [][]window) {
	rate := claim{work: "python_function, 1 row, 2 workers: requests/s ÷ " + peer.name, must: peer.rate, noReach: true, unit: " x", digits: 1}
	p50 := claim{work: "python_function, 1 row, 1 connection: p50 ÷ " + peer.name, must: 0.5, noReach: true, most: true, unit: " x", digits: 2}
	if peer.missing != nil {
		rate.missing, p50.missing = peer.missing.Error(), peer.missing.Error()
	} else {
		many, one := windows[peer.at], windows[peer.at+1]
		b.say("  %s: %.0f requests/s, p50 %.2f ms with one connection", peer.name, middle(many, rateOf), middle(one, p50Of))
		rate.measured, p50.measured = ratio(windows[0], many, rateOf), ratio(windows[1], one, p50Of)
	}
	b.claim(rate)
	b.claim(p50)
}

// mlflowPackage are the configurations of `mlflow models serve` for one package.
func (b *bench) mlflowPackage(dir string) []configuration {
	var all []configuration
	for workers := 1; workers <= 2; workers++ {
		all = append(all, configuration{
			name:  fmt.Sprintf("%d worker(s), uvloop", workers),
			start: func(ctx context.Context) (*process, error) { return b.startMLflow(ctx, dir, workers) },
			path:  func(*model) string { return "/invocations" },
		})
	}
	return all
}

// frameBlocks races blocks of rows, one at a time, against a Python process that has the model and the frame already.
func (b *bench) frameBlocks(ctx context.Context, p *process, m *model, script string) error {
	direct := side{alone: func(ctx context.Context) (window, error) {
		return b.callDirectly(ctx, script, filepath.Join(m.dir, m.folder))
	}}
	body, head := m.frameBody(frameRows)
	inBinary := side{p: p, connections: 1, requests: []loadtest.Request{{
		URL: p.url + "/v2/models/" + m.name + "/infer", Body: body,
		Header: map[string]string{"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": strconv.Itoa(head)},
	}}}
	inJSON := side{p: p, connections: 1, requests: []loadtest.Request{{
		URL: p.url + "/endpoints/" + m.name + "/invocations", Body: m.frameJSON(frameRows), Header: map[string]string{"Content-Type": "application/json"},
	}}}
	windows, err := b.race(ctx, direct, inBinary, inJSON)
	if err != nil {
		return err
	}
	b.say("  heavy, %d rows, one at a time: called in Python %.0f rows/s; server %.0f rows/s binary, %.0f JSON", frameRows,
		middle(windows[0], rateOf)*frameRows, middle(windows[1], rateOf)*frameRows, middle(windows[2], rateOf)*frameRows)
	b.claim(claim{work: "python_function, 1000 rows, binary: rows/s ÷ calling it in Python", must: 0.8, noReach: true, digits: 2, measured: ratio(windows[1], windows[0], rateOf)})
	b.say("  JSON: %.2f of calling it in Python", ratio(windows[2], windows[0], rateOf))
	return nil
}

// callDirectly is one window of a Python process that calls the model.
func (b *bench) callDirectly(ctx context.Context, script, dir string) (window, error) {
	out, err := exec.CommandContext(ctx, b.python, script, "-", dir, strconv.FormatFloat(b.window.Seconds(), 'f', -1, 64)).Output()
	if err != nil {
		return window{}, fmt.Errorf("%s: %w", script, err)
	}
	var told struct {
		Calls, Seconds float64
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return window{}, err
	}
	return window{rate: told.Calls / told.Seconds, p50: float64(time.Second.Milliseconds()) * told.Seconds / told.Calls, answered: told.Calls}, ctx.Err()
}

// frameBody is a request of the Open Inference Protocol with one binary tensor for each column, and the length of its JSON.
func (m *model) frameBody(rows int) (body []byte, head int) {
	inputs := make([]map[string]any, len(m.columns))
	var values []byte
	for i, name := range m.columns {
		inputs[i] = map[string]any{"name": name, "shape": []int{rows}, "datatype": "FP64", "parameters": map[string]any{"binary_data_size": 8 * rows}}
		for r := range rows {
			values = binary.LittleEndian.AppendUint64(values, math.Float64bits(float64(m.floats[(r*len(m.columns)+i)%len(m.floats)])))
		}
	}
	body = encoded(map[string]any{"inputs": inputs, "parameters": map[string]any{"binary_data_output": true}})
	return append(body, values...), len(body)
}

// frameJSON is the same rows in MLflow's protocol.
func (m *model) frameJSON(rows int) []byte {
	data := make([][]json.Number, rows)
	for r := range data {
		data[r] = m.rows[r%len(m.rows)]
	}
	return encoded(map[string]any{"dataframe_split": map[string]any{"columns": m.columns, "data": data}})
}

// frameInferBody has one tensor for each column.
func (m *model) frameInferBody(at, rows int) []byte {
	inputs := make([]string, len(m.columns))
	for i, name := range m.columns {
		values := make([]string, rows)
		for r := range values {
			values[r] = m.rows[at+r][i].String()
		}
		inputs[i] = fmt.Sprintf(`{"name": %q, "shape": [%d], "datatype": "FP64", "data": [%s]}`, name, rows, strings.Join(values, ", "))
	}
	return fmt.Appendf(nil, `{"inputs": [%s], "parameters": {"content_type": "pd"}}`, strings.Join(inputs, ", "))
}
