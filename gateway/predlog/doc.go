// Package predlog is the prediction log: it takes one record per prediction request off the request path, keeps it across a crash and
// hands it on as Parquet.
//
// It owns the bounded queue in memory, the spool on disk (append-only, checksummed frames), the turning of spools into Parquet segments,
// and the delivery of segments to a Sink with retries. invoke calls Record for every outcome, failed and shadowed ones too; cmd opens,
// flushes and closes the Log and hands in the Sink (gateway/monitor). It must not know where segments go, tracking, the registry,
// routes or HTTP.
//
// The promise is arithmetic: once Flush or Close returned without error,
//
//	records offered = rows delivered + drops, each drop counted under its reason.
//
// After kill -9 the records still in memory (those of Options.WriteInterval, at most Options.QueueBytes of them) are missing, after a power failure
// also those not yet synced (Options.Sync); every other one is delivered by the next Open of the same directory, none twice under two segment
// ids, and a Gap says from when to when records may be missing, and how many at most. So, over such an end,
//
//	requests = rows + drops + sampled out (Skip) + tail, tail ≤ Gap.AtMost.
//
// DESIGN.md has the file formats, the life of a
// record, the reasoning about crashes, and the columns of a segment.
//
// A Log is safe for concurrent use. Record never blocks on I/O, allocates nothing and keeps nothing of its argument.
package predlog
