package tracking

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"
)

// newID returns 32 random hexadecimal digits.
func newID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// newSortedID returns 32 hexadecimal digits, greater than those returned before.
func newSortedID() string {
	id, err := uuid.NewV7()
	if err != nil { // no random numbers: one that does not sort will do
		return newID()
	}
	return strings.ReplaceAll(id.String(), "-", "")
}

// newName returns a name such as "bold-crane-317": at most maxName characters, easy to say and to tell apart.
func newName() string {
	return fmt.Sprintf("%s-%s-%d", adjectives[rand.IntN(len(adjectives))], nouns[rand.IntN(len(nouns))], rand.IntN(1000))
}

// maxName is the length that generated names keep (words of at most eight letters, three digits, two dashes).
const maxName = 20

// The words are some of those that MLflow's own generated names have (source: mlflow/utils/name_utils.py), by which people and
// scripts tell a generated name from a given one.
var adjectives = [...]string{
	"able", "adorable", "aged", "amazing", "amusing", "awesome", "big", "bold", "bouncy", "brawny", "bright", "bustling",
	"calm", "capable", "carefree", "caring", "casual", "charming", "chill", "classy", "clean", "colorful", "dapper",
	"dashing", "dazzling", "delicate", "fearless", "fun", "funny", "gentle", "gifted", "handsome", "kindly", "learned",
	"likeable", "loud", "luminous", "lyrical", "masked", "melodic", "nimble", "orderly", "painted", "peaceful", "placid",
	"polite", "popular", "powerful", "rare", "salty", "sassy", "sedate", "serious", "silent", "sincere", "skillful",
	"smiling", "sneaky", "spiffy", "stately", "stylish", "suave", "tasteful", "unique", "upbeat", "useful", "valuable",
	"wise", "youthful", "zealous",
}

var nouns = [...]string{
	"bat", "bear", "bee", "bird", "bug", "calf", "cat", "colt", "crab", "crane", "crow", "deer", "doe", "dog", "dolphin",
	"dove", "duck", "eel", "elk", "fawn", "finch", "fish", "flea", "fly", "foal", "fowl", "fox", "frog", "gnu", "goat",
	"goose", "grub", "gull", "hare", "hawk", "hen", "hog", "horse", "kit", "kite", "koi", "lamb", "lark", "loon", "lynx",
	"mare", "mink", "mole", "moose", "mouse", "mule", "newt", "owl", "ox", "panda", "perch", "pig", "pug", "ram", "rat",
	"ray", "robin", "roo", "seal", "shad", "shark", "sheep", "shrew", "skunk", "slug", "snail", "snake", "sponge", "squid",
	"steed", "stork", "swan", "tern", "toad", "trout", "turtle", "wasp", "whale", "wolf", "wren", "yak", "zebra",
}
