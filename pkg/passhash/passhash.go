// Package passhash hashes passwords and compares them, in one way for all services. A hash has to cost the same wherever it was
// made: else the time that a sign-in takes would tell whether there is such a user.
package passhash

import (
	"context"
	"errors"
	"fmt"

	"github.com/alexedwards/argon2id"
)

// cost is what a hash takes (OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane).
var cost = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Decoy is a hash that no password has, as dear to compare as any other: for where there is no user.
const Decoy = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// atOnce bounds the memory and the cores that hashing takes.
const atOnce = 2

// Hasher works on two passwords at a time; the others wait.
type Hasher struct{ slots chan struct{} }

// NewHasher makes one.
func NewHasher() *Hasher { return &Hasher{slots: make(chan struct{}, atOnce)} }

// Hash is argon2id in PHC string format. The error of ctx when it ends before the turn has come.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	hash, err := argon2id.CreateHash(password, &cost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// Matches tells whether a hash is the password's. The error of ctx when it ends before the turn has come.
func (h *Hasher) Matches(ctx context.Context, password, hash string) (bool, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	same, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, errors.New("the stored password hash does not decode") // the library's text may hold the hash
	}
	return same, nil
}

func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil { // a free slot would be as likely
		return nil, err
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
