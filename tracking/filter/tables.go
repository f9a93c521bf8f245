package filter

var (
	numericOps = []Op{NotEqual, Less, LessOrEqual, Equal, Greater, GreaterOrEqual}
	textOps    = []Op{NotEqual, Equal, Like, ILike}
	textInOps  = []Op{NotEqual, Equal, Like, ILike, In, NotIn}
	textNulls  = []Op{NotEqual, Equal, Like, ILike, IsNull, IsNotNull}
	idOps      = []Op{NotEqual, Equal, In, NotIn}
)

var runGrammar = Grammar{
	kind: runs,
	entities: []entityName{
		{"metric", Metric}, {"metrics", Metric}, {"parameter", Param}, {"parameters", Param}, {"param", Param}, {"params", Param},
		{"tag", Tag}, {"tags", Tag}, {"attribute", Attribute}, {"attributes", Attribute}, {"attr", Attribute}, {"run", Attribute},
		{"dataset", Dataset}, {"datasets", Dataset},
	},
	expected: "['metric', 'parameter', 'tag', 'attribute', 'dataset']",
	text:     []string{"artifact_uri", "run_id", "run_name", "status", "user_id"},
	numeric:  []string{"end_time", "start_time"},
	aliases: map[string]string{
		"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name",
	},
	lists:         []string{"run_id"},
	nulls:         []Entity{Tag, Param},
	order:         []string{"artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id"},
	orderEntities: []Entity{Metric, Param, Tag},
	datasets:      []string{"context", "digest", "name"},
}

var experimentGrammar = Grammar{
	kind:     experiments,
	entities: []entityName{{"attribute", Attribute}, {"tag", Tag}, {"tags", Tag}},
	expected: "('attribute', 'tag', 'tags')",
	text:     []string{"experiment_id", "name"},
	numeric:  []string{"creation_time", "last_update_time"},
	lists:    []string{"experiment_id"},
	nulls:    []Entity{Tag},
	order:    []string{"creation_time", "experiment_id", "last_update_time", "name"},
}

var registeredModelGrammar = Grammar{
	kind:     registeredModels,
	entities: []entityName{{"attribute", Attribute}, {"tag", Tag}, {"tags", Tag}},
	expected: "('attribute', 'tag', 'tags')",
	text:     []string{"name"},
	aliases:  map[string]string{"timestamp": "last_updated_timestamp"},
	lists:    []string{"name"},
	order:    []string{"last_updated_timestamp", "name"},
}

var modelVersionGrammar = Grammar{
	kind:     modelVersions,
	entities: []entityName{{"attribute", Attribute}, {"tag", Tag}, {"tags", Tag}},
	expected: "('attribute', 'tag', 'tags')",
	text:     []string{"name", "run_id", "source_path"},
	numeric:  []string{"version_number"},
	lists:    []string{"name", "run_id"},
	order:    []string{"creation_timestamp", "last_updated_timestamp", "name", "version_number"},
}

var loggedModelGrammar = Grammar{
	kind:     loggedModels,
	entities: []entityName{{"attributes", Attribute}, {"metrics", Metric}, {"params", Param}, {"tags", Tag}},
	expected: "['attributes', 'metrics', 'params', 'tags']",
	text:     []string{"model_id", "model_type", "name", "source_run_id", "status"},
	numeric:  []string{"creation_timestamp", "last_updated_timestamp"},
	aliases: map[string]string{
		"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp",
		"last_updated_time": "last_updated_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp",
	},
	anyList:       true,
	order:         []string{"creation_timestamp", "last_updated_timestamp", "model_id", "model_type", "name", "source_run_id", "status"},
	orderEntities: []Entity{Metric},
}
