package access_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
)

//go:generate go test -run ^TestThePageOfAccessIsCurrent$ -count=1 . -update

// declared are the actions of every subject that pkg/subject declares.
func declared(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../subject/subject.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if action := access.ActionOf(text); action != "" && strings.Count(text, ".") >= 3 {
				actions = append(actions, action)
			}
		}
		return true
	})
	if len(actions) < 40 {
		t.Fatalf("only %d subjects found", len(actions))
	}
	return actions
}

func TestEveryCommandAndQueryHasExactlyOneRow(t *testing.T) {
	var inTable []string
	for _, r := range access.Rules() {
		inTable = append(inTable, r.Action)
	}
	want := declared(t)
	slices.Sort(inTable)
	slices.Sort(want)
	if !slices.Equal(inTable, want) {
		for _, a := range want {
			if !slices.Contains(inTable, a) {
				t.Errorf("%s has no row: everybody is forbidden it", a)
			}
		}
		for _, a := range inTable {
			if !slices.Contains(want, a) {
				t.Errorf("%s is no command and no query", a)
			}
		}
		if len(inTable) != len(want) {
			t.Errorf("%d rows for %d subjects", len(inTable), len(want))
		}
	}
}

func TestTheTableKeepsItsPromises(t *testing.T) {
	for _, r := range access.Rules() {
		t.Run(r.Action, func(t *testing.T) {
			outside := r.Admin != access.None || r.Service != access.None || r.External != access.None
			if r.External > r.Service || r.Service > r.Admin {
				t.Errorf("a lesser role reaches further: admin %s, service %s, external %s", r.Admin, r.Service, r.External)
			}
			if r.External == access.All {
				t.Error("external reaches what is not its own")
			}
			if outside && (r.Scope == "" || !access.Known(string(r.Scope))) {
				t.Errorf("scope %q", r.Scope)
			}
			if outside && len(r.Parts) > 0 {
				t.Error("shared by people and by parts of the product")
			}
			if !outside && len(r.Parts) == 0 && !r.Anyone {
				t.Error("nobody may do it")
			}
			for _, part := range r.Parts {
				if part.Outside() {
					t.Errorf("%s is no part of the product", part)
				}
			}
			if r.Note != "" && r.External != access.Own {
				t.Error("says what own means where nothing is own")
			}
		})
	}
}

func TestEveryScopeIsNeededBySomethingAndLimitsIt(t *testing.T) {
	for _, s := range access.Scopes() {
		var used bool
		for _, r := range access.Rules() {
			if r.Scope != s.Scope {
				continue
			}
			used = true
			if got, err := access.Decide(r.Action, access.Admin, access.LimitTo(string(s.Scope))); err != nil || got != r.Admin {
				t.Errorf("%s with %s: %s, %v", r.Action, s.Scope, got, err)
			}
			for _, other := range access.Scopes() {
				if other.Scope == s.Scope {
					continue
				}
				_, err := access.Decide(r.Action, access.Admin, access.LimitTo(string(other.Scope)))
				var f *fault.Fault
				if !errors.As(err, &f) || f.Reason != access.ReasonScope || f.Meta[access.MetaScope] != string(s.Scope) {
					t.Errorf("%s with %s alone: %v", r.Action, other.Scope, err)
				}
			}
		}
		if !used {
			t.Errorf("nothing needs %s", s.Scope)
		}
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	none := access.Limits{}
	for _, c := range []struct {
		name   string
		action string
		role   access.Role
		limits access.Limits
		want   access.Reach
		kind   fault.Kind
	}{
		{"an admin everything", "privacy.erase", access.Admin, none, access.All, 0},
		{"a service all meetings", "meeting.cancel", access.Service, none, access.All, 0},
		{"a service no keys", "access.create_key", access.Service, none, access.None, fault.Forbidden},
		{"an external its own", "GetMeeting", access.External, none, access.Own, 0},
		{"an external no statistics", "GetUserStats", access.External, none, access.None, fault.Forbidden},
		{"nobody is asked who he is", "GetMeeting", access.Nobody, none, access.None, fault.Unauthenticated},
		{"nobody may see health", "CheckHealth", access.Nobody, none, access.All, 0},
		{"a limited key may see health", "CheckHealth", access.Service, access.LimitTo("jobs:read"), access.All, 0},
		{"the scheduler brings outcomes", "meeting.synced", access.Internal, none, access.All, 0},
		{"the scheduler makes no meetings", "meeting.create", access.Internal, none, access.None, fault.Forbidden},
		{"the gateway brings no outcomes", "meeting.synced", access.Gateway, none, access.None, fault.Forbidden},
		{"an admin brings no outcomes", "meeting.synced", access.Admin, none, access.None, fault.Forbidden},
		{"an admin asks for no login", "CheckLogin", access.Admin, none, access.None, fault.Forbidden},
		{"a role of another release", "GetMeeting", access.Role("auditor"), none, access.None, fault.Forbidden},
		{"an action of another release", "meeting.explode", access.Admin, none, access.None, fault.Forbidden},
		{"an unknown scope allows nothing", "GetMeeting", access.Admin, access.ParseLimits("meetings:all"), access.None, fault.Forbidden},
		{"a part of a scope's name allows nothing", "GetMeeting", access.Admin, access.ParseLimits("meetings:rea"), access.None, fault.Forbidden},
		{"one of several scopes", "GetMeeting", access.Service, access.ParseLimits(" jobs:read  meetings:read "), access.All, 0},
		{"a scope does not widen a role", "ListAudit", access.Service, access.LimitTo("audit:read"), access.None, fault.Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := access.Decide(c.action, c.role, c.limits)
			if got != c.want || (err == nil) != (c.kind == 0) || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("reach %s, %v", got, err)
			}
		})
	}
}

func FuzzLimitsNeverAllowMoreThanTheyName(f *testing.F) {
	f.Add("meetings:read", "meetings:read")
	f.Add("meetings:write jobs:read", "jobs:read")
	f.Add("\t", "setup:read")
	f.Fuzz(func(t *testing.T, limits, scope string) {
		if !access.Known(scope) {
			return
		}
		l := access.ParseLimits(limits)
		if l.Allow(access.Scope(scope)) && l != (access.Limits{}) && !strings.Contains(limits, scope) {
			t.Errorf("%q allows %s", limits, scope)
		}
	})
}

func TestThePageOfAccessIsCurrent(t *testing.T) {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write("# Who may do what\n")
	write("Made by `make generate` from `pkg/access`, the table that the gateway and the meetings service decide by.\n")
	write("A principal has a role, and may be limited to scopes. **admin** may do everything that a person can ask for, **service**")
	write("everything about meetings, recordings, people and events, **external** only what belongs to meetings that it organizes, by")
	write("the user behind its credential: what belongs to others is answered as if it were not there. Outcomes and inner questions are")
	write("for parts of this product; no credential carries their roles.\n")
	write("## Scopes\n")
	write("A key with no scopes may do all that its role may. One that lists scopes may do only what needs one of them: a scope limits a")
	write("role and never widens it.\n")
	write("| scope | covers |\n| --- | --- |")
	for _, s := range access.Scopes() {
		write("| `%s` | %s |", s.Scope, s.Text)
	}
	write("\n## Commands and queries\n")
	write("**all**: whatever there is; **own**: what belongs to the caller; **-**: forbidden.\n")
	write("| action | scope | admin | service | external | what own means |\n| --- | --- | --- | --- | --- | --- |")
	for _, r := range access.Rules() {
		if len(r.Parts) > 0 || r.Anyone {
			continue
		}
		note := r.Note
		if note == "" && r.External == access.Own {
			note = "of meetings that the caller organizes"
		}
		write("| `%s` | `%s` | %s | %s | %s | %s |", r.Action, r.Scope, r.Admin, r.Service, r.External, note)
	}
	write("\n## For everybody\n")
	write("Also without a credential: health and the documentation.\n")
	write("| action |\n| --- |")
	for _, r := range access.Rules() {
		if r.Anyone {
			write("| `%s` |", r.Action)
		}
	}
	write("\n## For parts of this product\n")
	write("| action | the scheduler | the gateway itself |\n| --- | --- | --- |")
	for _, r := range access.Rules() {
		if len(r.Parts) > 0 {
			write("| `%s` | %s | %s |", r.Action, r.Reach(access.Internal), r.Reach(access.Gateway))
		}
	}
	golden.Equal(t, "../../docs/reference/access.md", []byte(b.String()))
}
