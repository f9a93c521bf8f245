package predlog

import (
	"errors"
	"fmt"
)

// ErrDamaged: a segment is not what the log wrote.
var ErrDamaged = errors.New("predlog: damaged segment")

// guarded turns a panic of the Parquet library into ErrDamaged. Delivered segments lie where whoever may write to the run's artifacts can write,
// and a hostile one must not end the process.
func guarded(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return read()
}
