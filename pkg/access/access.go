// Package access is the one place that says who may do what: a table of every command and query, each with the scope it needs
// and how far each role reaches. The gateway asks it before it passes a request on, the meetings service asks it again before it
// acts, and the page that documents it is made from it. It does no I/O and knows no credential.
package access

import (
	"slices"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// Role is what a principal is.
type Role string

// The roles. The last two are parts of this product; no credential from outside carries them.
const (
	// Nobody is who showed no credential.
	Nobody   Role = ""
	Admin    Role = "admin"
	Service  Role = "service"
	External Role = "external"
	// Internal is the scheduler: it brings outcomes and asks what to do.
	Internal Role = "internal"
	// Gateway is the gateway itself, where it acts for nobody or does not know yet for whom.
	Gateway Role = "gateway"
)

// Outside tells whether a credential may carry the role.
func (r Role) Outside() bool { return r == Admin || r == Service || r == External }

// Reach is how far a role gets with an action.
type Reach uint8

// How far.
const (
	// None: the action is forbidden.
	None Reach = iota
	// Own: what belongs to meetings that the principal organizes, by the user behind it.
	Own
	// All: whatever there is.
	All
)

// String is the reach as the documentation shows it.
func (r Reach) String() string {
	switch r {
	case None:
		return "-"
	case Own:
		return "own"
	case All:
		return "all"
	}
	return "invalid reach"
}

// Scope is a part of what a role may do, which a key can be limited to.
type Scope string

// The scopes. The empty scope is needed by what no scope limits.
const (
	MeetingsRead    Scope = "meetings:read"
	MeetingsWrite   Scope = "meetings:write"
	RecordingsRead  Scope = "recordings:read"
	RecordingsWrite Scope = "recordings:write"
	PeopleRead      Scope = "people:read"
	UsersWrite      Scope = "users:write"
	EventsRead      Scope = "events:read"
	JobsRead        Scope = "jobs:read"
	SetupRead       Scope = "setup:read"
	KeysWrite       Scope = "keys:write"
	AuditRead       Scope = "audit:read"
	PrivacyWrite    Scope = "privacy:write"
)

// ScopeInfo is a scope with what it covers.
type ScopeInfo struct {
	Scope Scope
	Text  string
}

// Scopes are all there are, in the order of the documentation.
func Scopes() []ScopeInfo {
	return []ScopeInfo{
		{MeetingsRead, "meetings and operations, people invited to a meeting included"},
		{MeetingsWrite, "make, change, cancel and provision meetings"},
		{RecordingsRead, "recordings, transcripts, coverage"},
		{RecordingsWrite, "look for recordings, check and share them, legal hold"},
		{PeopleRead, "users, participants, attendance"},
		{UsersWrite, "make and change users"},
		{EventsRead, "the log of events"},
		{JobsRead, "jobs"},
		{SetupRead, "what the installation is set up with, and its diagnosis"},
		{KeysWrite, "list, make, rotate and revoke keys"},
		{AuditRead, "the audit log and its verification"},
		{PrivacyWrite, "export and erase a person's data"},
	}
}

// Known tells whether there is such a scope.
func Known(name string) bool {
	return slices.ContainsFunc(Scopes(), func(s ScopeInfo) bool { return string(s.Scope) == name })
}

// Limits are the scopes that a principal is limited to. The zero Limits are none: all that its role may.
type Limits struct{ text string }

// ParseLimits reads scopes separated by spaces. A name that is not known allows nothing, and still limits.
func ParseLimits(text string) Limits { return Limits{strings.TrimSpace(text)} }

// LimitTo limits to these scopes; to none of them means no limit.
func LimitTo(scopes ...string) Limits { return Limits{strings.Join(scopes, " ")} }

// String is the inverse of [ParseLimits].
func (l Limits) String() string { return l.text }

// Allow tells whether the scope is among them, or there are none.
func (l Limits) Allow(s Scope) bool {
	if l.text == "" || s == "" {
		return true
	}
	for name := range strings.FieldsSeq(l.text) {
		if name == string(s) {
			return true
		}
	}
	return false
}

// Rule is one row of the table.
type Rule struct {
	// Action is a command's subject without its prefix, such as meeting.create, or a query's method, such as GetMeeting.
	Action string
	// Scope is needed by a principal that is limited to scopes; empty: none is.
	Scope                    Scope
	Admin, Service, External Reach
	// Parts of the product that may do it; they reach all.
	Parts []Role
	// Anyone may do it, also who is not known.
	Anyone bool
	// Note says what own means, where it is not the organizer's meetings.
	Note string
}

// Reach is how far a role gets, scopes aside.
func (r Rule) Reach(role Role) Reach {
	if r.Anyone || slices.Contains(r.Parts, role) {
		return All
	}
	switch role {
	case Admin:
		return r.Admin
	case Service:
		return r.Service
	case External:
		return r.External
	case Nobody, Internal, Gateway:
		return None
	}
	return None
}

// Reasons of refusals.
const (
	ReasonUnauthenticated = "UNAUTHENTICATED"
	ReasonForbidden       = "FORBIDDEN"
	ReasonScope           = "SCOPE_MISSING"
	// ReasonNotYourself: an external principal may make meetings for himself only.
	ReasonNotYourself = "ORGANIZER_NOT_YOURSELF"
)

// MetaScope is the key in a fault's meta of the scope that is missing.
const MetaScope = "scope"

// Decide is how far a principal gets with an action. Where it is not allowed at all the error is [fault.Unauthenticated] for
// nobody and else [fault.Forbidden]; an action that has no row is forbidden to everybody.
func Decide(action string, role Role, limits Limits) (Reach, error) {
	rule, ok := rules[action]
	reach := rule.Reach(role)
	switch {
	case !ok || reach == None && role != Nobody:
		return None, fault.New(fault.Forbidden, ReasonForbidden, "you may not do this")
	case reach == None:
		return None, fault.New(fault.Unauthenticated, ReasonUnauthenticated, "authentication credentials were not provided")
	case !rule.Anyone && !limits.Allow(rule.Scope):
		f := fault.New(fault.Forbidden, ReasonScope, "this credential lacks the scope %s", rule.Scope)
		f.Meta = map[string]string{MetaScope: string(rule.Scope)}
		return None, f
	}
	return reach, nil
}

// ActionOf is the action of a command's or a query's subject; empty for any other.
func ActionOf(subject string) string {
	if action, ok := strings.CutPrefix(subject, "meet.cmd."); ok {
		return action
	}
	if rest, ok := strings.CutPrefix(subject, "meet.query."); ok {
		_, method, _ := strings.Cut(rest, ".")
		return method
	}
	return ""
}

// rules is the table by action; it is never changed.
var rules = func() map[string]Rule {
	byAction := make(map[string]Rule, len(table))
	for _, r := range table {
		byAction[r.Action] = r
	}
	return byAction
}()

// Rules is the table in the order of the documentation.
func Rules() []Rule { return slices.Clone(table[:]) }

// RuleOf is the row of an action.
func RuleOf(action string) (Rule, bool) {
	r, ok := rules[action]
	return r, ok
}
