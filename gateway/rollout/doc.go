// Package rollout lets a new version take over from the one that serves, step by step, and takes it back when it does worse.
//
// It owns the evidence (what the canary's requests say against stable's), Next, which decides and is pure, and the Controller, the loop
// that counts, decides, writes and settles. It is called by cmd, which wires it, and by gateway/rest (Start, Promote, Abort, Status); it
// must not know HTTP, SQL, or how a table is made: a rollout is a row, and plan makes the table from rows. A Controller is safe for
// concurrent use; everything else here is a value.
//
// # What survives a kill
//
// Every decision is one write of one row, compared by revision: what was not written did not happen, and what was is not done twice. A
// row that says promoting or rolling_back pins its version already; the stage, alias or configuration follow, and are moved only if they
// do not say so yet and still mean what the rollout began with: a promotion that finds a third version there ends as superseded. A rollback is shown to the table before it is written, so that a database that is away does not keep a bad canary
// in traffic; a promotion never is.
//
// # Several processes on one database
//
// One of them drives: it judges, writes and settles; n judges of the same versions would be n chances to take a harmless one back. All of them count:
// those that follow hand over what they answered, every Options.Share, in a row of their own (gateway.RolloutShare); the driver takes it in and
// says so in the rollout's row, in the same write that stores what came of it, and then the follower hands over the next. So each share counts once, whoever
// is killed; what was not handed over, or counted since the driver's last word, is lost, which makes the test slower, not wrong. The row
// names the driver, which says every third of the lease that it is still there, and stores what is counted. Who sees, by its own clock, that the
// driver was silent for a lease takes over with the counts that were stored; who is stopped in order leaves its rollouts to whoever is there. A driver
// that lost its rollout without knowing it (cut off, stopped in the middle) is fenced by the row's revision, which taking over raises, and in the
// registry by moving a stage or alias only from the version that it looked at. All that it can still do is keep the canary out of its own traffic.
// Orders (promote, abort) are taken by any process; every process follows the row within Options.Interval.
//
// # The test
//
// Errors, slow answers, predictions in a part of stable's distribution and wrong answers are shares: of n requests, k. With p the canary's
// share and s stable's, the hypothesis is that the canary is harmless:
//
//	H: p ≤ s + t        t is the tolerance, a share
//
// Requests arrive in blocks (what was counted between two looks). Before a block of n canary and m stable requests is seen, the past gives
// estimates p* and s* (k + 0.18)/(n + 0.36). Where p* ≤ s* + t nothing is bet; else the block with k and l hits multiplies the evidence E by
//
//	S = (p*/p°)^k ((1−p*)/(1−p°))^(n−k) · (s*/s°)^l ((1−s*)/(1−s°))^(m−l)
//
// where (p°, s°) is the point of H nearest to (p*, s*): it minimises n·KL(p*‖p°) + m·KL(s*‖s°), and lies on p° = s° + t. Under every (p, s)
// of H the mean of S is at most 1: with f = 1 + (p−p°)(p*−p°)/(p°(1−p°)), which is the mean of one canary factor, and g likewise,
//
//	log E[S] = n·log f + m·log g ≤ n(f−1) + m(g−1) = −⟨(p,s) − (p°,s°), ∇⟩ ≤ 0
//
// where ∇ is the gradient of what (p°, s°) minimises over H, which is convex. So E is a non-negative supermartingale that begins at 1, and by
// Ville's inequality the probability that it ever reaches 1/α is at most α: the canary may be looked at after every request, and stopped at
// any of them. (A. Turner, A. Ly, P. Grünwald, Generic E-variables for exact sequential k-sample tests that allow for optional stopping,
// arXiv:2106.02693; J. Ville, Étude critique de la notion de collectif, 1939.) It is exact for independent requests that both arms get from
// the same source, which weights and sticky keys see to. Processes may have different callers, and be at different weights for a moment: a block is of one
// process, and as H is about that block's own p and s, each S has a mean of at most 1 whatever the others are. Added up first, the process where
// callers fail most and the canary has most would make a harmless canary look bad.
//
// Latency: when 100 successful requests of stable are known, x is fixed as the bound of the bucket of its q-quantile. If the canary's latencies
// are at most r times stable's, its share above r·x is at most stable's above x: the same test with t = 0 (r·x is x and a millisecond, where that is more). Drift: when 200 predictions of stable
// are known they are cut into at most eleven parts of about a tenth; for each part both "more than t more" and "more than t fewer" are tested, and the
// mean of those evidences is evidence again. While the canary bakes there is no stable traffic: its share is tested against a bound that stable's
// share is below with the probability 1−α, for ever: the s above k/n where the Beta mixture B(k+1, n−k+1)/(s^k(1−s)^(n−k)) reaches 1/α (H. Robbins,
// Statistical methods related to the law of the iterated logarithm, 1970).
//
// Baseline drift is another test: how far the canary's own requests and predictions are from its baseline (package drift), with a bound on what chance
// does that holds for every window and however often it is looked at. Nothing compared is insufficient traffic; a distance past the limit holds, and one that
// is past it by more than chance takes the canary back. It comes with the prediction log, tens of seconds late.
//
// FalseRollback is divided equally among the metrics, and each metric's part: half for the comparison, a quarter each for the bound and
// for the bake. Counts of before a restart are in the row; what was counted since the driver's last word is lost, which makes the test
// slower, not wrong.
//
// # Verdicts
//
//	rollback               the evidence of some metric reached its threshold: at any time while the canary has traffic
//	insufficient_traffic   the step has not seen its requests: it waits, for ever if it must
//	hold                   a metric is past its limit without enough evidence, or the step's time is not over, or somebody must approve
//	promote                enough requests, and nothing speaks against the canary: the next step
package rollout
