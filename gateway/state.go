package gateway

import (
	"fmt"
	"time"
)

// Deployment is the state of one arm.
type Deployment uint8

const (
	Creating   Deployment = iota // the version that the arm means is being loaded; an earlier one may serve meanwhile
	Serving                      // the arm serves the version that it means (or its last one, when stale)
	LoadFailed                   // the version that the arm means could not be loaded; an earlier one may serve meanwhile
	Empty                        // there is no version to serve
)

// Update says how far a change of an endpoint is.
type Update uint8

const (
	NotUpdating  Update = iota
	InProgress          // a version is being loaded, or the newest configuration was not looked at yet
	UpdateFailed        // a version could not be loaded; what served before still serves
)

// State is what an endpoint does now, as the plan that was published last saw it.
type State struct {
	// ConfigVersion and CreatedMS are those of the endpoint that the plan looked at: others mean that it is behind.
	ConfigVersion, CreatedMS int64
	// Held says that the configuration's weights are not applied yet: the arms of the previous one still serve.
	Held   bool
	Ready  bool // at least one arm answers
	Update Update
	Reason string     // why it is not ready or not updated; empty otherwise
	Arms   []ArmState // in the order of the configuration, then those that it needs beside (Config.Kept)
}

// ArmState is what one served entity does now.
type ArmState struct {
	Name    string
	Model   string // the registered model
	Want    int    // the version that the arm is to serve; 0 when there is none
	Means   int    // the version that the arm's target names now, whatever a rollout says; 0 when it names none
	Serving int    // the version that answers; 0 when none does
	Weight  Weight // the share that it really has, after the weight of empty arms went to the others
	Stale   bool   // Want is the last version of an empty stage or alias
	State   Deployment
	Reason  string // why it is stale, empty, loading or failed; empty otherwise
	// Progress is how far the preparation of Creating is, in a few words; empty otherwise.
	Progress string
	// ServedBy says what executes the version that answers ("onnx", "onnx (converted)", "python"), ServedNote what there is to know about that, for
	// example why the version was not converted.
	ServedBy, ServedNote string
	// Down says why the version that answers can execute nothing at present; empty: it can.
	Down string
}

// Message is Reason with the progress, and with what keeps the version that answers from executing anything.
func (a ArmState) Message() string {
	text := a.Reason
	if a.Progress != "" {
		text += " (" + a.Progress + ")"
	}
	if a.Down == "" {
		return text
	}
	if text != "" {
		text += "; "
	}
	return text + fmt.Sprintf("version %d executes nothing at present: %s", a.Serving, a.Down)
}

// Arm returns the state of the served entity of the name.
func (s State) Arm(name string) (ArmState, bool) {
	for _, a := range s.Arms {
		if a.Name == name {
			return a, true
		}
	}
	return ArmState{}, false
}

// Batching is whether predictions of a version are joined into batches, which is measured when it is loaded.
type Batching struct {
	Joined  bool
	Reason  string // why not, or why although nothing was measured that speaks for it
	MaxRows int    // of a batch
	// What runs of 1, 8 and 32 rows took; 0: not measured.
	One, Eight, Many time.Duration
}
