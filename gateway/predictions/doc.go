// Package predictions finds and reads the prediction records that were delivered into tracking, and those on their way there.
//
// It owns the words for that (Segment, Query, Position), the contract of the index of segments (Index; sqlindex keeps it in SQL), and the
// Reader: one record by its prediction id, records by the client's id, all records that match, in an order that pages can go on from. It
// is called by monitor, which enters segments into the index and joins ground truth, by rest and by cmd; it must not know HTTP, SQL, or how
// a segment comes to be where it is.
//
// # What is seen when
//
// By id a record is found as soon as the log took it: in memory, in the spool, or in a segment not yet delivered of this machine, and in
// delivered segments of every machine. Rows sees delivered segments alone: the newest records come after the log ends its spool (the
// setting --serving-metrics-interval, 10 s) and delivered it.
//
// # Order
//
// Rows come in the order in which their segments were delivered, and within one in the order in which they were recorded. That is the order
// of time for one version on one machine and about that order otherwise. It is stable: what is delivered later comes later, so that who
// goes on from a Position misses nothing and gets nothing twice. Rebuilding the index orders segments by their ids, which is that order but for
// what was delivered late: its Positions of before are void.
//
// A Reader is safe for concurrent use.
package predictions
