// Package respcache remembers answers: what a model version said to an input, for as long as an endpoint allows.
//
// It owns the key of an answer, its form in a store, who computes it when several ask at once, and what is counted about that. It is called by
// invoke, once a request was admitted, routed to an arm and decoded; it must not know HTTP, the routing table, how an answer is computed or
// written, or where a store keeps its bytes: those are drivers (ottercache in this process, rediscache for a fleet) that pass respcachetest.
// Everything is safe for concurrent use, unless it says otherwise.
//
// # What is remembered
//
// The values that a version answered, not the bytes of a response: JSON, the binary tensors of the Open Inference Protocol and gRPC share them,
// and every response is encoded with its own id, selection of outputs and headers. Only answers of executions that succeeded are.
//
// # Keys
//
//	Key = Owner · SHA-256(encoding · endpoint · digest of the version · params · input)
//
// The digest names the files of the version and what executes them, never the version's number: a version that was deleted and made anew
// is another. The input is the decoded batch (names, types, shapes, values; every NaN is the same), so that two spellings of a body in one order of
// columns are one input. The caller is no part of it: whoever may ask the endpoint shares its answers. The encoding can be read back, hence
// different inputs have different encodings; TestKeysAreReadBack does it.
//
// A version that leaves an endpoint leaves its keys: no request asks for them any more. Keep lets stores in this process free what they hold.
//
// # One at a time
//
// Of equal requests that come together one computes, the leader, and the others wait for its answer, each until its own deadline. If the
// leader fails, one of those who wait takes its place; if that fails too, the others compute for themselves.
//
// # When a store fails
//
// Whatever a store answers with an error, or with bytes that are not a value of this key (they carry a checksum), is a miss.
package respcache
