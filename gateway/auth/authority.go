package auth

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Options of NewAuthority; nil and the zero value work.
type Options struct {
	// Poll is how often the store's revision is asked, so that keys made by another process count; 0 means 1 s.
	Poll time.Duration
	// MaxFailures is how many wrong credentials an address may send in a minute before further ones get 429; 0 means 30. Right
	// credentials are never throttled.
	MaxFailures int
	// Always means that credentials count although no valid key exists: nobody gets in then. It is for servers that others reach, which
	// must not open up because their last key was revoked.
	Always bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log hears about a store that cannot be read; nil means silence.
	Log *slog.Logger
}

const (
	recheckAfter = 20 * time.Millisecond // an unknown credential makes the store be asked at most this often
	storeTimeout = 5 * time.Second
	touchEveryMS = 60_000 // coarseness of a key's last use
)

// Authority decides who may use which route. Make it with NewAuthority, end it with Close.
type Authority struct {
	store    Store
	opts     Options
	keys     atomic.Pointer[snapshot]
	failures *throttle

	reload    sync.Mutex // one reload at a time
	checkedMS int64      // guarded by reload: when the revision was asked last
	failing   bool       // guarded by reload: the last read failed, and the log knows

	quit context.CancelFunc
	done chan struct{}
}

// snapshot is an immutable set of the valid keys; only the lastUsed marks inside move.
type snapshot struct {
	revision int64
	byHash   map[Hash]*credential
}

// credential is a valid key in use.
type credential struct {
	Key
	usedMS  atomic.Int64
	savedMS atomic.Int64 // usedMS as the store knows it
}

// NewAuthority reads the keys and starts to watch for others. It fails if the store cannot be read: a server that cannot know its keys
// must not let anybody in.
func NewAuthority(ctx context.Context, store Store, opts *Options) (*Authority, error) {
	a := &Authority{store: store, done: make(chan struct{})}
	if opts != nil {
		a.opts = *opts
	}
	if a.opts.Poll <= 0 {
		a.opts.Poll = time.Second
	}
	if a.opts.MaxFailures <= 0 {
		a.opts.MaxFailures = 30
	}
	if a.opts.Now == nil {
		a.opts.Now = time.Now
	}
	if a.opts.Log == nil {
		a.opts.Log = slog.New(slog.DiscardHandler)
	}
	a.failures = newThrottle(a.opts.MaxFailures, a.opts.Now)
	if err := a.load(ctx); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	watch, quit := context.WithCancel(context.WithoutCancel(ctx))
	a.quit = quit
	go a.watch(watch)
	return a, nil
}

// Close stops watching and writes the last uses.
func (a *Authority) Close() error {
	a.quit()
	<-a.done
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	return a.saveUses(ctx)
}

// Enforced says whether a valid key exists, so that credentials count.
func (a *Authority) Enforced() bool { return len(a.keys.Load().byHash) > 0 }

// counts says whether credentials count under the keys of set.
func (a *Authority) counts(set *snapshot) bool { return a.opts.Always || len(set.byHash) > 0 }

// Require returns the handler that goes in front of the route's own. It answers UNAUTHENTICATED (401, with WWW-Authenticate: Basic),
// PERMISSION_DENIED (403) or REQUEST_LIMIT_EXCEEDED (429, with Retry-After), else it calls the next handler.
func (a *Authority) Require(r wire.Route) fiber.Handler {
	if r.Permission == wire.Public {
		return func(c *fiber.Ctx) error { return c.Next() }
	}
	denied := denied(r.Permission, r.Audit)
	return func(c *fiber.Ctx) error {
		set := a.keys.Load()
		if !a.counts(set) {
			return c.Next()
		}
		cred := set.find(c.Request().Header.Peek(fiber.HeaderAuthorization))
		if cred == nil {
			var err error
			if cred, err = a.second(c, set); err != nil {
				return err
			}
			if cred == nil { // the last key was revoked meanwhile
				return c.Next()
			}
		}
		cred.used(a.opts.Now().UnixMilli())
		if !cred.May(r.Permission) {
			return denied
		}
		c.Locals(whoKey{}, cred)
		return c.Next()
	}
}

type whoKey struct{}

// Who returns the name of the key that the request came with; empty if credentials do not count or the route is public.
func Who(c *fiber.Ctx) string {
	if cred, ok := c.Locals(whoKey{}).(*credential); ok {
		return cred.Name
	}
	return ""
}

// Name returns the name of the key that an Authorization header brings; "" for none, and while credentials do not count.
func (a *Authority) Name(authorization []byte) string {
	set := a.keys.Load()
	if !a.counts(set) || len(authorization) == 0 {
		return ""
	}
	if cred := set.find(authorization); cred != nil {
		return cred.Name
	}
	return ""
}

// May says whether the request's caller has the permission; everybody has while credentials do not count. It is for handlers that ask for
// more than their row of the endpoint table does, and always true on public ones.
func May(c *fiber.Ctx, p wire.Permission) bool {
	cred, ok := c.Locals(whoKey{}).(*credential)
	return !ok || cred.May(p)
}

// second handles a request whose credential is not in set: it looks once more whether a new key arrived, then counts the failure. A nil
// credential without an error means that credentials no longer count.
func (a *Authority) second(c *fiber.Ctx, set *snapshot) (*credential, error) {
	header := c.Request().Header.Peek(fiber.HeaderAuthorization)
	if len(header) == 0 {
		return nil, challenge(c, missing)
	}
	from := addressOf(c)
	if wait, over := a.failures.over(from); over {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(wait.Seconds())+1))
		return nil, mlflow.Errorf(mlflow.RequestLimitExceeded, "%s", tooMany)
	}
	a.recheck(c.UserContext())
	if now := a.keys.Load(); now != set {
		if !a.counts(now) {
			return nil, nil
		}
		if cred := now.find(header); cred != nil {
			return cred, nil
		}
	}
	a.failures.count(from)
	return nil, challenge(c, wrong)
}

func challenge(c *fiber.Ctx, message string) error {
	c.Set(fiber.HeaderWWWAuthenticate, `Basic realm="sluice"`)
	return &mlflow.Error{Code: mlflow.Unauthenticated, Message: message}
}

// recheck asks the store for a newer revision, unless that was done just now.
func (a *Authority) recheck(ctx context.Context) {
	a.reload.Lock()
	defer a.reload.Unlock()
	if a.opts.Now().UnixMilli()-a.checkedMS >= recheckAfter.Milliseconds() {
		a.refresh(ctx)
	}
}

// refresh loads the keys if the revision moved. The caller holds reload.
func (a *Authority) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	a.checkedMS = a.opts.Now().UnixMilli()
	revision, err := a.store.KeyRevision(ctx)
	if err == nil && revision != a.keys.Load().revision {
		err = a.load(ctx)
	}
	if err != nil && ctx.Err() == nil && !a.failing {
		a.opts.Log.Error("keys cannot be read; the last known ones count", slog.Any("error", err))
	}
	a.failing = err != nil
}

// load reads all keys and swaps the snapshot.
func (a *Authority) load(ctx context.Context) error {
	keys, revision, err := a.store.Keys(ctx)
	if err != nil {
		return err
	}
	next := &snapshot{revision: revision, byHash: make(map[Hash]*credential, len(keys))}
	for _, k := range keys {
		if k.RevokedMS != 0 {
			continue
		}
		cred := &credential{Key: k}
		cred.usedMS.Store(k.LastUsedMS)
		cred.savedMS.Store(k.LastUsedMS)
		if old := a.keys.Load(); old != nil && old.byHash[k.Hash] != nil {
			cred.usedMS.Store(max(k.LastUsedMS, old.byHash[k.Hash].usedMS.Load()))
		}
		next.byHash[k.Hash] = cred
	}
	a.keys.Store(next)
	return nil
}

// watch polls the revision and saves uses until Close.
func (a *Authority) watch(ctx context.Context) {
	defer close(a.done)
	tick := time.NewTicker(a.opts.Poll)
	defer tick.Stop()
	saved := a.opts.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.reload.Lock()
		a.refresh(ctx)
		a.reload.Unlock()
		if now := a.opts.Now(); now.Sub(saved) >= touchEveryMS*time.Millisecond {
			saved = now
			if err := a.saveUses(ctx); err != nil {
				a.opts.Log.Warn("last uses of keys not written", slog.Any("error", err))
			}
		}
	}
}

func (a *Authority) saveUses(ctx context.Context) error {
	uses := map[string]int64{}
	set := a.keys.Load()
	for _, cred := range set.byHash {
		if used := cred.usedMS.Load(); used != cred.savedMS.Load() {
			uses[cred.ID] = used
		}
	}
	if len(uses) == 0 {
		return nil
	}
	if err := a.store.TouchKeys(ctx, uses); err != nil {
		return err
	}
	for _, cred := range set.byHash {
		if used, ok := uses[cred.ID]; ok {
			cred.savedMS.Store(used)
		}
	}
	return nil
}

// used marks the key's use, coarsely, so that the hot path rarely writes.
func (c *credential) used(nowMS int64) {
	if last := c.usedMS.Load(); nowMS-last >= touchEveryMS {
		c.usedMS.CompareAndSwap(last, nowMS)
	}
}
