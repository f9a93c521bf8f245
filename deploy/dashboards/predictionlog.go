package main

// predictionLog is the health of the prediction log: nothing lost in silence.
func predictionLog() dashboard {
	return dashboard{
		UID: "sluice-prediction-log", Title: "Sluice / Prediction log", Description: "Whether every prediction reaches tracking: queue, spool, delivery, drops.",
		Variables: []variable{instances},
		Rows: []row{
			{"Now", logNow()},
			{"Way of a record", logWay()},
			{"Disk", logDisk()},
		},
	}
}

// records is the counter of records that came as far as the state.
func records(state string) string {
	return byInstance.of("sluice_predlog_records_total", `state="`+state+`"`)
}

func logNow() []panel {
	stat := func(title, unit, what, expr string, levels []level) panel {
		return panel{Title: title, Kind: number, Unit: unit, Description: what, Levels: levels, Queries: []query{{Expr: expr}}}
	}
	return []panel{
		stat("Recorded", "cps", "Records that entered the queue, per second.", perSecond("", records("recorded")), nil),
		stat("Dropped in 1 h", "short", "Records that were dropped, for whatever reason.", "sum(increase("+byInstance.of("sluice_predlog_drops_total")+"[1h]))", bad(1)),
		stat("May be missing", "short", "Records at most that the processes before these ones may have taken with them, because they were cut off.", "sum("+byInstance.of("sluice_predlog_gap_records")+")", bad(1)),
		stat("Not yet delivered", "short", "Records on disk that tracking does not have yet.", "sum("+records("written")+") + sum("+records("recovered")+") - sum("+records("delivered")+")", nil),
		stat("Segments waiting", "short", "Sealed segments that wait for delivery.", "sum("+byInstance.of("sluice_predlog_segments")+")", warnThenBad(10, 100)),
		stat("Disk used", "percentunit", "Of the bytes that undelivered records may take; at 100 % they are dropped.", "max("+byInstance.of("sluice_predlog_disk_bytes")+" / "+byInstance.of("sluice_predlog_disk_limit_bytes")+")", warnThenBad(0.5, 0.8)),
		stat("Bodies cut", "percentunit", "Share of records whose request or response body was longer than is kept.", share("", records("truncated"), records("recorded")), nil),
	}
}

func logWay() []panel {
	return []panel{
		{Title: "Records", Unit: "cps", Width: 12, Description: "Records per second by how far they came: offered, recorded (queued), written (spooled), delivered (in tracking); recovered after a crash.",
			Queries: []query{{Expr: perSecond("state", byInstance.of("sluice_predlog_records_total")), Legend: "{{state}}"}}},
		{Title: "Drops", Unit: "cps", Width: 12, Description: "Records dropped per second, by reason.", Stack: true,
			Queries: []query{{Expr: perSecond("reason", byInstance.of("sluice_predlog_drops_total")), Legend: "{{reason}}"}}},
		{Title: "Requests without a record", Unit: "percentunit", Description: "Share of offered records that were dropped.",
			Queries: []query{{Expr: share("instance", byInstance.of("sluice_predlog_drops_total"), records("offered")), Legend: "{{instance}}"}}},
		{Title: "Left out by sampling", Unit: "reqps", Description: "Requests per second that sampling_fraction keeps out of the log: with the records offered they are all requests.",
			Queries: []query{{Expr: perSecond("reason", byInstance.of("sluice_predlog_skipped_total")), Legend: "{{reason}}"}}},
		{Title: "Queue", Unit: "bytes", Description: "Records in memory, not yet written.",
			Queries: []query{{Expr: byInstance.of("sluice_predlog_queue_bytes"), Legend: "{{instance}}"}}},
		{Title: "Segments waiting for delivery", Unit: "short", Description: "Rises while the artifact store or the database is away.",
			Queries: []query{{Expr: byInstance.of("sluice_predlog_segments"), Legend: "{{instance}}"}}},
	}
}

func logDisk() []panel {
	return []panel{
		{Title: "Spools and undelivered segments", Unit: "bytes", Width: 12, Description: "Bytes on disk, and how many there may be.",
			Queries: []query{
				{Expr: byInstance.of("sluice_predlog_disk_bytes"), Legend: "{{instance}}"},
				{Expr: byInstance.of("sluice_predlog_disk_limit_bytes"), Legend: "{{instance}} limit"},
			}},
		{Title: "Disk used", Unit: "percentunit", Width: 12, Description: "At 100 % records are dropped.", Share: true, Levels: warnThenBad(0.5, 0.8),
			Queries: []query{{Expr: byInstance.of("sluice_predlog_disk_bytes") + " / " + byInstance.of("sluice_predlog_disk_limit_bytes"), Legend: "{{instance}}"}}},
	}
}
