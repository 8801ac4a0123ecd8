package archtest

import (
	"fmt"
	"strings"
	"testing"
)

func tree(t *testing.T) *Tree {
	t.Helper()
	t.Setenv("GOWORK", "off")
	return Load(t, "testdata/tree", "./...")
}

func TestAForbiddenDependencyIsFoundThroughOthers(t *testing.T) {
	const m = "example.test/tree/"
	for _, c := range []struct {
		name string
		rule Rule
		want []string
	}{
		{"through b", Rule{From: []string{m + "a"}, To: []string{m + "c"}}, []string{m + "a → " + m + "b → " + m + "c"}},
		{"everyone", Rule{From: []string{m + "*"}, To: []string{m + "c/..."}}, []string{m + "a → ", m + "b → "}},
		{"std too", Rule{From: []string{m + "a"}, To: []string{"time"}}, []string{m + "c → time"}},
		{"direct only", Rule{From: []string{m + "a"}, To: []string{m + "c"}, Direct: true}, nil},
		{"hidden behind b", Rule{From: []string{m + "a"}, To: []string{m + "c"}, Through: []string{m + "b"}}, nil},
		{"excepted", Rule{From: []string{m + "..."}, To: []string{m + "..."}, Except: []string{m + "b", m + "c"}}, nil},
		{"first of a chain only", Rule{From: []string{m + "a"}, To: []string{m + "b", m + "c"}}, []string{m + "a → " + m + "b"}},
		{"not there", Rule{From: []string{m + "c"}, To: []string{m + "a", m + "b"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rule.Because = "of a test"
			got := tree(t).violations(c.rule)
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %d", got, len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) || !strings.Contains(got[i], "of a test") {
					t.Errorf("got %q, want the chain %q", got[i], want)
				}
			}
		})
	}
}

func TestARuleAboutNothingFails(t *testing.T) {
	var r recorder
	tree(t).Check(&r, Rule{From: []string{"example.test/tree/renamed/..."}, To: []string{"..."}, Because: "of a test"})
	if len(r.said) != 1 || !strings.Contains(r.said[0], "nothing is proved") {
		t.Errorf("said %q", r.said)
	}
}

type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.said = append(r.said, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func TestEveryPackageNeedsExactlyOneComment(t *testing.T) {
	var r recorder
	tree(t).CheckComments(&r)
	if len(r.said) != 2 || !strings.Contains(r.said[0], "tree/b has 2 package comments, in b.go, second.go") ||
		!strings.Contains(r.said[1], "tree/c has no package comment") {
		t.Errorf("said %q", r.said)
	}
}

func TestPatternsMatchByElement(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"...", "x/y", true},
		{"x/...", "x", true},
		{"x/...", "x/y/z", true},
		{"x/...", "xy", false},
		{"x/*/z/...", "x/y/z/a", true},
		{"x/*/z", "x/y/z/a", false},
		{"x/y", "x/y", true},
	} {
		if got := match(c.pattern, c.path); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
