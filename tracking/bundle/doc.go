// Package bundle carries a run, an experiment or a registered model from one server to another as one file, ids kept.
//
// It owns the format, what is checked before anything of a bundle becomes visible, and the order of both ways. It is called by
// tracking/rest and by cmd (`sluice export`, `sluice import`); it must not know SQL or HTTP: rows come from and go to a Store, which cmd
// puts together from the stores of tracking and registry.
//
// # Format
//
// A tar stream compressed with Zstandard, which is several times faster than gzip on both ways and whose window is bounded by the
// reader; `zstd -d | tar t` lists it. Regular files only, in this order:
//
//	manifest.json          format, kind, ids, counts, sizes, time, MLflow's schema revision at the source (Manifest)
//	rows/<table>.jsonl     one JSON object a row, MLflow's own columns as keys; the tables of Tables, in that order, empty ones left out
//	roots.jsonl            one Root a line: a place of the source's own in which artifacts lie
//	files/<root>/<path>    the artifact files, by root, then by path
//	files.jsonl            one File a line: root, path, size and SHA-256 of each artifact file, in the same order
//	end.json               totals, and the SHA-256 over name, size and content digest of every entry before (End)
//
// A cut-off bundle has no end.json and is refused. Numbers are JSON numbers: whole ones exact to 64 bits, others the shortest text that
// gives the same double; NaN and infinities are the strings "NaN", "Infinity" and "-Infinity". (MLflow's tables write a NaN metric as 0
// with is_nan, an infinite one as ±1.7976931348623157e308; rows are carried as they are.)
//
// # What a bundle holds
//
// A run: its experiment's row and tags, params, tags, the whole history and the latest values of its metrics, inputs with their
// datasets and tags, the logged models that it made or names, traces that it made or is linked to, and all artifacts of these.
// An experiment: all that is in it, deleted runs too. A registered model: its rows, tags, aliases and versions; of each version the files,
// and the rows of the logged model and of the run that it came from (of whose artifacts only the version's).
//
// Not carried: child runs (each is a run of its own), prompts linked to runs beyond their tags, evaluation datasets, webhooks, endpoints.
//
// # What an import does
//
//   - Everything is read and checked before anything can be seen: digests, sizes, counts, types, lengths, enumerations, ids that
//     belong together, paths. Files wait in the storage's own temporary place. Then all rows go in one transaction, whose last step
//     before the commit is to move the files to their places; a failure removes them again.
//   - Ids of runs, logged models, traces and versions are kept. One that is there already is RESOURCE_ALREADY_EXISTS, naming it; with
//     SkipExisting it is left as it is, with everything below it.
//   - An experiment is found by its name: one of that name takes the rows, whatever its id. Else it is made with the id that it had, or,
//     if another experiment has that id, with a new one, which the Report tells. Tags and datasets that are there win.
//   - A registered model of that name takes the versions; its description, tags and aliases win, and an alias that names another version
//     there is a conflict.
//   - Artifacts that lay in the source's own storage go where this server keeps those of the experiment, and the URIs in the rows
//     follow. Other URIs (s3://…) are kept and their files are not carried: Manifest.Foreign counts them.
//
// A Service is safe for concurrent use; imports take turns.
package bundle
