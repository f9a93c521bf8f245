package pyworker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/runtime/servable"
)

// pool keeps the workers of one model: Workers slots, each with a goroutine that has a worker in it or is about to.
type pool struct {
	opts        Options
	interpreter string
	path        string
	spawner     *spawner
	starting    chan struct{} // holds one: workers start one after the other
	idle        chan *worker  // room for all that there can be
	ctx         context.Context
	stop        context.CancelFunc
	slots       sync.WaitGroup // slots and inspection
	enders      sync.WaitGroup // those who wait for a process's end

	mu    sync.Mutex
	live  map[*worker]struct{}
	cause error // why the last worker is missing, if nothing has started since; nil where the next is due at once
}

// steady is how long a worker must have lived for its end to be no sign of a worse one.
const steady = 10 * time.Second

// longPause is a back-off that predictions do not wait for.
const longPause = time.Second

func newPool(interpreter, path string, opts Options) *pool {
	p := &pool{
		opts: opts, interpreter: interpreter, path: path, spawner: newSpawner(), starting: make(chan struct{}, 1),
		idle: make(chan *worker, 4*opts.Workers), live: map[*worker]struct{}{},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// open starts the first worker and, once that has loaded the model, the others in the background.
func (p *pool) open(ctx context.Context) error {
	first, err := p.start(ctx)
	if err != nil {
		p.close()
		return err
	}
	p.idle <- first
	for i := range p.opts.Workers {
		w := first
		if i > 0 {
			w = nil
		}
		p.slots.Go(func() { p.keep(w) })
	}
	p.slots.Go(p.inspect)
	return nil
}

// close ends all workers; no prediction may be under way.
func (p *pool) close() {
	p.stop()
	p.slots.Wait()
	p.mu.Lock()
	rest := p.live
	p.live = map[*worker]struct{}{}
	p.mu.Unlock()
	for w := range rest {
		w.condemn(Crashed)
		w.end()
	}
	p.enders.Wait()
	p.spawner.close()
}

// start makes one worker that has loaded the model.
func (p *pool) start(ctx context.Context) (*worker, error) {
	select {
	case p.starting <- struct{}{}:
		defer func() { <-p.starting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	kills := outOfMemoryKills()
	proc, err := p.spawner.spawn(p.interpreter, &p.opts)
	if err != nil {
		return nil, err
	}
	w := &worker{
		process: proc, born: time.Now(), oomKills: kills, limits: p.limits(), layouts: map[string]*layout{},
		due: make(chan Reason, 1), dead: make(chan struct{}),
	}
	p.enders.Go(w.watch)
	if err := p.load(ctx, w); err != nil {
		w.condemn(Failed)
		w.end()
		return nil, fmt.Errorf("load the model in a worker: %w", err)
	}
	w.loaded = allocated(w.pid())
	if s, ok := look(w.pid()); ok {
		w.resident.Store(s.resident)
	}
	p.mu.Lock()
	p.live[w] = struct{}{}
	p.cause = nil
	p.mu.Unlock()
	return w, nil
}

// load tells a new worker its limits and its model.
func (p *pool) load(ctx context.Context, w *worker) error {
	limits := map[string]any{"files": p.opts.MaxFiles, "nice": p.opts.Nice}
	if p.opts.MemoryBytes > 0 {
		limits["memory"] = p.opts.MemoryBytes
	}
	head, err := json.Marshal(map[string]any{"path": p.path, "limits": limits})
	if err != nil {
		return err
	}
	return w.exchange(ctx, &frame{kind: kindLoad, head: head}, kindLoaded, p.opts.InterruptGrace)
}

// limits are one worker's bounds, spread over a tenth.
func (p *pool) limits() workerLimits {
	spread := 1 + rand.Float64()/10
	return workerLimits{
		age:      time.Duration(float64(p.opts.MaxAge) * spread),
		requests: int64(float64(p.opts.MaxRequests) * spread),
		rows:     int64(float64(p.opts.MaxRows) * spread),
	}
}

// keep sees to it that a slot has a worker, which it is given or starts, until the pool closes.
func (p *pool) keep(w *worker) {
	pause := p.opts.MinBackoff
	for {
		if w == nil {
			var err error
			if w, err = p.start(p.ctx); err != nil {
				p.failed(err)
				if !sleep(p.ctx, pause) {
					return
				}
				pause = min(2*pause, p.opts.MaxBackoff)
				continue
			}
			p.idle <- w
		}
		select {
		case <-p.ctx.Done():
			return
		case why := <-w.due:
			w = p.renew(w, why)
			if w.born.Before(time.Now().Add(-steady)) {
				pause = p.opts.MinBackoff
			}
		case <-w.dead:
			lived, why := time.Since(w.born), w.why
			p.bury(w)
			w = nil
			if lived >= steady {
				pause = p.opts.MinBackoff
				continue
			}
			if pause >= longPause {
				p.miss(fmt.Errorf("workers are lost soon after their start (%s)", why))
			}
			if !sleep(p.ctx, pause) {
				return
			}
			pause = min(2*pause, p.opts.MaxBackoff)
		}
	}
}

// renew replaces a worker that has done its share, and returns the one that is in the slot now.
func (p *pool) renew(w *worker, why Reason) *worker {
	next, err := p.start(p.ctx)
	if err != nil {
		p.failed(err)
		again := time.NewTimer(p.opts.MaxBackoff)
		defer again.Stop()
		select { // the old one serves on
		case <-again.C:
			w.wish(why)
		case <-w.dead:
		case <-p.ctx.Done():
		}
		return w
	}
	p.idle <- next
	w.retired.Store(true)
	if isClosed(w.dead) { // meanwhile, and nobody who met it knew that it was retired
		p.bury(w)
		return next
	}
	p.report(w, why)
	p.sweep()
	return next
}

// sweep ends the retired workers that are idle.
func (p *pool) sweep() {
	for range len(p.idle) {
		select {
		case w := <-p.idle:
			p.giveBack(w)
		default:
			return
		}
	}
}

// giveBack makes a worker idle, or ends it where it is not wanted any more.
func (p *pool) giveBack(w *worker) {
	switch {
	case w.retired.Load():
	case isClosed(w.dead):
		return // its slot buries it
	default:
		p.idle <- w
		return
	}
	w.condemn(Age)
	p.remove(w)
	p.enders.Go(w.end)
}

// bury ends a dead worker and says why it died.
func (p *pool) bury(w *worker) {
	p.remove(w)
	w.end()
	p.report(w, w.why)
}

func (p *pool) remove(w *worker) {
	p.mu.Lock()
	delete(p.live, w)
	p.mu.Unlock()
}

func (p *pool) report(w *worker, why Reason) {
	if p.ctx.Err() != nil {
		return
	}
	p.opts.Restarts.add(why)
	level := slog.LevelWarn
	if why.planned() {
		level = slog.LevelInfo
	}
	attributes := []slog.Attr{slog.String("reason", why.String()), slog.Int("pid", w.pid()), slog.Duration("age", time.Since(w.born)), slog.Int64("memory", w.resident.Load())}
	if isClosed(w.exited) {
		attributes = append(attributes, slog.String("exit", w.state.String()))
	}
	p.opts.Logger.LogAttrs(context.Background(), level, "worker replaced", attributes...)
}

func (p *pool) failed(err error) {
	if p.ctx.Err() != nil {
		return
	}
	p.opts.Restarts.add(Failed)
	p.opts.Logger.Warn("worker could not be started", slog.Any("error", err))
	p.miss(fmt.Errorf("no worker could be started: %w", err))
}

// miss notes why predictions do not wait for the next worker.
func (p *pool) miss(cause error) {
	p.mu.Lock()
	p.cause = cause
	p.mu.Unlock()
}

// take waits for an idle worker. While none is alive, and none can be started or those that are die soon, it does not wait. Errors: servable.ErrNotAvailable, ctx's.
func (p *pool) take(ctx context.Context) (*worker, error) {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case w := <-p.idle:
			if !w.retired.Load() && !isClosed(w.dead) {
				return w, nil
			}
			p.giveBack(w)
			continue
		default:
		}
		if err := p.down(); err != nil {
			return nil, fmt.Errorf("%w: %w", servable.ErrNotAvailable, err)
		}
		select {
		case w := <-p.idle:
			if !w.retired.Load() && !isClosed(w.dead) {
				return w, nil
			}
			p.giveBack(w)
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// down is why no worker can be had for a while, or nil.
func (p *pool) down() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.live) > 0 {
		return nil
	}
	return p.cause
}

// resident is the memory of all workers.
func (p *pool) resident() (bytes int64, workers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.live {
		bytes += w.resident.Load()
	}
	return bytes, len(p.live)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
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
