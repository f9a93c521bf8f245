// Package pyworker is the backend that runs an MLflow model in supervised Python processes.
//
// It owns the worker program (worker.py, embedded), the protocol, the processes of one loaded version, and their supervision. It is called
// by cmd's loader; it must not know HTTP, routes, the registry, nor how the environment of an interpreter came to be.
// A Backend is safe for concurrent use.
//
// # One prediction
//
// Each worker is a process that has loaded the model with mlflow.pyfunc.load_model and answers one prediction at a time over a socket pair
// (frame.go, layout.go). A batch travels as the bytes of its columns: no JSON, no Arrow. A request that is exactly what the model's signature
// declares goes straight to the model, because the gateway has enforced the signature already; all others go through pyfunc's own
// enforcement once more, which knows the nested types. Answers that are numbers and texts come back as columns; everything else as the JSON text
// that MLflow's scoring server would have written, with null for what JSON has no word for.
//
// # Supervision
//
//	            loaded                         asked to stop, or due for recycling and replaced
//	starting ───────────► idle ◄──► busy ───────────────────────────────────────────────────► ended
//	   ▲                    │         │
//	   └──── back-off ◄─────┴─────────┘  crashed, killed, out of memory, stopped, hung, garbage on the socket
//
// A prediction whose worker dies is run once more, by another worker; if that dies too the error is servable.ErrLost. A prediction whose context ends
// is interrupted with SIGINT, and its worker is killed if that does not help within InterruptGrace. A worker over its memory is replaced when it is
// idle and killed when it is busy; one that leaks until it is refused memory counts as lost, and its prediction is run once more. Recycling starts the
// successor first. While no worker lives and the next is not due within longPause, predictions are refused instead of kept waiting, and Down says why. What the model's exceptions say goes to the log, each place in the code once a minute.
//
// # Safety
//
// The model's code, pickles included, runs in the workers alone: each with a private directory (mode 0700) as working directory, home and place
// for temporary files, an environment made from a list of allowed variables, its own process group, limits on memory and open
// files, and a lower priority. Workers die with the gateway. Nothing that they send is believed: frames, types and sizes are checked, and
// JSON texts are validated.
package pyworker
