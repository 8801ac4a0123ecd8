// Package archtest proves the borders between packages: who must never reach whom, through however
// many others, and that every package says why it exists. Linters see direct imports only. It is for
// tests alone.
package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Package is what the rules need to know of one.
type Package struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string // direct
	Deps       []string // all, through others
	// TestImports are those of its tests, in the package and beside it.
	TestImports  []string
	XTestImports []string
	CgoFiles     []string
}

// Tree is a set of packages and all that they depend on.
type Tree struct {
	// Matched are the packages that the patterns named, sorted.
	Matched  []string
	Packages map[string]Package
}

// Load lists the packages that match patterns (as of go list, seen from dir) and their dependencies,
// as built for shipping: without tests. A pattern that matches nothing is fine.
func Load(t testing.TB, dir string, patterns ...string) *Tree {
	t.Helper()
	tree, err := load(t.Context(), dir, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func load(ctx context.Context, dir string, patterns ...string) (*Tree, error) {
	const fields = "ImportPath,Dir,Standard,GoFiles,CgoFiles,Imports,Deps,TestImports,XTestImports,DepOnly"
	args := append([]string{"list", "-deps", "-json=" + fields}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(patterns, " "), err, &stderr)
	}
	tree := &Tree{Packages: map[string]Package{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Package
			DepOnly bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		tree.Packages[p.ImportPath] = p.Package
		if !p.DepOnly {
			tree.Matched = append(tree.Matched, p.ImportPath)
		}
	}
	slices.Sort(tree.Matched)
	return tree, nil
}

// Rule forbids a dependency.
type Rule struct {
	// From and To are import paths; a trailing /... takes in what is below, "..." alone is everything.
	// A * stands for one element.
	From []string
	To   []string
	// Except are those of To that are allowed after all.
	Except []string
	// Through are packages whose own dependencies do not count, for a border that hides what is behind
	// it.
	Through []string
	// Direct looks at From's own imports only.
	Direct bool
	// Optional rules are about packages that need not exist yet.
	Optional bool
	// Because is the reason, for the one who breaks it.
	Because string
}

// Check fails the test for every dependency that a rule forbids, with the chain that leads to it,
// and for a rule that is about no package at all: a renamed folder must not switch it off.
func (tree *Tree) Check(t testing.TB, rules ...Rule) {
	t.Helper()
	for _, rule := range rules {
		if !rule.Optional && !slices.ContainsFunc(tree.Matched, func(p string) bool { return Match(rule.From, p) }) {
			t.Errorf("no package matches %s, so nothing is proved: %s", strings.Join(rule.From, ", "), rule.Because)
		}
		for _, broken := range tree.violations(rule) {
			t.Error(broken)
		}
	}
}

func (tree *Tree) violations(rule Rule) []string {
	var broken []string
	for _, from := range tree.Matched {
		if !Match(rule.From, from) {
			continue
		}
		parent := tree.reach(from, rule)
		for _, to := range sortedKeys(parent) {
			if to == from || !Match(rule.To, to) || Match(rule.Except, to) {
				continue
			}
			// Only the first forbidden package of a chain is worth a line.
			if via := parent[to]; via != from && Match(rule.To, via) && !Match(rule.Except, via) {
				continue
			}
			broken = append(broken, fmt.Sprintf("%s must not depend on %s: %s\n\t%s", from, to, rule.Because, chain(parent, from, to)))
		}
	}
	return broken
}

// reach gives for each package that from depends on the one that brought it in, by shortest chain.
func (tree *Tree) reach(from string, rule Rule) map[string]string {
	parent := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && (rule.Direct || Match(rule.Through, at)) {
			continue
		}
		for _, next := range tree.Packages[at].Imports {
			if _, seen := parent[next]; !seen {
				parent[next] = at
				queue = append(queue, next)
			}
		}
	}
	return parent
}

func chain(parent map[string]string, from, to string) string {
	links := []string{to}
	for at := to; at != from; {
		at = parent[at]
		links = append(links, at)
	}
	slices.Reverse(links)
	return strings.Join(links, " → ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Match says whether importPath is one of patterns, written as in [Rule].
func Match(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, importPath) })
}

func match(pattern, importPath string) bool {
	if pattern == "..." {
		return true
	}
	prefix, tree := strings.CutSuffix(pattern, "/...")
	if !tree {
		ok, err := path.Match(pattern, importPath)
		return err == nil && ok
	}
	depth := strings.Count(prefix, "/") + 1
	elements := strings.Split(importPath, "/")
	if len(elements) < depth {
		return false
	}
	ok, err := path.Match(prefix, strings.Join(elements[:depth], "/"))
	return err == nil && ok
}

// CheckComments fails the test for every matched package that has no package comment, or several:
// the reason to exist is read in one place.
func (tree *Tree) CheckComments(t testing.TB) {
	t.Helper()
	for _, name := range tree.Matched {
		p := tree.Packages[name]
		files, err := documented(p)
		if err != nil {
			t.Error(err)
			continue
		}
		switch len(files) {
		case 0:
			t.Errorf("%s has no package comment: say why it exists", name)
		case 1:
		default:
			t.Errorf("%s has %d package comments, in %s: keep one", name, len(files), strings.Join(files, ", "))
		}
	}
}

func documented(p Package) ([]string, error) {
	var with []string
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the package comment of %s: %w", p.ImportPath, err)
		}
		// A generator repeats its input's comment in each file; the hand-written one counts.
		if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" && !ast.IsGenerated(file) {
			with = append(with, name)
		}
	}
	if len(with) == 0 && generatedOnly(p) {
		return []string{"generated"}, nil
	}
	return with, nil
}

// generatedOnly says that no file of p was written by hand: there is no place for a comment.
func generatedOnly(p Package) bool {
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil || !ast.IsGenerated(file) {
			return false
		}
	}
	return true
}
