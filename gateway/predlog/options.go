package predlog

import (
	"fmt"
	"log/slog"
	"time"
)

// Options of Open; nil and the zero value are the defaults. A negative or contradictory value is an error of Open.
type Options struct {
	// QueueBytes bounds the frames in memory; default 8 MiB. It is rounded down to whole chunks of max(256 KiB, 2·MaxBodyBytes + 16 KiB), at
	// least two of which must fit.
	QueueBytes int
	// MaxBodyBytes is the longest request or response body kept whole; longer ones are cut there and flagged. Default 128 KiB.
	MaxBodyBytes int
	// MaxDiskBytes bounds spools plus undelivered segments; at the bound new records are dropped (DiskFull), nothing old is deleted.
	// Turning a spool into segments may exceed it by that spool's size. Default 2 GiB.
	MaxDiskBytes int64
	// Sync says when the spool is synced.
	Sync SyncPolicy
	// SyncInterval is how long an accepted record may wait for fsync under SyncEvery; default 1 s. It is synced earlier when QueueBytes were written.
	SyncInterval time.Duration
	// WriteInterval is how long an accepted record may stay in memory, where a kill -9 loses it; default 200 ms, at most SyncInterval.
	WriteInterval time.Duration
	// SpoolRows, SpoolBytes and SpoolAge end a spool, whichever comes first: defaults 65536 rows, 32 MiB, 10 s since its first record.
	SpoolRows  int
	SpoolBytes int64
	SpoolAge   time.Duration
	// DeliverTimeout bounds one call of Sink.Deliver; default 60 s.
	DeliverTimeout time.Duration
	// RetryMin and RetryMax bound the back-off (doubling) after a failed delivery or segment; defaults 200 ms and 30 s.
	RetryMin, RetryMax time.Duration
	// Logger receives failures and recoveries; nil discards.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// files replaces the file system in tests of this package.
	files *files
}

// SyncPolicy says when what was written to the spool is synced, so that a power failure cannot take it. Segments are synced always.
type SyncPolicy uint8

// The policies. No request waits for any of them.
const (
	SyncEvery  SyncPolicy = iota // every Options.SyncInterval
	SyncNone                     // never: only what the operating system has written by itself survives a power failure
	SyncAlways                   // as soon as there is a record, together with those that came meanwhile
)

// SyncPolicies are the policies by their names in settings.
func SyncPolicies() map[string]SyncPolicy {
	return map[string]SyncPolicy{"interval": SyncEvery, "none": SyncNone, "always": SyncAlways}
}

// chunkOverhead is room for the frame header, the fixed fields and every text of a record, so that any record fits one chunk.
const chunkOverhead = 16 << 10

// withDefaults returns a copy with every field set, or what cannot be honoured.
func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	if v.QueueBytes < 0 || v.MaxBodyBytes < 0 || v.MaxDiskBytes < 0 || v.SyncInterval < 0 || v.WriteInterval < 0 || v.SpoolRows < 0 || v.SpoolBytes < 0 ||
		v.SpoolAge < 0 || v.DeliverTimeout < 0 || v.RetryMin < 0 || v.RetryMax < 0 {
		return v, fmt.Errorf("predlog: a negative option: %+v", v)
	}
	setDefault(&v.QueueBytes, 8<<20)
	setDefault(&v.MaxBodyBytes, 128<<10)
	setDefault(&v.MaxDiskBytes, 2<<30)
	setDefault(&v.SyncInterval, time.Second)
	setDefault(&v.WriteInterval, min(200*time.Millisecond, v.SyncInterval))
	setDefault(&v.SpoolRows, 64<<10)
	setDefault(&v.SpoolBytes, 32<<20)
	setDefault(&v.SpoolAge, 10*time.Second)
	setDefault(&v.DeliverTimeout, time.Minute)
	setDefault(&v.RetryMin, 200*time.Millisecond)
	setDefault(&v.RetryMax, max(30*time.Second, v.RetryMin))
	if v.RetryMax < v.RetryMin {
		return v, fmt.Errorf("predlog: RetryMax %v is below RetryMin %v", v.RetryMax, v.RetryMin)
	}
	if v.WriteInterval > v.SyncInterval {
		return v, fmt.Errorf("predlog: WriteInterval %v is above SyncInterval %v", v.WriteInterval, v.SyncInterval)
	}
	if v.Sync > SyncAlways {
		return v, fmt.Errorf("predlog: no such SyncPolicy: %d", v.Sync)
	}
	if v.MaxBodyBytes > 64<<20 {
		return v, fmt.Errorf("predlog: MaxBodyBytes %d is above 64 MiB", v.MaxBodyBytes)
	}
	if v.QueueBytes < 2*v.chunkBytes() {
		return v, fmt.Errorf("predlog: QueueBytes %d is below two chunks of %d bytes", v.QueueBytes, v.chunkBytes())
	}
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Now == nil {
		v.Now = time.Now
	}
	if v.files == nil {
		v.files = osFiles()
	}
	return v, nil
}

// unsyncedBytes is how much may be written and not synced.
func (o *Options) unsyncedBytes() int64 { return int64(o.QueueBytes) }

// chunkBytes is the size of one chunk of the queue.
func (o *Options) chunkBytes() int { return max(256<<10, 2*o.MaxBodyBytes+chunkOverhead) }

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
