package sqlstore

import (
	"encoding/hex"

	"github.com/google/uuid"
)

// randomID returns the 32 hexadecimal digits of a version 4 UUID.
func randomID() string {
	u := uuid.New()
	return hex.EncodeToString(u[:])
}
