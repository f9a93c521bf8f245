package auth

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package if a watcher outlives its Close. fasthttp's clock of the Date header never ends, and its worker pools end
// some seconds after their server.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}
