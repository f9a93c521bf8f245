package main

import (
	"fmt"
	"io"
)

// demoInput is one wine of the example's own input.
const demoInput = `{"columns": ["alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"], "data": [[13.9, 1.68, 2.12, 16.0, 101.0, 3.1, 3.39, 0.21, 2.14, 6.1, 0.91, 3.33, 985.0]]}`

// Announce tells where the server listens and, with the example model, what to try.
func (a *App) Announce(out io.Writer) error {
	_, err := fmt.Fprintf(out, "sluice %s listening on %s\n", version, a.url)
	if err != nil || !a.cfg.Demo {
		return err
	}
	_, err = fmt.Fprintf(out, `
  web UI       %[1]s/
  endpoints    %[1]s/api/2.0/serving-endpoints
  metrics      %[1]s/metrics
  MLflow       mlflow.set_tracking_uri("%[1]s")

Ask the example model (90 %% Production, 10 %% Staging) which cultivar a wine of these 13 measurements is:

  curl -s %[1]s/endpoints/%[2]s/invocations -H 'Content-Type: application/json' -d '{"dataframe_split": %[3]s}'

`, a.url, demoModel, demoInput)
	return err
}
