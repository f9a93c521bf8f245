//go:build !race

package invoke

// raceEnabled says that the race detector runs.
const raceEnabled = false
