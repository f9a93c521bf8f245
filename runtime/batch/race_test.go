//go:build race

package batch_test

// raceEnabled says that the race detector runs.
const raceEnabled = true
