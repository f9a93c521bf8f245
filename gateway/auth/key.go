package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// MaxKeys is how many keys, revoked ones included, a store keeps; creating more is refused.
const MaxKeys = 10_000

// keyPrefix marks our keys for people and for secret scanners.
const keyPrefix = "slk_"

// Hash is the SHA-256 of a key's text. A key holds 256 random bits, so a plain hash cannot be guessed back.
type Hash [sha256.Size]byte

// Key is a credential as it is stored: never its text, only the hash.
type Key struct {
	ID          string // a UUID
	Name        string // unique among the keys that are not revoked
	Hash        Hash
	Permissions []wire.Permission // sorted; wire.Manage implies the others
	CreatedMS   int64             // ms since the epoch
	LastUsedMS  int64             // coarse: written at most once a minute; 0 means never
	RevokedMS   int64             // 0 means valid
}

// May says whether the key allows p.
func (k *Key) May(p wire.Permission) bool {
	return p == wire.Public || slices.Contains(k.Permissions, p) || slices.Contains(k.Permissions, wire.Manage)
}

// Store keeps keys. The SQL implementation is gateway/sqlstore. A write that returned nil survives kill -9.
type Store interface {
	// Keys returns all keys, revoked ones included, oldest first, and the revision that they are of. The revision rises with every
	// creation and revocation, by whatever process.
	Keys(ctx context.Context) ([]Key, int64, error)
	// KeyRevision returns the revision alone; it is asked every second.
	KeyRevision(ctx context.Context) (int64, error)
	// CreateKey inserts a key. Returns RESOURCE_ALREADY_EXISTS if a valid key has the name, RESOURCE_EXHAUSTED past MaxKeys.
	CreateKey(ctx context.Context, k Key) error
	// RevokeKey ends the valid key with the ID or name. Returns RESOURCE_DOES_NOT_EXIST if there is none.
	RevokeKey(ctx context.Context, idOrName string, nowMS int64) error
	// TouchKeys writes when keys were used last, by ID; it does not raise the revision. Unknown IDs are no error.
	TouchKeys(ctx context.Context, usedMS map[string]int64) error
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// NewKey makes a key and its text, which is shown once and stored nowhere. No permissions means read, write and predict.
// Returns INVALID_PARAMETER_VALUE for a bad name or an unknown permission.
func NewKey(name string, permissions []wire.Permission, random io.Reader, now time.Time) (Key, string, error) {
	if !keyName.MatchString(name) {
		return Key{}, "", mlflow.Invalidf("a key's name has 1 to 64 letters, digits, '.', '_', '@' or '-' and begins with a letter or digit")
	}
	if len(permissions) == 0 {
		permissions = []wire.Permission{wire.Read, wire.Write, wire.Predict}
	}
	for _, p := range permissions {
		if !slices.Contains(grantable, p) {
			return Key{}, "", mlflow.Invalidf("%q is not a permission: choose from read, write, predict, manage", string(p))
		}
	}
	permissions = slices.Compact(slices.Sorted(slices.Values(permissions)))
	var secret [32]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, "", err
	}
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return Key{}, "", err
	}
	text := keyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return Key{ID: id.String(), Name: name, Hash: sha256.Sum256([]byte(text)), Permissions: permissions, CreatedMS: now.UnixMilli()}, text, nil
}

// grantable are the permissions that a key may hold.
var grantable = []wire.Permission{wire.Read, wire.Write, wire.Predict, wire.Manage}

// ParsePermissions reads a comma-separated list ("read,predict"); empty gives nil. Unknown words are left for NewKey to refuse.
func ParsePermissions(list string) []wire.Permission {
	var out []wire.Permission
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, wire.Permission(word))
		}
	}
	return out
}

// Create makes a key, stores it and returns its text. See NewKey and Store.CreateKey for the errors.
func Create(ctx context.Context, store Store, name string, permissions []wire.Permission, now time.Time) (Key, string, error) {
	k, text, err := NewKey(name, permissions, rand.Reader, now)
	if err != nil {
		return Key{}, "", err
	}
	return k, text, store.CreateKey(ctx, k)
}

// Valid says whether any of the keys is not revoked.
func Valid(keys []Key) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.RevokedMS == 0 })
}
