// Package monitor writes what was served back into tracking, so that a served version is found from the run it was trained in, and the
// other way round.
//
// It owns the serving runs: for each endpoint the experiment "serving/<endpoint>", and in it one run for each model version that the
// endpoint serves, with metrics over time (from gateway/outcome), prediction log segments as artifacts (it is predlog's Sink) and links
// in both directions. It is called by cmd, which wires it: New, then predlog.Open with it as the Sink, then Start; plan's publications are told to Routed; Close
// after the log's. It must not know HTTP, SQL or how a prediction is made, and is never on the request path.
//
// # What stands where
//
//	experiment   serving/<endpoint>; made when first needed. One that a person deleted is restored, with a warning in the log.
//	serving run  "<model> v<version>"; RUNNING while routed, FINISHED when no longer; found again by its tags after a restart.
//	             A serving run that a person deleted stays deleted; a new one takes its place.
//	tags         sluice.serving = "true", sluice.endpoint, sluice.model_name, sluice.model_version; sluice.stage and sluice.arm as last
//	             routed; sluice.training_run_id and sluice.logged_model_id if known; sluice.rollout, the id of the last rollout that brought the version
//	links        tag sluice.serving_run.<endpoint> on the training run and on the model version; the logged model as a model input
//	metrics      per interval with traffic: requests, errors (HTTP status ≥ 400), server_errors (≥ 500), error_rate (0–1), latency_p50_ms,
//	             latency_p90_ms, latency_p99_ms, rows (prediction records delivered), dropped (records that the log dropped), sampled_out (requests
//	             left out by the endpoint's sampling_fraction); since the run began: requests_total, errors_total, rows_total, dropped_total,
//	             sampled_out_total. Counts, rates and latencies are those of all requests, sampled or not. The step rises by one per interval, also over restarts. Where
//	             several processes serve an endpoint each writes its intervals, and the sums are those of all (Sources.Totals)
//	observed     what else is known (Sources.Observed), when it changes: the quality of predictions with ground truth, how far columns moved, and
//	             (tag sluice.drift.baseline) from what.
//	             The step is the time, in seconds since the epoch
//	dataset      the segments, as a dataset input named "predictions" of the context "serving"; mlflow.data.get_source(…).load() downloads them
//	artifacts    predictions/<UTC date of the first record>/<segment id>.parquet, each entered into the index (gateway/predictions)
//
// Records of requests that reached no version stand in a run named "unrouted" of their endpoint, those that named no known endpoint under
// "serving/(none)".
//
// With tracking down nothing is lost: Deliver returns the error and the log keeps the segment; counts stay in the Book and are written
// with the next interval. A Monitor is safe for concurrent use.
package monitor
