package payload

import "strings"

type mediaType uint8

const (
	formatJSON mediaType = iota
	formatCSV
	formatParquet
	formatArrow
)

const mediaTypes = "application/json, text/csv, application/vnd.apache.parquet, application/vnd.apache.arrow.stream"

// formatOf applies the content-type rules of MLflow's scoring server (mlflow/pyfunc/scoring_server/__init__.py, invocations): one of
// its three types or an Arrow stream, no parameter but charset, no charset but UTF-8. Types and parameter names are compared without regard to case and a
// charset may be quoted, as RFC 9110 has it. A missing content type is refused like an unknown one.
func formatOf(contentType string) (mediaType, error) {
	if contentType == "application/json" {
		return formatJSON, nil
	}
	media, rest, more := strings.Cut(contentType, ";")
	for more {
		var param string
		param, rest, more = strings.Cut(rest, ";")
		if err := checkParameter(strings.TrimSpace(param)); err != nil {
			return 0, err
		}
	}
	switch media = strings.TrimSpace(media); {
	case strings.EqualFold(media, "application/json"):
		return formatJSON, nil
	case strings.EqualFold(media, "text/csv"):
		return formatCSV, nil
	case strings.EqualFold(media, "application/vnd.apache.parquet"):
		return formatParquet, nil
	case strings.EqualFold(media, "application/vnd.apache.arrow.stream"):
		return formatArrow, nil
	case media == "":
		return 0, unsupportedf("The request has no content type; this server reads %s.", mediaTypes)
	}
	return 0, unsupportedf("Content type %s is not supported; this server reads %s.", quoteName(media), mediaTypes)
}

func checkParameter(param string) error {
	name, value, _ := strings.Cut(param, "=")
	name = strings.TrimSpace(name)
	if param == "" {
		return nil
	}
	if !strings.EqualFold(name, "charset") {
		return unsupportedf("Unrecognized content type parameter %s; only charset=utf-8 may follow the type.", quoteName(name))
	}
	if value = strings.Trim(strings.TrimSpace(value), `"`); !strings.EqualFold(value, "utf-8") {
		return unsupportedf("The scoring server only supports UTF-8, not charset %s.", quoteName(value))
	}
	return nil
}
