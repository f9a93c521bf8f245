package registry

// EventKind says what changed.
type EventKind string

// The kinds of events.
const (
	ModelCreated      EventKind = "model.created"
	ModelUpdated      EventKind = "model.updated" // its description
	ModelRenamed      EventKind = "model.renamed"
	ModelDeleted      EventKind = "model.deleted"
	ModelTagSet       EventKind = "model.tag.set"
	ModelTagDeleted   EventKind = "model.tag.deleted"
	AliasSet          EventKind = "alias.set"
	AliasDeleted      EventKind = "alias.deleted"
	VersionCreated    EventKind = "version.created"
	VersionUpdated    EventKind = "version.updated" // its description
	VersionStaged     EventKind = "version.staged"  // moved to another stage, or to the same again
	VersionDeleted    EventKind = "version.deleted"
	VersionTagSet     EventKind = "version.tag.set"
	VersionTagDeleted EventKind = "version.tag.deleted"
)

// Event is one change of the registry.
type Event struct {
	// Revision is 1 for the first event of a database and higher for each later one; numbers are never used twice.
	Revision int64
	Kind     EventKind
	Model    string // name of the registered model when it happened
	// Version is the version concerned, 0 for events of the whole model. An alias.deleted names the version that had it.
	Version  int
	From, To Stage  // version.staged: both; version.created: To; version.deleted: From
	Alias    string // alias.set, alias.deleted, and those that a version took along when it was deleted
	Key      string // …tag.set, …tag.deleted
	NewName  string // model.renamed
	Prompt   bool   // the registered model is a prompt
	TimeMS   int64  // Unix time, milliseconds
}

// MaxEvents is the most events that one call of Events returns.
const MaxEvents = 1000
