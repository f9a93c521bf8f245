package respcache

import (
	"context"
	"time"
)

// Store keeps values under keys. Drivers pass respcachetest. It may forget anything at any time; what it returns was put under that key, or is
// refused by its checksum. All methods are called concurrently.
type Store interface {
	// Get returns the value; "" if there is none, or it is older than its ttl. It takes little time, whatever became of ctx, and an error only
	// when the store could not be asked.
	Get(ctx context.Context, k *Key) (value string, err error)
	// Put keeps the value for ttl, ≥ 1 ms. Afterwards Get returns it, in every process that shares the store. It takes little time.
	Put(ctx context.Context, k *Key, value string, ttl time.Duration) error
	// Near says that Get costs nothing worth sharing with others that ask for the same.
	Near() bool
	Close() error
}

// Keeper is an optional power of a Store: it frees what is kept for owners that are gone.
type Keeper interface {
	// Keep frees, in the background, what is kept for owners for which live answers false. live is called from another goroutine until
	// the next Keep or Close returned.
	Keep(live func(Owner) bool)
}
