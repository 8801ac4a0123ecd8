package app

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
)

// Reasons that stand against an erasure.
const (
	ReasonPersonUnknown  = "PERSON_NOT_FOUND"
	ReasonPersonExpected = "PERSON_EXPECTED"
	ReasonPersonHeld     = "LEGAL_HOLD"
	ReasonPersonUnderWay = "PERSON_WORK_UNDER_WAY"
)

// ErasePerson replaces a person's address and names by a pseudonym, for good.
type ErasePerson struct {
	Email, Reason string
}

// Erased is what came of it.
type Erased struct {
	Pseudonym string
	Rows      map[string]int64
}

// Needs all that is kept of the person.
func (c *ErasePerson) Needs(n *Needs) {
	if c.Email != "" {
		n.Access.Persons = append(n.Access.Persons, account.EmailKey(c.Email))
	}
}

// Apply refuses with [fault.NotFound] where nothing is kept, and with [fault.Conflict] while a meeting of the person's is under
// legal hold, is still to be held, or has work under way that needs the address.
func (c *ErasePerson) Apply(u *Unit, command *Command) (Result, error) {
	key := account.EmailKey(c.Email)
	p := u.Persons[key]
	if p == nil || p.none() {
		return Result{}, fault.New(fault.NotFound, ReasonPersonUnknown, "nothing is kept of this address")
	}
	for _, against := range []struct {
		meetings     []int64
		reason, text string
	}{
		{p.Held, ReasonPersonHeld, "meetings of this person are under legal hold; lift it first"},
		{p.Ahead, ReasonPersonExpected, "this person stands in meetings that are still to be held; cancel them or take the person off first"},
		{p.UnderWay, ReasonPersonUnderWay, "recordings of this person's meetings are still being looked for or exported; wait for that or cancel it"},
	} {
		if len(against.meetings) > 0 {
			f := fault.New(fault.Conflict, against.reason, "%s", against.text)
			f.Meta = map[string]string{"meetings": numbers(against.meetings)}
			return Result{}, f
		}
	}
	e := Erasure{
		Key: key, Token: u.Mask.Person(key), Pseudonym: fmt.Sprintf("erased-%d@erased.invalid", p.Number), Principal: command.Principal,
		Number: p.Number, UserID: p.UserID,
	}
	u.Erasures = append(u.Erasures, e)
	delete(u.Persons, key) // another erasure in the same batch finds nothing
	if p.UserID != 0 {
		u.EndSessionsOf = append(u.EndSessionsOf, p.UserID)
		command.Changed = append(command.Changed, UserPrincipal(p.UserID))
	}
	after := audit.Fields{"pseudonym": e.Pseudonym, "reason": u.Mask.Text(c.Reason)}
	for kind, n := range p.Rows {
		after["rows_"+kind] = n
	}
	result := Result{
		Answer: &Erased{Pseudonym: e.Pseudonym, Rows: p.Rows},
		Change: &Change{Kind: audit.Person, ID: e.Token, After: after},
	}
	if p.UserID != 0 {
		result.UserFacts = []UserFact{{User: &account.User{ID: p.UserID}, Fields: []string{"email", "username", "first_name", "last_name", "is_active"}}}
	}
	return result, nil
}

func (p *Person) none() bool {
	for _, n := range p.Rows {
		if n > 0 {
			return false
		}
	}
	return true
}

func numbers(ids []int64) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, strconv.FormatInt(id, 10))
	}
	return strings.Join(texts, ",")
}
