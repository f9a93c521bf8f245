package gateway

import "sluice/tracking/mlflow"

// checkSampling applies the rules on the share of requests that are logged.
func (c Config) checkSampling() error {
	if f := c.SamplingFraction; !(f >= 0 && f <= 1) { // nor a NaN
		return mlflow.Invalidf("sampling_fraction %v is not above 0 and up to 1", f)
	}
	return nil
}
