package gateway

import "sluice/tracking/mlflow"

// MaxRateLimitCalls is the most that a rate limit may allow: more is no limit.
const MaxRateLimitCalls = 1_000_000_000

// RateLimit allows so many predictions a minute, saved up for a minute at most; further ones are turned away.
type RateLimit struct {
	Calls int64 // a minute, ≥ 1
	// ByUser gives every user (the key that a request comes with; requests without one are of one user) the calls; else the whole endpoint
	// shares them. Each process counts by itself.
	ByUser bool
}

func (c Config) checkRateLimits() error {
	seen := map[bool]bool{}
	for i, l := range c.RateLimits {
		if l.Calls < 1 || l.Calls > MaxRateLimitCalls {
			return mlflow.Invalidf("rate_limits[%d].calls is not between 1 and %d", i, MaxRateLimitCalls)
		}
		if seen[l.ByUser] {
			return mlflow.Invalidf("rate_limits[%d].key has a limit already", i)
		}
		seen[l.ByUser] = true
	}
	return nil
}
