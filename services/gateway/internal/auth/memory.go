package auth

import (
	"context"
	"crypto/sha256"
	"maps"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

const (
	// remember is how long an answer about a credential is believed. It bounds how long a key works after it was revoked, should
	// the word of it be lost; with it, no time at all.
	remember = time.Second
	// maxRemembered bounds the answers that are kept: within a second a stranger can show many credentials.
	maxRemembered = 20_000
)

// memory keeps who showed a credential for a moment, so that not every request asks the meetings service. Credentials are kept
// by their hash.
type memory struct {
	now    func() time.Time // real time: it is about how old an answer is
	flight singleflight.Group

	mu         sync.RWMutex
	known      map[secretHash]answer
	generation uint64 // rises when something was forgotten: what was asked before it must not be kept
}

type secretHash [sha256.Size]byte

type answer struct {
	who   bus.Principal
	err   error
	until time.Time
}

func newMemory(now func() time.Time) *memory {
	return &memory{now: now, known: make(map[secretHash]answer)}
}

// who answers from memory, or asks, once for all who show the same credential at the same time. ask's ctx ends with none of them.
func (m *memory) who(ctx context.Context, shown secretHash, ask func(context.Context) (bus.Principal, error)) (bus.Principal, error) {
	known, generation, is := m.remembered(shown)
	if is {
		return known.who, known.err
	}
	asked := m.flight.DoChan(strconv.FormatUint(generation, 10)+string(shown[:]), func() (any, error) {
		if known, _, is := m.remembered(shown); is { // another's flight has landed since the look above
			return known.who, known.err
		}
		begun := m.now()
		who, err := ask(context.WithoutCancel(ctx))
		if err == nil || fault.KindOf(err) == fault.Unauthenticated {
			m.keep(shown, answer{who, err, begun.Add(remember)}, generation)
		}
		return who, err
	})
	select {
	case result := <-asked:
		who, _ := result.Val.(bus.Principal)
		return who, result.Err
	case <-ctx.Done():
		return bus.Principal{}, ctx.Err()
	}
}

// remembered is what is still believed of a credential.
func (m *memory) remembered(shown secretHash) (known answer, generation uint64, is bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	known, is = m.known[shown]
	return known, m.generation, is && m.now().Before(known.until)
}

func (m *memory) keep(shown secretHash, a answer, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation != generation {
		return
	}
	if len(m.known) >= maxRemembered {
		now := m.now()
		maps.DeleteFunc(m.known, func(_ secretHash, a answer) bool { return !now.Before(a.until) })
		if len(m.known) >= maxRemembered {
			clear(m.known)
		}
	}
	m.known[shown] = a
}

// forget drops what is known of a principal, such as key:mm_live_7Kq2mXa9, or of all credentials of a user, as user:12; of
// everybody where it is empty.
func (m *memory) forget(principal string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	maps.DeleteFunc(m.known, func(_ secretHash, a answer) bool {
		return principal == "" || a.who.Name == principal || a.who.UserID != 0 && "user:"+strconv.FormatInt(a.who.UserID, 10) == principal
	})
}
