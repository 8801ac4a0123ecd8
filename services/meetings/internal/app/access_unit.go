package app

import (
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
)

// AccessNeeds is what commands about credentials and persons want loaded.
type AccessNeeds struct {
	// Keys are locked, by uid or prefix.
	Keys []string
	// Sessions are looked up.
	Sessions []identity.Hash
	// Links are locked, and it is looked whether an admin is there.
	Links []identity.Hash
	// Persons are looked for everywhere, by account.EmailKey.
	Persons []string
}

// AccessUnit is the part of the working set that is about credentials and persons.
type AccessUnit struct {
	// Mask makes the pseudonyms of the audit log.
	Mask audit.Mask

	// Keys is by uid and by prefix.
	Keys      map[string]*identity.Key
	NewKeys   []*identity.Key
	DirtyKeys map[string]*identity.Key // by uid

	// Sessions are those loaded, with whose they are.
	Sessions    map[identity.Hash]account.ID
	NewSessions []*identity.Session
	// EndSessions are deleted, and all of EndSessionsOf.
	EndSessions   []identity.Hash
	EndSessionsOf []account.ID

	Links    map[identity.Hash]*identity.Link
	NewLinks []*identity.Link
	HasAdmin bool
	// OfferedAt is when the newest link that still works was made; zero: there is none.
	OfferedAt time.Time

	// Persons are those looked for; Erasures replace them.
	Persons  map[string]*Person
	Erasures []Erasure

	Audit []AuditRow
}

// Person is what is kept of an address, counted, and what stands against its erasure.
type Person struct {
	UserID account.ID // 0: no user
	// Rows by kind.
	Rows map[string]int64
	// Ahead are meetings that are still to be held; Held are under legal hold; UnderWay have work at Google or of an export that
	// needs the address. The numbers of the first few.
	Ahead, Held, UnderWay []int64
	// Number is the next erasure's.
	Number int64
}

// Erasure replaces a person.
type Erasure struct {
	Key, Token, Pseudonym, Principal string
	Number                           int64
	UserID                           account.ID
}

func newAccessUnit() AccessUnit {
	return AccessUnit{
		Keys: map[string]*identity.Key{}, DirtyKeys: map[string]*identity.Key{}, Sessions: map[identity.Hash]account.ID{},
		Links: map[identity.Hash]*identity.Link{}, Persons: map[string]*Person{},
	}
}
