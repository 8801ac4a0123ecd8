package standalone_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree is the root of the repository.
const tree = "../.."

// page reads a file of the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are the paths of all documentation.
func pages(t *testing.T) []string {
	t.Helper()
	paths := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	err := fs.WalkDir(os.DirFS(tree), "docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// TestTheDocumentedCommandsRun runs every block marked "sh run" of a page, in order, and compares the shape of its output with the
// JSON that stands behind it.
func TestTheDocumentedCommandsRun(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the pages use %s: %v", program, err)
		}
	}
	for _, path := range []string{"README.md", "docs/tutorial.md"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := run(t)
			here := strings.NewReplacer("http://127.0.0.1:8000", p.HTTP, "http://127.0.0.1:8090", p.Emulator)
			blocks := fence.FindAllStringSubmatch(page(t, path), -1)
			ran := 0
			for i, block := range blocks {
				if block[1] != "sh run" {
					continue
				}
				ran++
				command := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", here.Replace(block[2]))
				output, err := command.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s%s", err, block[2], output)
				}
				var got, want any
				if err := json.Unmarshal(output, &got); err != nil {
					t.Fatalf("no JSON: %v\n%s%s", err, block[2], output)
				}
				if i+1 == len(blocks) || blocks[i+1][1] != "json" {
					continue
				}
				if err := json.Unmarshal([]byte(blocks[i+1][2]), &want); err != nil {
					t.Fatal(err)
				}
				if differs := lacks(got, want, "the answer"); differs != "" {
					t.Errorf("%sanswers\n%s\nand the page shows another shape: %s", block[2], output, differs)
				}
			}
			if ran == 0 {
				t.Errorf("no block is marked %q", "sh run")
			}
		})
	}
}

// lacks says what of want's shape (keys, types, how many items) got does not have; more keys are fine. Empty: nothing.
func lacks(got, want any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is a %T", at, got)
		}
		for key, value := range want {
			inner, there := object[key]
			if !there {
				return fmt.Sprintf("%s has no %q", at, key)
			}
			if differs := lacks(inner, value, at+"."+key); differs != "" {
				return differs
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is not a list of %d", at, len(want))
		}
		for i := range want {
			if differs := lacks(list[i], want[i], at+"["+strconv.Itoa(i)+"]"); differs != "" {
				return differs
			}
		}
		return ""
	}
	if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
		return fmt.Sprintf("%s is a %T and not a %T", at, got, want)
	}
	return ""
}

func TestTheRESTPageNamesEveryRoute(t *testing.T) {
	var schema struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	p := run(t)
	if err := json.Unmarshal([]byte(p.send("GET", "schema/", "").body), &schema); err != nil {
		t.Fatal(err)
	}
	var served []string
	for path, methods := range schema.Paths {
		for method := range methods {
			served = append(served, strings.ToUpper(method)+" "+path)
		}
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /api/v1/[^`]*)` \\|").FindAllStringSubmatch(page(t, "docs/reference/rest.md"), -1) {
		documented = append(documented, m[1])
	}
	compareLists(t, "routes", served, documented)
}

// compareLists wants both to have the same members.
func compareLists(t *testing.T, what string, inCode, inDocs []string) {
	t.Helper()
	if len(inCode) == 0 {
		t.Fatalf("the code has no %s", what)
	}
	for _, each := range inCode {
		if !slices.Contains(inDocs, each) {
			t.Errorf("%s: %s is in the code and not on the page", what, each)
		}
	}
	for _, each := range inDocs {
		if !slices.Contains(inCode, each) {
			t.Errorf("%s: %s is on the page and not in the code", what, each)
		}
	}
}

func TestTheErrorsPageHasEveryReason(t *testing.T) {
	reasons := map[string]bool{}
	for _, dir := range []string{"pkg/access", "pkg/fault", "pkg/bus", "services/gateway", "services/meetings", "services/scheduler"} {
		err := filepath.WalkDir(filepath.Join(tree, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && strings.HasSuffix(entry.Name(), "test") {
				return fs.SkipDir
			}
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				collectReasons(t, path, reasons)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)` \\|").FindAllStringSubmatch(page(t, "docs/reference/errors.md"), -1) {
		documented = append(documented, m[1])
	}
	compareLists(t, "reasons", slices.Sorted(maps.Keys(reasons)), documented)
}

var screaming = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

// unshown are words of package compat that name a sentence to a person and no failure, and errors that no caller sees.
var unshown = regexp.MustCompile(`^(SAID_.*|NOBODY_LOGGED_IN|NO_RECORDING|NUMBERS)$`)

// collectReasons adds what a file gives to faults and failures: constants called Reason… or Code…, those of the type reason, and
// literals in calls that make a fault.
func collectReasons(t *testing.T, path string, into map[string]bool) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		if text, err := strconv.Unquote(literal.Value); err == nil && screaming.MatchString(text) && !unshown.MatchString(text) {
			into[text] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			typeName, _ := n.Type.(*ast.Ident)
			for i, name := range n.Names {
				named := strings.HasPrefix(name.Name, "Reason") || strings.HasPrefix(name.Name, "Code")
				if i < len(n.Values) && (named || typeName != nil && typeName.Name == "reason") {
					add(n.Values[i])
				}
			}
		case *ast.CallExpr:
			at := map[string]int{"New": 1, "InvalidField": 1, "bad": 1, "maskField": 0}
			if i, makesFault := at[calledName(n.Fun)]; makesFault && i < len(n.Args) {
				add(n.Args[i])
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
				add(n.Value)
			}
		}
		return true
	})
}

// calledName is the last part of what is called.
func calledName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func TestTheEventsPageHasAnExampleOfEach(t *testing.T) {
	var published, documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `meet\\.evt\\.([a-z_.]+)` \\|").FindAllStringSubmatch(page(t, "docs/reference/subjects.md"), -1) {
		published = append(published, m[1])
	}
	for _, m := range regexp.MustCompile("(?ms)^\\*\\*`([a-z_.]+)`\\*\\*[^\n]*\n.*?^```json\n(.*?)^```$").FindAllStringSubmatch(page(t, "docs/reference/events.md"), -1) {
		documented = append(documented, m[1])
		if !json.Valid([]byte(m[2])) {
			t.Errorf("the example of %s is no JSON", m[1])
		}
	}
	compareLists(t, "events", published, documented)
}

func TestTheExampleOfSettingsNamesOnlySettings(t *testing.T) {
	settings := page(t, "docs/config.md") // made from the settings structs
	stack := page(t, "deploy/compose/compose.yaml") + page(t, "deploy/compose/compose.prod.yaml")
	names := regexp.MustCompile(`(?m)^#?([A-Z][A-Z0-9_]+)=`).FindAllStringSubmatch(page(t, ".env.example"), -1)
	if len(names) == 0 {
		t.Fatal("no setting found")
	}
	for _, m := range names {
		if !strings.Contains(settings, "| `"+m[1]+"` ") && !strings.Contains(stack, "${"+m[1]+":") && m[1] != "COMPOSE_PROFILES" {
			t.Errorf("%s is no setting of any program or of the stack", m[1])
		}
	}
}

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestEveryLinkInTheDocsLeadsSomewhere(t *testing.T) {
	checked := 0
	for _, path := range pages(t) {
		for _, m := range linkTarget.FindAllStringSubmatch(fence.ReplaceAllString(page(t, path), ""), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if to.Scheme != "" { // of others: not looked up from a test
				continue
			}
			checked++
			target := path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(path), to.Path)
			}
			if _, err := os.Stat(filepath.Join(tree, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
				continue
			}
			if to.Fragment != "" && !slices.Contains(anchors(page(t, target)), to.Fragment) {
				t.Errorf("%s links to %s, and there is no such heading", path, m[1])
			}
		}
	}
	if checked == 0 {
		t.Error("no link found")
	}
}

// anchors are the names that a page's headings are linked by.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}
