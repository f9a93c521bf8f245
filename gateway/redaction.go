package gateway

import (
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// The actions of a RedactedColumn.
const (
	RedactDrop     = "drop"
	RedactHash     = "hash"
	RedactTruncate = "truncate"
)

// Bounds on the redaction of an endpoint.
const (
	MaxRedactedColumns = 256
	MaxKeptCharacters  = 1024
)

// RedactedColumn says what the prediction log keeps of a column of requests and responses: nothing (drop), a keyed hash (hash), or its first
// characters (truncate).
type RedactedColumn struct {
	Column string
	Action string
	Length int // characters that truncate keeps, else 0
}

// checkRedaction applies the rules on redaction.
func (c Config) checkRedaction() error {
	if len(c.Redaction) > MaxRedactedColumns {
		return mlflow.Invalidf("redaction names more than %d columns", MaxRedactedColumns)
	}
	seen := map[string]bool{}
	for i, r := range c.Redaction {
		switch {
		case r.Column == "" || len(r.Column) > MaxSourceName || !utf8.ValidString(r.Column):
			return mlflow.Invalidf("redaction[%d].column is empty, longer than %d bytes, or no text", i, MaxSourceName)
		case seen[r.Column]:
			return mlflow.Invalidf("redaction[%d].column %q stands there twice", i, clip(r.Column, 60))
		case r.Action != RedactDrop && r.Action != RedactHash && r.Action != RedactTruncate:
			return mlflow.Invalidf("redaction[%d].action %q is not drop, hash or truncate", i, clip(r.Action, 60))
		case r.Action != RedactTruncate && r.Length != 0:
			return mlflow.Invalidf("redaction[%d].length goes with truncate alone", i)
		case r.Length < 0 || r.Length > MaxKeptCharacters:
			return mlflow.Invalidf("redaction[%d].length is not between 0 and %d", i, MaxKeptCharacters)
		}
		seen[r.Column] = true
	}
	return nil
}

// checkRedactedTruth keeps what must not reach the log from being kept as ground truth: of what the log does not have nothing could be joined.
func (c Config) checkRedactedTruth() error {
	for _, r := range c.Redaction {
		switch r.Column {
		case c.GroundTruth.Key:
			return mlflow.Invalidf("ground_truth.key %q is redacted: no prediction could be found by it, and ground truth would be kept with it", clip(r.Column, 60))
		case c.GroundTruth.Output:
			return mlflow.Invalidf("ground_truth.output %q is redacted: there is nothing that ground truth could be compared with", clip(r.Column, 60))
		}
	}
	return nil
}

// checkRedactedCache keeps what must not reach the log from being kept elsewhere: a Redis holds answers as they are, and digests of requests
// that whoever knows what they may say can guess.
func (c Config) checkRedactedCache() error {
	if len(c.Redaction) > 0 && c.Cache.Store == CacheRedis {
		return mlflow.Invalidf(`cache.store "redis" would keep answers of an endpoint with redaction outside of the server: "memory" does not`)
	}
	return nil
}
