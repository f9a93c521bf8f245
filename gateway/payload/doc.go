// Package payload turns request bodies into batches and batches into answers, as MLflow's scoring server does.
//
// It owns the five JSON bodies (dataframe_split, dataframe_records, instances, inputs, and "params" beside them), CSV, Parquet and Arrow,
// the rules by which a value becomes the type that the signature asks for, content types and content encodings, and the text of an
// answer. It is called by gateway/invoke; it must not know HTTP engines, routes, backends or what a prediction costs.
//
// A Plan is compiled once per model version from its signature. It is immutable and safe for concurrent use. An Input is what one
// body became: single-user, made to be pooled, and without allocation once warm where every column is a number.
//
// # Two ways through JSON
//
// The quick way (quick*.go) reads numbers straight from the bytes into columns in one pass. It knows only the plain case and never
// reports an error: at the first surprise it gives up, and the thorough way starts over from the first byte. The thorough way
// (document.go, frame.go, array.go) checks the whole text, remembers where every value begins, and then applies what pandas and
// NumPy would have done. Where both succeed they agree; a fuzz target holds them to it.
//
// # Bounds
//
// Nesting is bounded by Options.MaxDepth, values by Options.MaxCells, decompressed bytes by the caller's maximum. What is over a
// bound is refused with status 413 (nesting: 400). Memory is proportional to the body: 8 bytes a JSON value, and 8 bytes a cell.
//
// # Answers
//
// Encode writes the bytes that Python's json.dumps would write for the same prediction, with these written exceptions, because
// JSON has no such tokens: NaN, Infinity and -Infinity are null, and so is NaT. All differences from MLflow's server, in both
// directions, are in DIFFERENCES.md; TestMLflowAgrees compares with the real one and accepts nothing that is not on that list.
package payload
