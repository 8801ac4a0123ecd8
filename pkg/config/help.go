package config

import (
	"encoding"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// fileSuffix is added to a secret's variable to read it from a file.
const fileSuffix = "_FILE"

// Variable is one setting as the documentation shows it.
type Variable struct {
	Name     string
	Type     string // text, secret, duration, True or False, …
	Default  string
	Required bool
	Secret   bool
	OneOf    []string
	Help     string

	list bool
}

// Variables lists the settings of T in the order of its fields, each once. Its error says what is
// wrong with T: an unexplained setting, or two fields that disagree about one variable.
func Variables[T any]() ([]Variable, error) { return variablesOf(reflect.TypeFor[T]()) }

func variablesOf(t reflect.Type) ([]Variable, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: %s is not a struct", t)
	}
	var vars []Variable
	err := collect(t, "", &vars)
	return vars, err
}

func collect(t reflect.Type, prefix string, vars *[]Variable) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		tag, tagged := f.Tag.Lookup("env")
		key, opts, _ := strings.Cut(tag, ",")
		if key == "-" {
			continue
		}
		if !tagged || key == "" {
			if f.Type.Kind() == reflect.Struct && !isLeaf(f.Type) {
				if err := collect(f.Type, prefix+f.Tag.Get("envPrefix"), vars); err != nil {
					return err
				}
			}
			continue
		}
		v := Variable{
			Name:     prefix + key,
			Default:  f.Tag.Get("envDefault"),
			Required: required(opts),
			Secret:   f.Type == reflect.TypeFor[Secret](),
			OneOf:    strings.Fields(f.Tag.Get("oneof")),
			Help:     f.Tag.Get("help"),
			list:     f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() != reflect.Uint8,
		}
		v.Type = typeName(f.Type, v)
		if err := add(vars, v); err != nil {
			return fmt.Errorf("config: %s.%s: %w", t, f.Name, err)
		}
	}
	return nil
}

// required reads the options behind the name. Empty counts as absent here, so both mean the same.
func required(opts string) bool {
	return slices.ContainsFunc(strings.Split(opts, ","), func(o string) bool { return o == "required" || o == "notEmpty" })
}

// add keeps one entry per variable. Two packages may read one (DEBUG); only one has to explain it,
// and they must agree on the default.
func add(vars *[]Variable, v Variable) error {
	i := slices.IndexFunc(*vars, func(other Variable) bool { return other.Name == v.Name })
	if i < 0 {
		if v.Help == "" {
			return fmt.Errorf("%s has no help tag", v.Name)
		}
		*vars = append(*vars, v)
		return nil
	}
	if other := (*vars)[i]; other.Default != v.Default || other.Type != v.Type {
		return fmt.Errorf("%s is declared twice, as %s (default %q) and as %s (default %q)",
			v.Name, other.Type, other.Default, v.Type, v.Default)
	}
	(*vars)[i].Required = (*vars)[i].Required || v.Required
	return nil
}

// isLeaf says that a struct type is one value and not a group of settings.
func isLeaf(t reflect.Type) bool {
	return t == reflect.TypeFor[url.URL]() || t == reflect.TypeFor[time.Location]() ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func typeName(t reflect.Type, v Variable) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case len(v.OneOf) > 0:
		return strings.Join(v.OneOf, " or ")
	case v.Secret:
		return "secret"
	case v.list:
		return "list"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[url.URL]():
		return "URL"
	case t == reflect.TypeFor[time.Location]():
		return "time zone"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "text"
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that hold a number or a truth; all others are text
	case reflect.Bool:
		return "True or False"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "whole number"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "text"
}

// problem says in a person's words that value is not one of v's type.
func (v Variable) problem(value string, err error) Problem {
	p := Problem{Variable: v.Name, Text: fmt.Sprintf("%q is not right", value)}
	if v.Secret {
		p.Text = "is not right"
	}
	switch v.Type {
	case "True or False":
		p.Fix = "write True or False"
	case "whole number":
		p.Fix = "write a whole number that fits"
	case "number":
		p.Fix = "write a number"
	case "duration":
		p.Fix = "write a number with a unit, as 500ms, 15s, 2m or 24h"
	case "URL":
		p.Fix = "write a whole URL, as https://host:port/path"
	case "list":
		p.Fix = "separate the values by commas; see: " + v.Help
	case "time zone":
		p.Fix = "write an IANA name, as Europe/Madrid"
	default:
		if !v.Secret {
			p.Text += " (" + err.Error() + ")"
		}
		p.Fix = "see: " + v.Help
	}
	return p
}

// Help writes the settings of T for --help-env.
func Help[T any](w io.Writer, program string) error {
	vars, err := Variables[T]()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is set up by environment variables. An empty one counts as absent.\n", program)
	fmt.Fprintf(&b, "A secret may stand in a file instead: X%s names it.\n", fileSuffix)
	for _, v := range vars {
		fmt.Fprintf(&b, "\n%s (%s", v.Name, v.Type)
		switch {
		case v.Required:
			b.WriteString(", required")
		case v.Default != "":
			b.WriteString(", default " + v.Default)
		}
		fmt.Fprintf(&b, ")\n    %s\n", v.Help)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// Markdown writes the settings of T as the table in docs/config.md.
func Markdown[T any](w io.Writer) error {
	vars, err := Variables[T]()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("| variable | type | default | what it does |\n| --- | --- | --- | --- |\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, v := range vars {
		def := ""
		switch {
		case v.Required:
			def = "required"
		case v.Default != "":
			def = "`" + cell.Replace(v.Default) + "`"
		}
		name := "`" + v.Name + "`"
		if v.Secret {
			name += " (`" + fileSuffix + "`)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, cell.Replace(v.Type), def, cell.Replace(v.Help))
	}
	_, err = io.WriteString(w, b.String())
	return err
}
