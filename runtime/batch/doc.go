// Package batch stands in front of a Predictor: it bounds how many predictions run at once and how many wait, and, where a model gains
// from it, joins waiting predictions into one call.
//
// It owns the queue, the rule when to run, the joining and splitting of rows, and the measurement that decides whether to join at all.
// It is called by servable; it must not know HTTP, routes, or which backend runs underneath. A Batcher is safe for concurrent use;
// Close waits for the calls already accepted. A Batcher has no goroutine of its own: the callers' goroutines run the batches.
//
// # Joining
//
// One batch runs at a time. The first caller that finds nobody running leads: it runs the batch that holds its own rows and hands the
// lead to the head of the queue. Before it runs, it waits until as many calls have queued as were present at the recent peak, woken by
// the call that completes that number; so a lone client never waits, and sixty-four are joined although the scheduler lets them arrive
// one by one. A wait that runs into MaxDelay lowers the expectation at once. (Measured in go-feasibility: fixed timers and pure
// work-conserving queues both lose.)
//
// Calls are joined only if they have no parameters and Joinable tensors; others run alone, in their turn. A joined call that fails is
// run again in halves until the failure stands alone, so that one caller's bad row fails that caller only.
//
// # Passing through
//
// A model that gains nothing is only guarded: at most Slots calls at once, at most MaxQueue waiting. Nothing is allocated.
package batch
