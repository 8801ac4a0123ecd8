package google

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// methodsCalled reads the names that this package gives to as, onCalendar, onSpaces and onSubscriptions out of its source.
func methodsCalled(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			// The argument before the last one names the method.
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"as", "onCalendar", "onSpaces", "onSubscriptions"}, fun.Sel.Name) {
				return true
			}
			switch arg := call.Args[len(call.Args)-2].(type) {
			case *ast.BasicLit:
				name, err := strconv.Unquote(arg.Value)
				if err != nil {
					t.Fatal(err)
				}
				methods = append(methods, name)
			case *ast.Ident: // the others hand theirs on
				if arg.Name != "method" {
					t.Errorf("%s: a call names its method %s, want it spelled out", f.Name(), arg.Name)
				}
			default:
				t.Errorf("%s: a call does not name its method", f.Name())
			}
			return true
		})
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

func TestEveryCallToGoogleIsChargedToAQuota(t *testing.T) {
	if want, called := slices.Sorted(maps.Keys(classes)), methodsCalled(t); !slices.Equal(called, want) {
		t.Errorf("called are %v, classes are of %v", called, want)
	}
}

func TestAMethodWithoutAClassIsChargedToItsAPIs(t *testing.T) {
	for method, want := range map[string]job.Class{
		"calendar.freebusy.query": job.ClassCalendar, "meet.conferenceRecords.smartNotes.list": job.ClassMeetWrite, "drive.files.list": job.ClassDrive,
		"workspaceevents.subscriptions.else": job.ClassEventsWrite, "directory.users.list": job.ClassDirectory, "else": job.ClassCalendar,
		"meet.spaces.get": job.ClassMeetRead, "meet.spaces.create": job.ClassMeetCreate,
	} {
		if got := classOf(method); got != want {
			t.Errorf("%s is charged to %q, want %q", method, got, want)
		}
	}
}
