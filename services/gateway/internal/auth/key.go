package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
)

// A key reads mm_live_7Kq2mXa9_<43 characters><6 of a checksum>. What stands before the last underscore is its prefix, which it is
// found by and called in the audit log; the secret has 256 random bits, so that a plain hash is enough to keep it by. The checksum
// lets a typing mistake, and most of what is merely tried, be refused without asking anybody.
const (
	keyLead      = "mm_"
	idLength     = 8
	secretLength = 43 // 62^43 is more than 2^256
	checkLength  = 6  // 62^6 is more than 2^32
)

const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Key is an API key as it was drawn.
type Key struct {
	// Prefix names it; Secret is the whole of it, and Hash what is kept: SHA-256 in hexadecimal.
	Prefix, Secret, Hash string
}

// DrawKey draws a key of a mode, live or test.
func DrawKey(mode string) (Key, error) {
	id, err := draw(idLength)
	if err != nil {
		return Key{}, err
	}
	secret, err := draw(secretLength)
	if err != nil {
		return Key{}, err
	}
	prefix := keyLead + mode + "_" + id
	whole := prefix + "_" + secret
	whole += checksum(whole)
	return Key{Prefix: prefix, Secret: whole, Hash: Hash(whole)}, nil
}

// DrawToken draws a secret that is no key, of 256 bits.
func DrawToken() (string, error) { return draw(secretLength) }

// Hash is how a secret of ours is kept: SHA-256 in hexadecimal.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// draw draws n letters, each as likely as any other.
func draw(n int) (string, error) {
	const fair = 256 - 256%len(letters) // what lies beyond would make some letters likelier
	out := make([]byte, 0, n)
	var random [64]byte
	for {
		if _, err := rand.Read(random[:]); err != nil {
			return "", fmt.Errorf("draw a secret: %w", err)
		}
		for _, b := range random {
			if int(b) >= fair {
				continue
			}
			if out = append(out, letters[int(b)%len(letters)]); len(out) == n {
				return string(out), nil
			}
		}
	}
}

func checksum(s string) string {
	n := crc32.ChecksumIEEE([]byte(s))
	var out [checkLength]byte
	for i := range out {
		out[checkLength-1-i] = letters[n%uint32(len(letters))]
		n /= uint32(len(letters))
	}
	return string(out[:])
}

// isKey tells whether a text means to be a key.
func isKey(s string) bool { return strings.HasPrefix(s, keyLead) }

// prefixOf is the prefix of a key whose form and checksum are right.
func prefixOf(key string) (string, bool) {
	var lead string
	switch {
	case strings.HasPrefix(key, "mm_live_"):
		lead = "mm_live_"
	case strings.HasPrefix(key, "mm_test_"):
		lead = "mm_test_"
	default:
		return "", false
	}
	length := len(lead) + idLength
	if len(key) != length+1+secretLength+checkLength || key[length] != '_' || !drawn(key[len(lead):length]) || !drawn(key[length+1:]) {
		return "", false
	}
	body, check := key[:len(key)-checkLength], key[len(key)-checkLength:]
	return key[:length], checksum(body) == check
}

// drawn tells whether s has only letters that are drawn.
func drawn(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
