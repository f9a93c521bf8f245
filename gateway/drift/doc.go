// Package drift says how far the requests and predictions of a version moved away from what they were.
//
// It owns the sketches of columns (Profile), the numbers that compare two of them (PSI, KS), the windows of a version's stored predictions, and
// the alarms. It is called by gateway/rest (Reports), and by cmd, which wires and runs it and hands the numbers to gateway/monitor and
// gateway/telemetry. It must not know HTTP or SQL, and is never on the request path: it reads what the prediction log delivered, in the order of
// the index, and keeps what it makes of it in a Store, so that a restart loses and repeats nothing. A Service is safe for concurrent use.
//
// # What is compared
//
// The baseline of a version is its first rows at the endpoint, as many as the endpoint's drift.baseline_rows says. Later rows fall into
// windows of drift.window by the time of their request. A window with drift.min_rows or more is compared with the baseline, column by
// column, from its first such moment on, again with every piece of the log that comes. Columns are those of the request, and "prediction", the
// first output (or ground_truth.output) of the answer. ground_truth.key, which tells rows apart, is
// left out. A request that failed, a body that was cut, and what redaction took out of the log are not seen. Where an endpoint logs a share of its requests (sampling_fraction), the rows that are there stand for all, each with
// the same weight; window and baseline count rows. A shadow's version has its copies of requests compared like any other's.
//
//	PSI   Σ (wᵢ − bᵢ)·ln(wᵢ/bᵢ) over parts i; b and w are the shares of baseline and window. Parts are the tenths of the baseline's
//	      numbers, or its 20 most frequent texts and the others, and what is missing. A text that came fewer than 5 times, or of 128 different ones
//	      or more in less than 1.6 % of the rows, is one of the others: names, ids and free texts do not drift by being different. A share
//	      is (n + ½)/(N + ½·parts), so that an empty part is no infinity. Below 0.1 is usual, above 0.2 a shift. Chance alone makes about (parts − 1)·(1/B + 1/W).
//	KS    the largest distance of the two distribution functions, 0–1; of numbers only
//
// A column drifts in a window when its PSI is above drift.max_psi or its KS above drift.max_ks; that is an event drift_detected of the
// endpoint, and drift_ended when a later window is below both. A rollout's metric baseline_drift looks at the same windows, with a bound on what
// chance does (Report.Distance); its metric drift is another thing: it compares the predictions of the
// canary with those of stable, which get the same requests.
//
// # What it costs
//
// Of each segment of the log (10 s of requests, or 65,536) at most MaxRecords requests and MaxRows rows are taken, in blocks that lie evenly over it,
// with rests in between. All versions together have 1,000 requests a second read in the long run, 30,000 at once after quieter times, and 250 of each
// segment always: under heavy traffic a window is a sample of its rows, and the share of a processor that it takes does not grow with the traffic.
// A version has at most MaxColumns columns, others are counted and left out. Numbers go into a DDSketch (github.com/DataDog/sketches-go, Apache-2.0, released
// 2026-02: mergeable, 1 % relative error at any size, where a t-digest's error depends on the order of merging), distinct values into a
// HyperLogLog (github.com/axiomhq/hyperloglog, MIT, released 2026-09: 1 KiB for 3 %), and texts into a Space-Saving counter of our own: the libraries
// keep no state that can be stored. A sketch is at most about 8 KiB.
package drift
