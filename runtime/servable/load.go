package servable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/tensor"
)

// calibrationBudget is what the measurement of one version may take; processOverhead times that, where a prediction has to go to another process
// and back and joining is the more worth while.
const (
	calibrationBudget = 300 * time.Millisecond
	processOverhead   = 5
)

// bring loads a version, again and again until it is Ready or no longer aspired; one on demand is tried once.
func (m *Manager) bring(ctx context.Context, e *entry) {
	pause := m.opts.MinBackoff
	for {
		h, err := m.attempt(ctx, e)
		if err == nil && m.accept(e, h) {
			return
		}
		if ctx.Err() != nil || err == nil {
			return
		}
		if again := m.fail(e, err); !again || !sleep(ctx, pause) {
			return
		}
		m.retry(e, err)
		pause = min(2*pause, m.opts.MaxBackoff)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt loads and warms a version once, within the bound on concurrent loads.
func (m *Manager) attempt(ctx context.Context, e *entry) (*Handle, error) {
	if err := m.prepare(ctx, e); err != nil {
		return nil, err
	}
	done, err := m.wait(ctx, e)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, m.opts.LoadTimeout)
	defer cancel()
	var l *Loaded
	err = safely(func() (err error) {
		if l, err = m.load(ctx, e.id); err == nil && (l == nil || l.Backend == nil) {
			err = errors.New("the loader returned no backend")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m.recall(e, l)
	measured, err := m.warm(ctx, e, l)
	if err == nil {
		err = m.rehearse(ctx, e, l)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	m.remember(e, l)
	opts := m.opts.Batch
	opts.Join = measured.Join
	if f, ok := l.Backend.(FixedRows); ok && f.FixedRows() > 0 {
		opts.MaxRows = f.FixedRows()
	}
	if t, ok := l.Backend.(Threaded); ok {
		opts.Tokens, opts.Threads = m.tokens, t.Threads()
	}
	if s, ok := l.Backend.(Slotted); ok {
		opts.Slots = s.Slots()
	}
	h := newHandle(e.id, l, batch.New(l.Backend, &opts))
	h.measured = measured
	if err := m.fits(h); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

// prepare gets ready what the load of a version needs.
func (m *Manager) prepare(ctx context.Context, e *entry) error {
	if m.opts.Prepare == nil {
		return nil
	}
	m.preparing(e, true)
	defer m.preparing(e, false)
	return safely(func() error {
		return m.opts.Prepare(ctx, e.id, func(text string) { m.progress(e, text) })
	})
}

// preparing notes that the preparation of a version begins or ends.
func (m *Manager) preparing(e *entry, now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.prepares = now
	if e.status.Progress != "" {
		e.status.Progress = ""
		m.announce(e.id)
	}
}

// progress notes how far the preparation of a version is.
func (m *Manager) progress(e *entry, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.prepares && e.status.State == Loading && e.status.Progress != text && m.entries[e.id] == e {
		e.status.Progress = text
		m.announce(e.id)
	}
}

// accept makes a version Ready. If it is no longer aspired it is closed instead.
func (m *Manager) accept(e *entry, h *Handle) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[e.id] != e {
		m.drain(h)
		return false
	}
	e.handle, e.reviving, e.verdict = h, false, h.Batching()
	e.by, e.note = h.loaded.By, h.loaded.Note
	m.ring = append(m.ring, e)
	m.publish()
	m.set(e, Ready, "")
	m.evict(e)
	m.opts.Logger.Info("servable ready", slog.String("servable", e.id.String()), slog.Bool("joins", h.Joins()))
	return true
}

// fail notes that a version failed to load, and says whether to try again.
func (m *Manager) fail(e *entry, err error) (again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[e.id] != e {
		return false
	}
	e.reviving = false
	if e.demand != nil {
		e.demand.err = err
		if errors.Is(err, ErrUnknown) { // names that callers make up must not fill the list
			m.remove(e)
			return false
		}
	}
	m.set(e, Failed, err.Error())
	m.opts.Logger.Warn("servable failed to load", slog.String("servable", e.id.String()), slog.Any("error", err))
	return e.demand == nil
}

// wait takes the tokens of a load, for the caller to give back with done.
func (m *Manager) wait(ctx context.Context, e *entry) (done func(), err error) {
	m.mu.Lock()
	extra := e.demand != nil
	m.mu.Unlock()
	done = func() {}
	if extra { // so that the aspired find a slot that no caller's wish holds
		select {
		case m.extra <- struct{}{}:
			done = func() { <-m.extra }
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case m.slots <- struct{}{}:
		release := done
		return func() { <-m.slots; release() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}

func (m *Manager) retry(e *entry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[e.id] == e {
		m.set(e, Loading, err.Error())
	}
}

// rehearse asks the version for what Options.Rehearse knows, before it is Ready for the first time.
func (m *Manager) rehearse(ctx context.Context, e *entry, l *Loaded) error {
	if m.opts.Rehearse == nil || e.past.rehearsed {
		return nil
	}
	if err := safely(func() error { return m.opts.Rehearse(ctx, e.id, l) }); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	e.past.rehearsed = true
	return nil
}

// warm runs a version's input example, or zeros, and measures whether joining pays. A failing run is an error, except on a sample
// whose free dimensions had to be guessed.
func (m *Manager) warm(ctx context.Context, e *entry, l *Loaded) (batch.Calibration, error) {
	sample, guessed, err := sampleOf(l)
	if err != nil {
		return batch.Calibration{}, fmt.Errorf("warm-up: %w", err)
	}
	if sample == nil {
		return unmeasured(e.id, l, "nothing is known to measure the model with: it has neither input example nor signature")
	}
	var out tensor.Batch
	err = safely(func() error { return l.Backend.Predict(ctx, sample, l.Params, &out) })
	switch {
	case err != nil && guessed && ctx.Err() == nil:
		m.opts.Logger.Info("warm-up with made-up input failed", slog.String("servable", e.id.String()), slog.Any("error", err))
		return unmeasured(e.id, l, "the model fails on made-up input: it needs an input example")
	case err != nil:
		return batch.Calibration{}, fmt.Errorf("warm-up: %w", err)
	}
	if e.past.measured == nil {
		c, err := m.measure(ctx, e.id, l, sample)
		if err != nil {
			return batch.Calibration{}, err
		}
		e.past.measured = &c
	}
	return *e.past.measured, nil
}

// measure decides whether predictions of a version are joined.
func (m *Manager) measure(ctx context.Context, id ID, l *Loaded, sample *tensor.Batch) (batch.Calibration, error) {
	switch {
	case id.Joining == JoinNever:
		return batch.Calibration{Reason: bySetting}, nil
	case !rowWise(l):
		return unmeasured(id, l, anyRows)
	case id.Joining == JoinMeasured && m.opts.Joining == JoinNever:
		return batch.Calibration{Reason: "batching is switched off"}, nil
	case sample.Rows < 1:
		return unmeasured(id, l, "the sample has no row axis")
	case id.Joining == JoinMeasured && m.opts.Joining == JoinAlways:
		return batch.Calibration{Join: true}, nil
	}
	budget := calibrationBudget
	if _, ok := l.Backend.(Slotted); ok {
		budget *= processOverhead
	}
	c, err := batch.Calibrate(ctx, l.Backend, sample, l.Params, budget)
	if err != nil {
		return c, fmt.Errorf("warm-up: %w", err)
	}
	m.opts.Logger.Debug("servable measured", slog.String("servable", id.String()), slog.Bool("join", c.Join), slog.String("reason", c.Reason),
		slog.Duration("one", c.One), slog.Duration("eight", c.Eight), slog.Duration("many", c.Many))
	if id.Joining == JoinAlways {
		c.Reason, c.Join = told(c.Reason), true
	}
	return c, nil
}

// What is said of versions whose ID says when their predictions are joined.
const (
	bySetting = "the endpoint says so"
	anyRows   = "the model does not take any number of rows"
)

// told is the reason of predictions that are joined because the version's ID says so, whatever was measured.
func told(measured string) string {
	if measured == "" {
		return bySetting
	}
	return bySetting + "; measured: " + measured
}

// unmeasured is the verdict on a version that could not be measured: not joined, unless its ID says otherwise and the backend can.
func unmeasured(id ID, l *Loaded, why string) (batch.Calibration, error) {
	switch {
	case id.Joining == JoinNever:
		return batch.Calibration{Reason: bySetting}, nil
	case id.Joining != JoinAlways:
		return batch.Calibration{Reason: why}, nil
	case !rowWise(l):
		return batch.Calibration{}, fmt.Errorf("predictions are to be joined, but %s", anyRows)
	}
	return batch.Calibration{Join: true, Reason: told(why)}, nil
}

func rowWise(l *Loaded) bool {
	r, ok := l.Backend.(RowWise)
	return ok && r.RowWise()
}

// sampleOf is the input that warms a version: its example, zeros by the signature, or what the backend makes up; nil if nobody knows.
// A signature says nothing about free dimensions, so its zeros are a guess where it has some.
func sampleOf(l *Loaded) (sample *tensor.Batch, guessed bool, err error) {
	if l.Sample != nil {
		return l.Sample, false, nil
	}
	b := new(tensor.Batch)
	if s, ok := l.Backend.(Sampler); ok {
		guessed, err = s.Sample(b, 1)
		return b, guessed, err
	}
	if l.Model == nil || l.Model.Signature == nil || l.Model.Signature.Inputs.Len() == 0 {
		return nil, false, nil
	}
	for _, t := range l.Model.Signature.Inputs.Tensors {
		for i, d := range t.Shape {
			guessed = guessed || (i > 0 && d == -1)
		}
	}
	return b, guessed || l.MadeUp, l.Model.Signature.Inputs.Zeros(b, 1)
}
