package plan

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package if a loop outlives its Close.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
