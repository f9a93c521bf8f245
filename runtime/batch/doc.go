// Package batch stands in front of a Predictor: it bounds how many predictions run at once and how many wait, and, where a model gains
// from it, joins waiting predictions into one call.
//
// It owns the queue, the rule when to run, the joining and splitting of rows, and the measurement that decides whether to join at all.
// It is called by servable; it must not know HTTP, routes, or which backend runs underneath. A Batcher is safe for concurrent use;
// Close waits for the calls already accepted. A Batcher has no goroutine of its own: the callers' goroutines run the batches.
//
// # Joining
//
// The first caller that finds nobody leading leads: it runs the batch that holds its own rows and gives the lead to the head of the queue.
// Before it runs, it waits until as many calls have queued as were present at the recent peak, woken by the call that completes that
// number, or until MaxDelay has passed; so a lone client never waits, and sixty-four are joined although the scheduler lets them arrive one by
// one. It does so only while calls come so often that, each run alone, they would keep a processor nearly half busy, or that part of every
// two processors with what is around each: then a wait saves more
// than it costs however they come, and below that nobody pays for it. (Measured in go-feasibility: fixed timers and pure work-conserving
// queues both lose.) A call that finds nobody runs at once, past the queue. While a batch runs the next gathers; a further leader begins beside it only when a whole batch is queued, so that
// processors do not stand idle and batches do not fall apart.
//
// A batch is bounded by rows, by bytes, and by time: a leader does not wait past the moment at which a queued call, its own included,
// has to start to keep its deadline, and takes no rows that would make a call that it has taken miss it, by what runs of that size took
// lately. A joined run is cut off when the last of its callers' deadlines has passed, not before.
//
// Calls are joined only if they have equal parameters and Joinable tensors; others run alone, in their turn. A joined call that fails is
// run again in halves until the failure stands alone, so that one caller's bad row fails that caller only.
//
// # Passing through
//
// A model that gains nothing is only guarded: at most Slots calls at once, at most MaxQueue waiting. Nothing is allocated.
//
// # Tokens
//
// Batchers of models that run on the same processors share Tokens: see there.
package batch
