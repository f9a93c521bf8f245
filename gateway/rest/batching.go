package rest

import (
	"strconv"
	"time"
)

// batchingAnswer is the verdict on joining a version's predictions into batches, and the measurement at load time that it follows from.
type batchingAnswer struct {
	Joined    bool    `json:"joined"`
	Reason    string  `json:"reason,omitempty"` // why not
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
		b, ok := h.deps.Batching(e.Model, version)
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

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
