package main

import (
	predictionsrest "sluice/gateway/predictions/rest"
	"sluice/tracking/wire"
)

// predictionRoutes are the rows that query the prediction log.
func (a *App) predictionRoutes() []wire.Route {
	h := predictionsrest.New(a.predictions, a.log)
	a.onClose("prediction queries", h.Close)
	return h.Routes()
}
