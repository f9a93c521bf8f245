package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

const (
	keyLength = len(keyPrefix) + 43 // 43 characters of base64url hold 256 bits
	maxBasic  = 512                 // bytes of decoded "user:password" that are looked at
)

// find returns the valid key that an Authorization header carries, nil if there is none. header is not kept.
//
// The key's text is hashed before it is looked up, so the time of the look-up tells nothing about any stored hash that would help to
// find its text; the final comparison takes constant time all the same.
func (s *snapshot) find(header []byte) *credential {
	scheme, rest, ok := bytes.Cut(header, []byte{' '})
	if !ok {
		return nil
	}
	rest = bytes.TrimSpace(rest)
	switch {
	case asciiFold(scheme, "bearer"):
		return s.byText(rest)
	case asciiFold(scheme, "basic"):
		var buf [maxBasic]byte
		if base64.StdEncoding.DecodedLen(len(rest)) > len(buf) {
			return nil
		}
		n, err := base64.StdEncoding.Decode(buf[:], rest)
		if err != nil {
			return nil
		}
		if _, password, ok := bytes.Cut(buf[:n], []byte{':'}); ok {
			return s.byText(password)
		}
	}
	return nil
}

func (s *snapshot) byText(text []byte) *credential {
	if len(text) != keyLength {
		return nil
	}
	h := Hash(sha256.Sum256(text))
	cred := s.byHash[h]
	if cred == nil || subtle.ConstantTimeCompare(h[:], cred.Hash[:]) != 1 {
		return nil
	}
	return cred
}

// asciiFold says whether b is lower, in any letter case.
func asciiFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}
