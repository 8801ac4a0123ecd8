// Package config reads a program's settings from the environment: once, at start, all problems at
// once, each with the variable's name and what to do about it.
//
// A setting is a struct field, and the field is its documentation: `--help-env` and docs/config.md
// are made from the tags.
//
//	type Config struct {
//		AdminEmail string        `env:"GOOGLE_WORKSPACE_ADMIN_EMAIL" help:"impersonated when the organizer is of another domain"`
//		Timeout    time.Duration `env:"MEET_GOOGLE_TIMEOUT" envDefault:"60s" help:"of one call, retries not counted"`
//		Password   config.Secret `env:"POSTGRES_PASSWORD,required" help:"of POSTGRES_USER"`
//		Auth       string        `env:"MEET_AUTH" oneof:"open keys" help:"who may call"`
//		Postgres   postgres.Config
//	}
//
// An empty variable counts as absent. A [Secret] may come from a file instead: X_FILE names it.
// Booleans are True, False, 1, 0, yes, no, on, off in any case; lists are comma-separated, spaces
// around the commas do not count. A struct that has a method Check() error is asked once its own
// fields are right; it returns what [Bad] made, joined when there are several.
//
// It reads no configuration files, and nothing is read twice.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.uber.org/fx"
)

// Problem is one wrong setting.
type Problem struct {
	// Variable is the environment variable's name.
	Variable string
	// Text says what is wrong with it; it never holds a secret's value.
	Text string
	// Fix says what to do.
	Fix string
}

func (p Problem) Error() string {
	if p.Fix == "" {
		return p.Variable + ": " + p.Text
	}
	return p.Variable + ": " + p.Text + "; " + p.Fix
}

// Bad is a problem found by a struct's Check method.
func Bad(variable, text, fix string) error { return Problem{Variable: variable, Text: text, Fix: fix} }

// Error is everything wrong with the settings.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// ExitCode is the exit status of a program that can't start because of its settings.
const ExitCode = 2

// Problems collects the problems of every [Error] in err's tree; empty when there is none.
func Problems(err error) []Problem {
	var found []Problem
	walk(err, func(e error) {
		c, ok := e.(*Error) //nolint:errorlint // walk visits each error of the tree itself
		if !ok {
			return
		}
		for _, p := range c.Problems {
			if !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	})
	return found
}

// Load reads T, a struct, from environ (as [os.Environ] gives it). Its error is an *[Error] with all
// problems, in the order of the fields; it panics when T itself is not a settings struct, which a
// test of T finds.
func Load[T any](environ []string) (T, error) {
	var settings T
	vars, err := variablesOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	values := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && value != "" {
			values[name] = value
		}
	}
	var problems []Problem
	bad := map[string]bool{}
	report := func(p Problem) {
		bad[p.Variable] = true
		if !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	for _, v := range vars {
		if bad[v.Name] {
			continue
		}
		if v.Secret {
			if p, ok := fromFile(v, values); !ok {
				report(p)
				bad[v.Name] = true
				continue
			}
		}
		value, ok := values[v.Name]
		if !ok {
			if v.Required {
				report(Problem{v.Name, "is required and not set", "set it to: " + v.Help})
			}
			continue
		}
		if v.list {
			value = trimList(value)
			values[v.Name] = value
		}
		if len(v.OneOf) > 0 && !slices.Contains(v.OneOf, value) {
			report(Problem{v.Name, fmt.Sprintf("%q is not known", value), "use one of: " + strings.Join(v.OneOf, ", ")})
			continue
		}
		// Each variable is parsed alone first: the library names the struct's field, which two
		// structs may share, where a person needs the variable.
		var alone T
		if perr := parseError(env.ParseWithOptions(&alone, options(map[string]string{v.Name: value}))); perr != nil {
			report(v.problem(value, perr))
		}
	}
	for name := range bad {
		delete(values, name)
	}
	err = env.ParseWithOptions(&settings, options(values))
	if perr := parseError(err); perr != nil {
		panic(fmt.Sprintf("config: a default of %T can't be parsed: %v", settings, perr))
	}
	problems = append(problems, check(reflect.ValueOf(&settings).Elem(), bad)...)
	if len(problems) > 0 {
		return settings, &Error{Problems: problems}
	}
	return settings, nil
}

func options(values map[string]string) env.Options {
	return env.Options{Environment: values, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool](): func(s string) (any, error) { return parseBool(s) },
	}}
}

// parseError is the first failure to turn text into a value, and nil for anything else (a missing
// variable is found by Load itself).
func parseError(err error) error {
	var found error
	walk(err, func(e error) {
		switch e.(type) { //nolint:errorlint // walk visits each error of the tree itself
		case env.ParseError, env.ParseValueError, env.NoParserError:
			if found == nil {
				found = e
			}
		}
	})
	return found
}

func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) { //nolint:errorlint // this is the walk over the tree
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "on", "t", "y":
		return true, nil
	case "false", "0", "no", "off", "f", "n":
		return false, nil
	}
	return false, errors.New("is neither True nor False")
}

func trimList(s string) string {
	parts := strings.Split(s, ",")
	kept := parts[:0]
	for _, part := range parts {
		if part = strings.TrimSpace(part); part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ",")
}

// fileLimit is far above any key or password and far below what would hurt.
const fileLimit = 1 << 20

// fromFile fills values[v.Name] from the file that X_FILE names.
func fromFile(v Variable, values map[string]string) (Problem, bool) {
	name := v.Name + fileSuffix
	path, ok := values[name]
	if !ok {
		return Problem{}, true
	}
	if _, both := values[v.Name]; both {
		return Problem{v.Name, "is set, and so is " + name, "unset one of the two"}, false
	}
	secret, err := readSecret(path)
	if err != nil {
		return Problem{name, err.Error(), "name a readable file that holds only the secret"}, false
	}
	values[v.Name] = secret
	return Problem{}, true
}

func readSecret(path string) (string, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if len(text) > fileLimit {
		return "", fmt.Errorf("%s is larger than 1 MiB", path)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// checker is what a settings struct may be.
type checker interface{ Check() error }

// check asks every struct of the tree, the inner ones first, unless a variable of its own tree is
// bad already: a rule between settings says nothing when one of them is not known.
func check(v reflect.Value, bad map[string]bool) []Problem {
	t := v.Type()
	if t.Kind() != reflect.Struct || isLeaf(t) {
		return nil
	}
	var problems []Problem
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			problems = append(problems, check(v.Field(i), bad)...)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	vars, err := variablesOf(t)
	if err != nil || slices.ContainsFunc(vars, func(v Variable) bool { return bad[v.Name] }) {
		return nil
	}
	c, ok := v.Addr().Interface().(checker)
	if !ok {
		return nil
	}
	failed := c.Check()
	if failed == nil {
		return nil
	}
	walk(failed, func(e error) {
		if p, ok := e.(Problem); ok { //nolint:errorlint // walk visits each error of the tree itself
			problems = append(problems, p)
		}
	})
	if len(problems) == 0 { // an error made by hand, which still must stop the start
		problems = append(problems, Problem{Variable: "settings", Text: failed.Error()})
	}
	return problems
}

// Report writes err for the person at the terminal: the problems one a line when there are any.
func Report(w io.Writer, program string, err error) {
	problems := Problems(err)
	switch len(problems) {
	case 0:
		fmt.Fprintf(w, "%s can't start: %v\n", program, err)
		return
	case 1:
		fmt.Fprintf(w, "%s can't start, one setting is wrong:\n", program)
	default:
		fmt.Fprintf(w, "%s can't start, %d settings are wrong:\n", program, len(problems))
	}
	for _, p := range problems {
		fmt.Fprintf(w, "  %s\n", p)
	}
	fmt.Fprintf(w, "%s --help-env lists every setting.\n", program)
}

// Main reads T for a program's main from the process's environment. When args (os.Args[1:]) ask for
// it with --help-env, or --help-env=markdown, it prints the settings and exits 0; when something is
// wrong it prints all problems and exits 2.
func Main[T any](program string, args []string) T {
	for _, arg := range args {
		switch arg {
		case "--help-env", "-help-env":
			exitAfter(Help[T](os.Stdout, program))
		case "--help-env=markdown":
			exitAfter(Markdown[T](os.Stdout))
		}
	}
	settings, err := Load[T](os.Environ())
	if err != nil {
		Report(os.Stderr, program, err)
		os.Exit(ExitCode)
	}
	return settings
}

func exitAfter(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Env reads T from the process's environment and supplies it to the graph. Several in one graph
// report all their problems together: the app's error is then one that [Problems] takes apart.
func Env[T any]() fx.Option {
	settings, err := Load[T](os.Environ())
	if err != nil {
		return fx.Error(err)
	}
	return fx.Supply(settings)
}
