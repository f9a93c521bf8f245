package convert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
)

// The files that the program writes.
const (
	rowsFile    = "rows.json"
	refusedFile = "refused.json"
	answersFile = "answers.json"
)

// shape is what the original answers, and what it refuses.
type shape struct {
	Form   string  `json:"form"`   // "bare", "table" or "named"
	Ranks  []int   `json:"ranks"`  // of the answer's columns
	Guards []guard `json:"guards"` // by position in the signature, or by column of its matrix
	Tensor bool    `json:"tensor"` // the signature is one matrix
	// Refuses says that the original refuses texts that it does not know, and that the graph does too, with an error of its own.
	Refuses bool `json:"refuses,omitempty"`
	// Split says that the graph answers one matrix whose columns are the answer's, named by their position.
	Split bool `json:"split,omitempty"`
}

// request is what the program is asked.
type request struct {
	Model      string   `json:"model"`
	Out        string   `json:"out"`
	Rows       int      `json:"rows"`
	Seed       int      `json:"seed"`
	Network    bool     `json:"network"` // tensors of any shape, not rows of numbers and texts
	Converters []string `json:"converters"`
	Limits     limits   `json:"limits"`
}

type limits struct {
	CPUSeconds  int64 `json:"cpu_seconds"`
	FileBytes   int64 `json:"file_bytes"`
	MemoryBytes int64 `json:"memory_bytes"`
}

// event is what the program says.
type event struct {
	Event    string            `json:"event"` // "rows", "candidate" or "none"
	Rows     int               `json:"rows"`
	Refused  int               `json:"refused"`
	File     string            `json:"file"`
	Name     string            `json:"name"`
	Versions map[string]string `json:"versions"`
	Reason   string            `json:"reason"`
	Missing  []string          `json:"missing"`
	shape
}

// trial is one conversation with the program.
type trial struct {
	rt       *onnx.Runtime
	model    *mlmodel.Model
	work     string // a folder that the program writes into
	opts     Options
	accepted string // the candidate's file

	sheet   *sheet
	refused int
	failed  []string // why candidates were turned down
}

// maxFileBytes bounds what the program writes: protobuf cannot hold more.
const maxFileBytes = 2 << 30

func (t *trial) run(ctx context.Context, interpreter, modelDir string) (Result, error) {
	p, err := start(ctx, interpreter, t.work, &t.opts)
	if err != nil {
		return Result{}, err
	}
	defer p.end()
	err = p.say(request{
		Model: modelDir, Out: t.work, Rows: t.opts.Rows, Seed: seed, Network: isNetwork(t.model), Converters: append([]string{}, t.opts.Converters...),
		Limits: limits{CPUSeconds: int64(2 * t.opts.Timeout.Seconds()), FileBytes: maxFileBytes, MemoryBytes: t.opts.MemoryBytes},
	})
	if err != nil {
		return Result{}, err
	}
	for {
		var e event
		if err := p.hear(&e); err != nil {
			return Result{}, err
		}
		result, done, err := t.take(ctx, &e)
		if done || err != nil {
			return result, err
		}
		if e.Event == "candidate" {
			if err := p.sayNext(); err != nil {
				return Result{}, err
			}
		}
	}
}

// take handles one event; done says that there is a verdict.
func (t *trial) take(ctx context.Context, e *event) (Result, bool, error) {
	switch e.Event {
	case "rows":
		s, err := readSheet(t.work, t.model, e)
		t.sheet, t.refused = s, e.Refused
		return Result{}, false, err
	case "candidate":
		if t.sheet == nil {
			return Result{}, false, fmt.Errorf("%w: a candidate before the rows", ErrProcess)
		}
		if !filepath.IsLocal(e.File) {
			return Result{}, false, fmt.Errorf("%w: a candidate outside the folder", ErrProcess)
		}
		err := t.try(ctx, e)
		if ctx.Err() != nil {
			return Result{}, false, ctx.Err()
		}
		if err != nil {
			t.failed = append(t.failed, e.Name+": "+err.Error())
			return Result{}, false, nil
		}
		t.accepted = e.File
		return t.pass(e), true, nil
	case "none":
		reasons := t.failed
		if len(reasons) == 0 || len(e.Missing) > 0 {
			reasons = append(reasons, e.Reason)
		}
		return Result{Verdict: Fail, Reason: cut(strings.Join(reasons, "; ")), Missing: e.Missing, Tolerance: t.opts.Tolerance, Versions: t.versions(nil)}, true, nil
	}
	return Result{}, false, fmt.Errorf("%w: an unknown event %.50q", ErrProcess, e.Event)
}

func (t *trial) pass(e *event) Result {
	answer := t.sheet.answer
	answer.Refuses = t.refused > 0
	return Result{Verdict: Pass, Way: e.Name, Rows: t.sheet.rows.Rows, Tolerance: t.opts.Tolerance, Versions: t.versions(e.Versions), Answer: answer}
}

func (t *trial) versions(of map[string]string) map[string]string {
	all := map[string]string{"onnxruntime": t.rt.Version()}
	maps.Copy(all, of)
	return all
}

// maxReason bounds a reason: it becomes a tag, and MLflow's tags have 5000 characters.
const maxReason = 1000

func cut(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}

// try opens a candidate as it would be served and compares its answers.
func (t *trial) try(ctx context.Context, e *event) (err error) {
	answer := t.sheet.answer
	answer.Refuses = t.refused > 0
	b, err := open(ctx, t.rt, t.work, e.File, t.model, answer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return t.sheet.compare(ctx, b, t.opts.Tolerance)
}
