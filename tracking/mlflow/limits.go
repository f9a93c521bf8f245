package mlflow

// Limits on names and values, in characters unless said otherwise (source: mlflow/utils/validation.py, MLflow 3.17).
const (
	MaxExperimentNameLength  = 500
	MaxArtifactLocation      = 2048
	MaxKeyLength             = 250 // params, metrics, tags of runs; tags of experiments, registered models, versions
	MaxParamValueLength      = 6000
	MaxTagValueLength        = 8000
	MaxExperimentTagValue    = 20_000
	MaxModelRegistryTagValue = 100_000
	MaxDatasetName           = 500
	MaxDatasetDigest         = 36
	MaxDatasetSource         = 65_535
	MaxDatasetSchema         = 1_048_575
	MaxDatasetProfile        = 16_777_215
	MaxInputTagKey           = 255
	MaxInputTagValue         = 500
	MaxLoggedModelName       = 500
	MaxLoggedModelParamKey   = 255
	MaxLoggedModelParamValue = 16_383 // of four bytes each fit into a TEXT of MySQL
	MaxAliasLength           = 255
	MaxDescriptionLength     = 5000

	MaxMetricsPerBatch  = 1000
	MaxParamsPerBatch   = 100
	MaxTagsPerBatch     = 100
	MaxEntitiesPerBatch = 1000

	SearchRunsDefault      = 1000
	SearchRunsMax          = 50_000
	SearchExperimentIDsMax = 20_000 // experiments in one search; ours, so that a statement stays within SQLite's length
	SearchExperimentsMax   = 50_000
	SearchModelsDefault    = 100
	SearchModelsMax        = 1000
	SearchVersionsDefault  = 10_000
	SearchVersionsMax      = 200_000
	SearchLoggedModelsDef  = 100
	SearchLoggedModelsMax  = 50_000
	MetricHistoryBulkMax   = 25_000
	MetricHistoryBulkRuns  = 100
	SearchDatasetsMax      = 1000 // summaries in one answer
	SearchDatasetsExps     = 20   // experiments in one request
	MetricIntervalMaxSteps = 2500
)

// Version is the MLflow release whose surface this server speaks; GET /version answers it and clients decide on features by it.
const Version = "3.17.2"
