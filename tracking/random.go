package tracking

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"
)

// newID returns 32 random hexadecimal digits.
func newID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// newName returns a name such as "brave-otter-317": at most maxName characters, easy to say and to tell apart.
func newName() string {
	return fmt.Sprintf("%s-%s-%d", adjectives[rand.IntN(len(adjectives))], nouns[rand.IntN(len(nouns))], rand.IntN(1000))
}

// maxName is the length that generated names keep (words of at most eight letters, three digits, two dashes).
const maxName = 20

var adjectives = [...]string{
	"able", "agile", "amber", "ample", "azure", "bold", "brave", "bright", "brisk", "calm", "candid", "civil", "clean", "clever",
	"coral", "cosmic", "crisp", "curious", "daring", "deft", "eager", "early", "fair", "fine", "fleet", "fond", "frank", "fresh",
	"gentle", "golden", "grand", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry",
	"mild", "modest", "neat", "nimble", "noble", "open", "patient", "placid", "polite", "proud", "quick", "quiet", "rapid",
	"ready", "serene", "sharp", "silver", "sober", "solid", "sound", "steady", "sturdy", "subtle", "sunny", "swift", "tidy",
	"upbeat", "vivid", "warm", "wise", "witty", "zesty",
}

var nouns = [...]string{
	"anchor", "badger", "basin", "beacon", "birch", "bison", "bridge", "brook", "canal", "cedar", "comet", "crane", "creek",
	"dam", "delta", "dove", "eagle", "elm", "ember", "falcon", "fern", "ferry", "finch", "fjord", "fox", "gate", "geyser",
	"glade", "harbor", "hawk", "heron", "inlet", "island", "jetty", "kelp", "lagoon", "lake", "lark", "linden", "lock", "lynx",
	"maple", "marsh", "meadow", "mill", "moose", "oak", "osprey", "otter", "owl", "pebble", "pier", "pike", "pine", "plover",
	"pond", "quay", "raven", "reed", "reef", "ridge", "river", "robin", "salmon", "sparrow", "spring", "spruce", "stream",
	"swan", "tarn", "tern", "tide", "trout", "valley", "wave", "weir", "whale", "willow", "wren",
}
