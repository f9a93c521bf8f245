// Package fernet encrypts short secrets as MLflow does, so that either program reads what the other stored.
//
// It owns the Fernet format (source: https://github.com/fernet/spec, version 0x80: AES-128-CBC and HMAC-SHA256, base64url). It is called
// by cmd, which makes the key that registry seals webhook secrets with; it must not know where keys or secrets are kept. A Key is safe for concurrent use.
package fernet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	version  = 0x80
	keyBytes = 32
	headLen  = 1 + 8 + aes.BlockSize // version, seconds, initialisation vector
)

// ErrSealed is what Open returns for text that this key did not seal, or that was changed since.
var ErrSealed = errors.New("the secret was sealed with another key, or changed since")

// Key seals and opens secrets.
type Key struct {
	sign   []byte
	block  cipher.Block
	now    func() time.Time
	random io.Reader
}

// Options of New; nil and the zero value work.
type Options struct {
	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand
}

// Generate returns the text of a new key.
func Generate() string {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return base64.URLEncoding.EncodeToString(key)
}

// New reads a key: 32 bytes, base64url, as Generate and Python's cryptography.fernet write it.
func New(text string, opts *Options) (*Key, error) {
	raw, err := decode(strings.TrimSpace(text))
	if err != nil || len(raw) != keyBytes {
		return nil, fmt.Errorf("a Fernet key is %d bytes in base64url", keyBytes)
	}
	block, err := aes.NewCipher(raw[keyBytes/2:])
	if err != nil {
		return nil, err
	}
	k := &Key{sign: raw[:keyBytes/2], block: block, now: time.Now, random: rand.Reader}
	if opts != nil && opts.Now != nil {
		k.now = opts.Now
	}
	if opts != nil && opts.Random != nil {
		k.random = opts.Random
	}
	return k, nil
}

// Seal encrypts plain; the text is about 4/3 · (73 + len(plain)) bytes long.
func (k *Key) Seal(plain string) (string, error) {
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	token := make([]byte, headLen, headLen+len(plain)+pad+sha256.Size)
	token[0] = version
	binary.BigEndian.PutUint64(token[1:], uint64(k.now().Unix()))
	if _, err := io.ReadFull(k.random, token[9:headLen]); err != nil {
		return "", fmt.Errorf("seal a secret: %w", err)
	}
	token = append(token, plain...)
	for range pad {
		token = append(token, byte(pad))
	}
	cipher.NewCBCEncrypter(k.block, token[9:headLen]).CryptBlocks(token[headLen:], token[headLen:])
	return base64.URLEncoding.EncodeToString(k.mac(token)), nil
}

// mac appends the signature of token.
func (k *Key) mac(token []byte) []byte {
	h := hmac.New(sha256.New, k.sign)
	h.Write(token)
	return h.Sum(token)
}

// Open decrypts what Seal made, whenever that was. Returns ErrSealed.
func (k *Key) Open(sealed string) (string, error) {
	token, err := decode(sealed)
	if err != nil || len(token) < headLen+aes.BlockSize+sha256.Size || token[0] != version {
		return "", ErrSealed
	}
	end := len(token) - sha256.Size
	body := token[headLen:end]
	if len(body)%aes.BlockSize != 0 || !hmac.Equal(k.mac(token[:end:end])[end:], token[end:]) {
		return "", ErrSealed
	}
	plain := make([]byte, len(body))
	cipher.NewCBCDecrypter(k.block, token[9:headLen]).CryptBlocks(plain, body)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return "", ErrSealed
	}
	return string(plain[:len(plain)-pad]), nil
}

// decode reads base64url with or without padding.
func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}
