// Package filter is MLflow's search language: the lexer, the parser, the typed tree and its evaluation in memory.
//
// It owns the filter strings and order_by entries of runs, experiments, logged models, registered models, model versions and traces,
// one Grammar for each, with MLflow's own refusals. It is called by the services of tracking and registry, which parse, and by
// their stores, which compile a tree to SQL or call Match. It must not know SQL, stores, or what the entities are: they are
// reached through Subject. Everything here is immutable and safe for concurrent use; the cost of parsing is linear in the
// length of the text, which MaxLength bounds.
//
// # The language
//
//	filter  := [ clause { "AND" clause } ]
//	clause  := field op value | field ["NOT"] "IN" "(" text { "," text } ")" | field "IS" ["NOT"] "NULL"
//	field   := [ entity "." ] key          without entity it means attribute
//	key     := word | `back quoted` | "double quoted"
//	op      := = != < <= > >= LIKE ILIKE
//	value   := number | 'text' | "text"
//
// There is no OR and no grouping, as in MLflow (source: mlflow/utils/search_utils.py, MLflow 3.17).
package filter
