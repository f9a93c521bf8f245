package registry

import (
	"context"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/page"
)

// Store keeps what the registry holds. The Service in front of it has validated every argument and chosen times; a driver
// checks only what must be checked inside its transaction, and says it with the errors of this package (UnknownModel, …).
//
// Every method is safe for concurrent use and, if it writes, atomic and durable when it returns nil; it returns the events that
// it wrote in the same transaction, in the order of their revisions. at is the time of the change, Unix milliseconds.
// Returned slices belong to the caller.
type Store interface {
	ModelReader
	ModelWriter
	VersionReader
	VersionWriter
	AliasWriter
	EventReader
}

// ModelReader reads registered models.
type ModelReader interface {
	// Model returns UnknownModel if nobody has the name.
	Model(ctx context.Context, name string) (Model, error)
	// SearchModels costs a fixed number of reads, however many models it returns.
	SearchModels(ctx context.Context, q Search) (page.Found[Model], error)
	// Snapshot returns every registered model that is not a prompt, by name, as of one commit.
	Snapshot(ctx context.Context) ([]ModelSnapshot, error)
}

// ModelWriter changes registered models. Methods return UnknownModel for a name that nobody has.
type ModelWriter interface {
	// CreateModel returns ModelExists if the name is taken.
	CreateModel(ctx context.Context, spec ModelSpec, at int64) (Model, []Event, error)
	SetModelDescription(ctx context.Context, name, description string, at int64) (Model, []Event, error)
	// RenameModel takes versions, tags and aliases along. Returns RESOURCE_ALREADY_EXISTS if newName is taken.
	RenameModel(ctx context.Context, name, newName string, at int64) (Model, []Event, error)
	// DeleteModel deletes the registered model with everything below it, deleted versions too.
	DeleteModel(ctx context.Context, name string, at int64) ([]Event, error)
	// SetModelTag overwrites.
	SetModelTag(ctx context.Context, name string, tag Tag, at int64) ([]Event, error)
	// DeleteModelTag of a tag that is not there is nothing, and no event.
	DeleteModelTag(ctx context.Context, name, key string, at int64) ([]Event, error)
}

// VersionReader reads model versions; deleted ones are unknown.
type VersionReader interface {
	// Version returns UnknownVersion if it is not there. Aliases are filled.
	Version(ctx context.Context, name string, version int) (Version, error)
	// VersionByAlias returns UnknownModel, or UnknownAlias. Aliases are filled.
	VersionByAlias(ctx context.Context, name, alias string) (Version, error)
	// LatestVersions returns the highest version of each stage that has one, the stage of the lowest version first. Aliases are
	// filled. Returns UnknownModel.
	LatestVersions(ctx context.Context, name string) ([]Version, error)
	// SearchVersions costs a fixed number of reads, however many versions it returns. Aliases are not filled.
	SearchVersions(ctx context.Context, q Search) (page.Found[Version], error)
}

// VersionWriter changes model versions. Methods return UnknownVersion for one that is not there or deleted.
type VersionWriter interface {
	// CreateVersion numbers the version: one more than the highest ever given in its registered model. v's Name, Source,
	// StorageLocation, RunID, RunLink, Description and Tags count. Returns UnknownModel.
	CreateVersion(ctx context.Context, v Version, at int64) (Version, []Event, error)
	// SetVersionDescription stores nil as no value.
	SetVersionDescription(ctx context.Context, name string, version int, description *string, at int64) (Version, []Event, error)
	// SetStage moves the version and, if archiveOthers, every other version of the stage to Archived.
	SetStage(ctx context.Context, name string, version int, stage Stage, archiveOthers bool, at int64) (Version, []Event, error)
	// SetStageFrom is SetStage if from is the highest version of the stage (0: none is in it). Returns Moved else; nothing changes then.
	SetStageFrom(ctx context.Context, name string, version int, stage Stage, archiveOthers bool, from int, at int64) (Version, []Event, error)
	// DeleteVersion hides the version for good, clears what it says, and deletes its aliases. Its number stays taken.
	DeleteVersion(ctx context.Context, name string, version int, at int64) ([]Event, error)
	// SetVersionTag overwrites.
	SetVersionTag(ctx context.Context, name string, version int, tag Tag, at int64) ([]Event, error)
	// DeleteVersionTag of a tag that is not there is nothing, and no event.
	DeleteVersionTag(ctx context.Context, name string, version int, key string, at int64) ([]Event, error)
}

// AliasWriter changes aliases.
type AliasWriter interface {
	// SetAlias makes or moves the alias. Returns UnknownVersion.
	SetAlias(ctx context.Context, name, alias string, version int, at int64) ([]Event, error)
	// SetAliasFrom is SetAlias if the alias means from (0: there is none). Returns Moved else; nothing changes then.
	SetAliasFrom(ctx context.Context, name, alias string, version, from int, at int64) ([]Event, error)
	// DeleteAlias of an alias that is not there is nothing, and no event. Returns UnknownModel.
	DeleteAlias(ctx context.Context, name, alias string, at int64) ([]Event, error)
}

// EventReader reads the record of changes.
type EventReader interface {
	// Revision returns the revision of the newest event, 0 if there is none.
	Revision(ctx context.Context) (int64, error)
	// Events returns events with a revision above after, in order.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
}

// Search asks for registered models or model versions. Filter and Order are of the matching grammar of tracking/filter.
//
// Models are ordered by name, versions by name and number descending, behind Order. Prompts are hidden unless the filter's first
// clause about PromptTag asks for them (= 'true' or != 'false'); clauses about that tag then count, else they are left out.
type Search struct {
	Filter filter.Expr
	Order  []filter.Order
	After  page.Place // that the page before ended at; nil: from the beginning
	Limit  int        // rows of the page, ≥ 1
}

// WantsPrompts says whether the search asks for prompts, by MLflow's rule: the first clause about PromptTag decides.
func (q Search) WantsPrompts() bool {
	for _, c := range q.Filter.Clauses {
		if c.Entity == filter.Tag && c.Key == PromptTag {
			value := strings.ToLower(c.Value.Text)
			return c.Op == filter.Equal && value == "true" || c.Op == filter.NotEqual && value == "false"
		}
	}
	return false
}

// Clauses returns the clauses that count: those about PromptTag only if the search asks for prompts.
func (q Search) Clauses() []filter.Clause {
	if q.WantsPrompts() {
		return q.Filter.Clauses
	}
	var out []filter.Clause
	for _, c := range q.Filter.Clauses {
		if c.Entity != filter.Tag || c.Key != PromptTag {
			out = append(out, c)
		}
	}
	return out
}
