// Package truth takes in ground truth, what a prediction should have been, and says how right the served versions are.
//
// It owns the items that clients send, what becomes of each (Outcome), the join with the prediction log, and the tallies of each version:
// right and wrong answers, confusion of classes, errors of numbers. It is called by gateway/rest (Submit, Quality), by cmd, which wires and
// runs it, by gateway/rollout (Judged) and gateway/monitor (Observations) through functions that cmd hands over. It must not know HTTP or
// SQL, and is never on the request path. A Service is safe for concurrent use.
//
// # What an item names
//
//	prediction_id       X-Sluice-Prediction-Id of the answer: exactly one prediction; its time is in the id, whatever its age
//	client_request_id   X-Request-Id of the request; may repeat, then it is ambiguous
//	key                 the value that the request had in the column that the endpoint's ground_truth.key names; may repeat, then it is ambiguous
//
// Predictions are looked for by the last two as far back as Settings.Lookback. A shadow's copy of a request has the client's id and key,
// too: it is judged with the answer that was given, and does not make it ambiguous. A prediction of several rows takes a list of values,
// or one with "row".
//
// # What becomes of an item
//
//	joined               stored and counted
//	pending              its prediction is not known (yet): kept for Options.Wait and joined when the prediction log has delivered it. That is the
//	                     outcome of ground truth that comes before its prediction, too
//	duplicate            the same value is there already; nothing changes
//	conflicting          another value is there already: it stays, the new one is dropped
//	ambiguous            several predictions have this client_request_id or key; nothing is stored
//	too_late             the prediction is older than Options.Retention; nothing is stored
//	unknown              no prediction has this id, and none will: it is older than Options.Wait. A pending item ends so, counted
//	without_prediction   the prediction failed, its answer was not logged, or it has no such output; nothing is stored
//	invalid              the item says nothing that can be compared; nothing is stored
//
// Ground truth that is 30 days late is joined like any other: Retention is 45 days by default, and one that is joined counts at the time it
// came, because that is what rolling numbers are about.
//
// # What is counted
//
// A value is judged as a class (right or wrong) or as a number (error), as Settings.Task says. By default a text, a truth value, and a whole
// number against an answer that is a whole number, written without a fraction, is a class; anything else a number. Tallies are kept by hour of
// arrival; the rolling numbers are those of the last Options.Window. Everything is in the transaction that stores the label, so that
// nothing is counted twice, whatever is killed when.
package truth
