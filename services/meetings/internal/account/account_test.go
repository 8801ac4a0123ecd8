package account

import (
	"slices"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

func TestAnOrganizersNameIsUnique(t *testing.T) {
	taken := func(names ...string) func(string) bool {
		return func(n string) bool { return slices.Contains(names, n) }
	}
	long := strings.Repeat("é", 150)
	for name, c := range map[string]struct{ email, want string }{
		"free":                 {"new@x.example", "new"},
		"taken":                {"old@x.example", "old-7"},
		"nothing before the @": {"@x.example", "user"},
	} {
		if got := OrganizerUsername(c.email, 7, taken("old")); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	got := OrganizerUsername(long+"@x.example", 1<<62, func(n string) bool { return !strings.Contains(n, "-") })
	if len(got) > maxUsername || strings.ToValidUTF8(got, "?") != got {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestEveryRoleComesBackFromItsName(t *testing.T) {
	for _, r := range []Role{Admin, Service, External} {
		if back, err := ParseRole(r.String()); err != nil || back != r {
			t.Errorf("%s became %v, %v", r, back, err)
		}
	}
	if _, err := ParseRole("invalid role"); err == nil {
		t.Error("an unknown role was taken")
	}
}

func TestOnlyASCIILettersLoseTheirCase(t *testing.T) {
	for email, want := range map[string]string{"Ab@X.Example": "ab@x.example", "É@x": "É@x", "\u212a@x": "\u212a@x", "İ@x": "İ@x"} {
		if got := EmailKey(email); got != want {
			t.Errorf("%q became %q", email, got)
		}
	}
}

func TestAUserIsCheckedAtOnce(t *testing.T) {
	var got []string
	bad := User{Email: "a b@c", FirstName: strings.Repeat("x", 151), LastName: "a\x00", PasswordHash: "\xff"}
	for _, f := range fault.Of(bad.Check()).Fields {
		got = append(got, f.Path+" "+f.Reason)
	}
	if want := []string{"username REQUIRED", "email EMAIL", "first_name MAX_LENGTH", "last_name CHARACTERS", "password CHARACTERS"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	good := User{Username: "u", Email: "u@x.example"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	if f := fault.Of(Patch{Email: new("\x00@x"), FirstName: new("ok"), PasswordHash: new(strings.Repeat("h", 513))}.Check()); f == nil || len(f.Fields) != 2 {
		t.Errorf("patch: %v", f)
	}
	if err := (Patch{}).Check(); err != nil {
		t.Error(err)
	}
}

func TestAPatchNamesWhatDiffers(t *testing.T) {
	u := User{Email: "a@x", FirstName: "A", Role: External, Active: true}
	if got := u.Apply(Patch{Email: new("a@x"), FirstName: new("B"), Role: new(Admin), Active: new(false), LastName: new("")}); !slices.Equal(got, []string{"first_name", "role", "is_active"}) {
		t.Errorf("got %q", got)
	}
	if u.FirstName != "B" || u.Role != Admin || u.Active {
		t.Errorf("%+v", u)
	}
}
