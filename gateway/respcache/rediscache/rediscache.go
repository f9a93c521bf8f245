// Package rediscache keeps answers in Redis, for all processes that share one, through github.com/redis/go-redis.
//
// It owns the connection and how long it may take. It is called by respcache, as its Store; it must not know what a value means. Redis bounds its memory
// itself (maxmemory with one of the policies of eviction); every value has a ttl. A Redis that is down or slow costs a request Options.Timeout at
// most, and after five such times in a row nothing until it was tried again, seconds later. What Redis itself answers with an error, as a full memory, is
// an error of that one value.
package rediscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"sluice/gateway/respcache"
)

// prefix is what every key begins with.
const prefix = "sluice:answer:"

// maxValue bounds what is read of a value, in bytes: no answer is longer, and what lies under a key may be anybody's.
const maxValue = 65 << 20

// Options of New; nil and the zero value work.
type Options struct {
	// Timeout bounds each Get and Put; default 50 ms.
	Timeout time.Duration
	// Rest is how long a Redis that failed five times in a row is left alone; default 2 s.
	Rest time.Duration
	// Logger is told when Redis is left alone and when it answers again; nil discards.
	Logger *slog.Logger
}

// Store is a connection to Redis. It is made when it is needed: New succeeds without a server.
type Store struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[string]
	timeout time.Duration
}

var _ respcache.Store = (*Store)(nil)

// CheckURL says what is wrong with the URL of a Redis: redis://[[user]:password@]host[:port][/db], rediss://… with TLS, or unix:///path. The error repeats
// nothing of it, which may hold a password.
func CheckURL(address string) error {
	_, err := parse(address)
	return err
}

func parse(address string) (*redis.Options, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("parameters after ? or # are not supported")
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, errors.New("it is not redis://[[user]:password@]host[:port][/db], rediss://… or unix:///path")
	}
	return o, nil
}

// New returns a store at the URL. Errors: as of CheckURL.
func New(address string, opts *Options) (*Store, error) {
	o, err := parse(address)
	if err != nil {
		return nil, err
	}
	var own Options
	if opts != nil {
		own = *opts
	}
	if own.Timeout <= 0 {
		own.Timeout = 50 * time.Millisecond
	}
	if own.Rest <= 0 {
		own.Rest = 2 * time.Second
	}
	if own.Logger == nil {
		own.Logger = slog.New(slog.DiscardHandler)
	}
	bound(o, own.Timeout)
	return &Store{client: redis.NewClient(o), breaker: newBreaker(o, &own), timeout: own.Timeout}, nil
}

// bound sets how long everything may take, and switches off what is not needed.
func bound(o *redis.Options, timeout time.Duration) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func newBreaker(o *redis.Options, own *Options) *gobreaker.CircuitBreaker[string] {
	return gobreaker.NewCircuitBreaker[string](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      own.Rest,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsSuccessful: answered,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				own.Logger.Warn("Redis does not answer: answers are computed", slog.String("address", o.Addr), slog.Duration("next_try", own.Rest))
			case gobreaker.StateClosed:
				own.Logger.Info("Redis answers again", slog.String("address", o.Addr))
			}
		},
	})
}

// errCaller goes with errors that come from the caller's own context.
var errCaller = errors.New("the caller's time is up")

// answered says whether an error tells nothing bad about the connection.
func answered(err error) bool {
	var reply redis.Error
	return err == nil || errors.Is(err, errCaller) || errors.As(err, &reply)
}

// do asks Redis within the timeout, unless it is left alone.
func (s *Store) do(ctx context.Context, ask func(ctx context.Context) (string, error)) (string, error) {
	value, err := s.breaker.Execute(func() (string, error) {
		own, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		value, err := ask(own)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", errCaller, err)
		}
		return value, err
	})
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	return value, nil
}

// Get implements respcache.Store. What is no text in Redis is none.
func (s *Store) Get(ctx context.Context, k *respcache.Key) (string, error) {
	value, err := s.do(ctx, func(ctx context.Context) (string, error) {
		return s.client.GetRange(ctx, prefix+k.String(), 0, maxValue).Result()
	})
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return "", nil
	}
	return value, err
}

// Put implements respcache.Store.
func (s *Store) Put(ctx context.Context, k *respcache.Key, value string, ttl time.Duration) error {
	_, err := s.do(ctx, func(ctx context.Context) (string, error) {
		return "", s.client.Set(ctx, prefix+k.String(), value, ttl).Err()
	})
	return err
}

// Near implements respcache.Store.
func (s *Store) Near() bool { return false }

// Close implements respcache.Store.
func (s *Store) Close() error { return s.client.Close() }
