package gateway

import "context"

// Store keeps explicit endpoints, arm records and events. Implementations pass gateway/storetest and are safe for concurrent use.
// A write that returned nil survives kill -9.
type Store interface {
	EndpointStore
	ArmStore
	EventStore
}

// EndpointStore keeps the explicit endpoints.
type EndpointStore interface {
	// Endpoints returns all, sorted by name.
	Endpoints(ctx context.Context) ([]Endpoint, error)
	// Endpoint returns one. Returns RESOURCE_DOES_NOT_EXIST if it is unknown.
	Endpoint(ctx context.Context, name string) (Endpoint, error)
	// CreateEndpoint inserts one. Returns RESOURCE_ALREADY_EXISTS if the name is taken.
	CreateEndpoint(ctx context.Context, e Endpoint) error
	// UpdateConfig writes the configuration and returns the endpoint as it is then, its ConfigVersion one higher. Records of
	// arms that it no longer has are removed. ifVersion is compared first, 0 means any. Returns RESOURCE_CONFLICT, with the detail config_version, if it is not the current one, and
	// RESOURCE_DOES_NOT_EXIST for an unknown name.
	UpdateConfig(ctx context.Context, name string, c Config, ifVersion, nowMS int64) (Endpoint, error)
	// UpdateTags sets and then removes tags in one transaction and returns all of them, sorted by key. Removing an absent key is no
	// error. Returns RESOURCE_DOES_NOT_EXIST for an unknown name and INVALID_PARAMETER_VALUE past MaxTags.
	UpdateTags(ctx context.Context, name string, set []Tag, remove []string, nowMS int64) ([]Tag, error)
	// DeleteEndpoint removes the endpoint and its arm records. Returns RESOURCE_DOES_NOT_EXIST if it is unknown.
	DeleteEndpoint(ctx context.Context, name string) error
}

// ArmStore keeps what each arm served last.
type ArmStore interface {
	// Arms returns all records, sorted by endpoint and arm.
	Arms(ctx context.Context) ([]ArmRecord, error)
	// PutArms writes records, replacing those of the same endpoint and arm, in one transaction.
	PutArms(ctx context.Context, records []ArmRecord) error
	// DeleteArms removes the records of an endpoint; none is no error.
	DeleteArms(ctx context.Context, endpoint string) error
}

// EventStore keeps the newest MaxEvents events of each endpoint.
type EventStore interface {
	// AddEvents appends events in the order given, in one transaction.
	AddEvents(ctx context.Context, events []Event) error
	// Events returns the newest events of the endpoint, newest first, at most limit (≥ 1).
	Events(ctx context.Context, endpoint string, limit int) ([]Event, error)
}
