package rollout

import (
	"testing"

	"sluice/gateway/outcome"
)

// Whose fault an answer is: the version's, the caller's, or that of too much load.
func TestCount(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Sample{
		200: {Requests: 3},
		400: {Requests: 3, ClientErrors: 3},
		499: {Requests: 3, ClientErrors: 3},
		429: {Shed: 3},
		500: {Requests: 3, Errors: 3},
		501: {Requests: 3, ClientErrors: 3},
		503: {Requests: 3, Errors: 3},
		504: {Requests: 3, Errors: 3},
	} {
		var got Sample
		got.count(code, &outcome.Observed{Count: 5}, &outcome.Observed{Count: 2})
		if got.Requests != want.Requests || got.Errors != want.Errors || got.ClientErrors != want.ClientErrors || got.Shed != want.Shed {
			t.Errorf("%d counts as %+v", code, got)
		}
	}
}
