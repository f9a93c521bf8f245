package rest

import (
	"strconv"
	"time"
)

// batchingAnswer is the verdict on joining a version's predictions into batches, and the measurement at load time that it follows from.
type batchingAnswer struct {
	Joined    bool    `json:"joined"`
	Reason    string  `json:"reason,omitempty"` // why not, or why although nothing was measured that speaks for it
	MaxRows   int     `json:"max_rows"`
	OneUS     float64 `json:"rows_1_us,omitempty"` // µs of a run of one row
	EightUS   float64 `json:"rows_8_us,omitempty"`
	ThirtyTwo float64 `json:"rows_32_us,omitempty"`
}

// addBatching tells of each served entity whether its predictions are joined, in both spellings.
func (h *Handler) addBatching(a *endpointAnswer) {
	for i := range a.Config.ServedEntities {
		e := &a.Config.ServedEntities[i]
		version, err := strconv.Atoi(e.Serving)
		if err != nil {
			continue // nothing serves
		}
		b, ok := h.deps.Batching(e.Model, version, modeOf(e.BatchMode))
		if !ok {
			continue
		}
		e.Batching = &batchingAnswer{
			Joined: b.Joined, Reason: b.Reason, MaxRows: b.MaxRows,
			OneUS: micros(b.One), EightUS: micros(b.Eight), ThirtyTwo: micros(b.Many),
		}
		a.Config.ServedModels[i].Batching = e.Batching
	}
}

// batchingMode reads when the predictions of a served entity are joined.
func batchingMode(o *object) string {
	mode := o.text("batching_mode")
	switch mode {
	case "", "auto", "always", "never":
	default:
		o.fail("batching_mode", "%q is not one of auto, always, never", clip(mode))
	}
	return modeOf(mode)
}

// modeOf is the word for a mode inside: none for auto.
func modeOf(word string) string {
	if word == "auto" {
		return ""
	}
	return word
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
