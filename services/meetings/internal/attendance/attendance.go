// Package attendance tells who of the invited was there. Google tells of people in a conference by a number of its own, by a
// name that the person typed, or by a telephone; the invited are addresses. What joins the two is stated with how sure it is and
// why, and what can't be told is left open: nothing is guessed that somebody might later have to swear to. It does no I/O.
package attendance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
)

// Kind is how a person came in. The zero Kind is somebody of whom nothing but a notice is known.
type Kind uint8

// The kinds.
const (
	Unknown Kind = iota
	// SignedIn is a Google account.
	SignedIn
	// Anonymous typed a name.
	Anonymous
	// Phone dialled in.
	Phone
)

// String is the kind's name in the database and on the wire; Unknown is "".
func (k Kind) String() string { return [...]string{"", "signed_in", "anonymous", "phone"}[k] }

// ParseKind is the inverse of [Kind.String].
func ParseKind(s string) (Kind, error) {
	for _, k := range []Kind{Unknown, SignedIn, Anonymous, Phone} {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("no kind of attendee is called %q", s)
}

// Sureness is how sure a match is; a greater one is surer. The zero Sureness is no match.
type Sureness uint8

// How sure.
const (
	None Sureness = iota
	// Possible: a part of the name says so, or nobody else is left who it could be.
	Possible
	// Likely: the name says so. A name is what its owner typed.
	Likely
	// Certain: Google's directory, or Google's number of the account, says so.
	Certain
)

// String is the name in the database and on the wire; None is "".
func (s Sureness) String() string { return [...]string{"", "possible", "likely", "certain"}[s] }

// ParseSureness is the inverse of [Sureness.String].
func ParseSureness(text string) (Sureness, error) {
	for _, s := range []Sureness{None, Possible, Likely, Certain} {
		if s.String() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no sureness is called %q", text)
}

// Reason is why a match is made.
type Reason string

// The reasons.
const (
	// Directory: the account in the conference has the invited address, by Google's directory or by its number.
	Directory Reason = "directory"
	// Organizer: it is the account that owns the meeting's space.
	Organizer Reason = "organizer"
	// DisplayName: the name in the conference is that of the invited person or of the address.
	DisplayName Reason = "display_name"
	// OnlyOneLeft: one invited person and one person seen were left over.
	OnlyOneLeft Reason = "only_one_left"
)

// Invited is a participant of the meeting.
type Invited struct {
	// ID is the participant's number; not 0, and unique.
	ID    int64
	Email string
	// Name is the person's full name where it is known, else "".
	Name string
	// GoogleUser is Google's number of the account with this address, users/…, where it is known, else "".
	GoogleUser string
	Organizer  bool
}

// Seen is a person, or a device of one, in one conference of the meeting.
type Seen struct {
	Kind Kind
	// GoogleUser is users/…, of who is signed in.
	GoogleUser  string
	DisplayName string
	// Email is what the directory told; "" where it could not be asked or does not know.
	Email string
	// JoinedAt is the first join; zero while unknown. LeftAt is the last leave; zero while in the room or unknown.
	JoinedAt, LeftAt time.Time
}

// Match says which invited person somebody is. The zero Match is nobody.
type Match struct {
	// Participant is [Invited.ID].
	Participant int64
	Sureness    Sureness
	Reason      Reason
}

// Matches tells for each person seen, of all conferences of a meeting, who of the invited it is; the answer has the order of
// seen. Several of seen may be one invited person, who came in with another device, but none of them is two people. The order
// of both arguments does not matter, and equal arguments give equal answers.
//
// What says more goes first. An address by the directory, or Google's number of the account, is certain. A full name is likely
// and a part of one possible, unless it fits two of the invited equally well: then that one of them who has not been told
// otherwise yet, if there is only one, is possible, else nobody is. Where one person is left over on each side, that is possible.
func Matches(invited []Invited, seen []Seen) []Match {
	out := certain(invited, seen)
	known := people(out, None)
	fits := make([]fit, len(seen))
	names := readNames(invited)
	for i := range seen {
		if out[i].Sureness != None {
			continue
		}
		fits[i] = names.fit(invited, &seen[i])
		out[i] = fits[i].match(known)
	}
	onlyOneLeft(invited, seen, fits, out)
	return out
}

// people are those who were matched, more surely than the bound.
func people(matches []Match, above Sureness) map[int64]bool {
	m := make(map[int64]bool)
	for _, match := range matches {
		if match.Sureness > above {
			m[match.Participant] = true
		}
	}
	return m
}

// certain matches by addresses and by Google's numbers of accounts.
func certain(invited []Invited, seen []Seen) []Match {
	out := make([]Match, len(seen))
	byEmail, byUser := make(map[string]*Invited), make(map[string]*Invited)
	for i := range invited {
		in := &invited[i]
		put(byEmail, account.EmailKey(in.Email), in)
		put(byUser, in.GoogleUser, in)
	}
	// Of one account the directory may have told the address in one conference and not in another.
	told := make(map[string]*Invited)
	for i := range seen {
		if s := &seen[i]; s.Kind == SignedIn && s.Email != "" {
			if in := byEmail[account.EmailKey(s.Email)]; in != nil {
				put(told, s.GoogleUser, in)
			}
		}
	}
	for i := range seen {
		s := &seen[i]
		if s.Kind != SignedIn {
			continue
		}
		var in *Invited
		if s.Email != "" {
			in = byEmail[account.EmailKey(s.Email)]
		}
		if in != nil {
			out[i] = Match{Participant: in.ID, Sureness: Certain, Reason: Directory}
			continue
		}
		if in = byUser[s.GoogleUser]; in != nil {
			out[i] = Match{Participant: in.ID, Sureness: Certain, Reason: Directory}
			if in.Organizer {
				out[i].Reason = Organizer
			}
		} else if in = told[s.GoogleUser]; in != nil {
			out[i] = Match{Participant: in.ID, Sureness: Certain, Reason: Directory}
		}
	}
	return out
}

// put keeps who a key names; a key of two people names nobody, and neither does an empty one.
func put(m map[string]*Invited, key string, in *Invited) {
	if key == "" {
		return
	}
	if other, taken := m[key]; taken && (other == nil || other.ID != in.ID) {
		m[key] = nil
		return
	}
	m[key] = in
}

// fit is who of the invited a name fits best, and how well.
type fit struct {
	sureness   Sureness
	candidates []int64 // several: it fits them equally
}

func (f fit) match(known map[int64]bool) Match {
	switch {
	case f.sureness == None:
		return Match{}
	case len(f.candidates) == 1:
		return Match{Participant: f.candidates[0], Sureness: f.sureness, Reason: DisplayName}
	}
	left := slices.DeleteFunc(slices.Clone(f.candidates), func(id int64) bool { return known[id] })
	if len(left) == 1 {
		return Match{Participant: left[0], Sureness: Possible, Reason: DisplayName}
	}
	return Match{}
}

// invitedNames are the names of each of the invited, as they are compared.
type invitedNames [][]spelled

func readNames(invited []Invited) invitedNames {
	n := make(invitedNames, len(invited))
	for i := range invited {
		n[i] = []spelled{spellAddress(invited[i].Email), spell(invited[i].Name)}
	}
	return n
}

// fit finds whom the name of somebody seen fits. Who has an address of which the directory says that it is another's can only be
// invited with a second address of the same person, so that a full name is merely possible.
func (n invitedNames) fit(invited []Invited, s *Seen) fit {
	var best fit
	if s.Kind != SignedIn && s.Kind != Anonymous {
		return best
	}
	shown := spell(s.DisplayName)
	for i := range invited {
		sureness := None
		for _, name := range n[i] {
			sureness = max(sureness, alike(name, shown))
		}
		if s.Email != "" && sureness != None {
			sureness--
		}
		switch {
		case sureness > best.sureness:
			best = fit{sureness: sureness, candidates: []int64{invited[i].ID}}
		case sureness == best.sureness && sureness != None:
			best.candidates = append(best.candidates, invited[i].ID)
		}
	}
	return best
}

// onlyOneLeft matches the last invited person with the last person seen, where there is one of each.
func onlyOneLeft(invited []Invited, seen []Seen, fits []fit, out []Match) {
	known := people(out, None)
	var left *Invited
	for i := range invited {
		if !known[invited[i].ID] {
			if left != nil {
				return
			}
			left = &invited[i]
		}
	}
	if left == nil {
		return
	}
	who := ""
	var theirs []int
	for i := range seen {
		if out[i].Sureness != None {
			continue
		}
		s := &seen[i]
		if !couldBe(left, s, fits[i]) {
			continue // another, whom nobody invited
		}
		if s.Kind == Unknown {
			return // it may be yet another person
		}
		if len(theirs) != 0 && s.person() != who {
			return
		}
		who = s.person()
		theirs = append(theirs, i)
	}
	for _, i := range theirs {
		out[i] = Match{Participant: left.ID, Sureness: Possible, Reason: OnlyOneLeft}
	}
}

// person is equal for devices that are taken to be of one person.
func (s *Seen) person() string {
	if s.Kind == SignedIn && s.GoogleUser != "" {
		return s.GoogleUser
	}
	return s.Kind.String() + " " + strings.Join(spell(s.DisplayName).plain, " ")
}

// couldBe: nothing that is known of somebody seen and not matched says that it is not this invited person.
func couldBe(in *Invited, s *Seen, f fit) bool {
	if f.sureness != None && !slices.Contains(f.candidates, in.ID) {
		return false // the name is another's
	}
	// The directory's address is not the invited one. It may be the main address of an account that was invited with another of
	// its addresses; that is of the same domain.
	return s.Email == "" || domain(s.Email) == domain(in.Email)
}

func domain(email string) string {
	return account.EmailKey(email[strings.LastIndexByte(email, '@')+1:])
}
