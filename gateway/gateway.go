// Package gateway holds the nouns, rules and contracts of endpoints, routes and rollouts.
//
// It owns Endpoint (the desired state of one name that clients call), the rules on its configuration (Service) and the contract of its
// Store. It is called by gateway/rest, plan and cmd; it must not know HTTP, SQL, or how a prediction is made. The Service is safe for
// concurrent use.
package gateway
