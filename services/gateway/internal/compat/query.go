package compat

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// filters reads query parameters and collects what is wrong with them. An empty one counts as absent; of several the last counts.
type filters struct {
	values url.Values
	faults []fault.Field
}

func (x *exchange) filters() (*filters, error) {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil { // what it leaves out would be a filter that does not filter
		return nil, refuse(http.StatusBadRequest, malformedQuery)
	}
	x.query = values
	return &filters{values: values}, nil
}

func (f *filters) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return fault.InvalidFields(f.faults...)
}

func (f *filters) fail(name string, why reason, params ...string) {
	f.faults = append(f.faults, wrong(name, why, params...))
}

// text is the value of name, at most most characters.
func (f *filters) text(name string, most int) string {
	all := f.values[name]
	if len(all) == 0 {
		return ""
	}
	s := all[len(all)-1]
	switch {
	case !utf8.ValidString(s):
		f.fail(name, notUTF8)
		return ""
	case utf8.RuneCountInString(s) > most:
		f.fail(name, tooLong, "max", strconv.Itoa(most))
		return ""
	}
	if why := checkCharacters(s); why != "" {
		f.fail(name, why)
		return ""
	}
	return s
}

// maxFilter is the longest value of a filter that is a number, a time or a name.
const maxFilter = 64

// number is a whole number within 1..most; 0 when absent.
func (f *filters) number(name string, most int64) int64 {
	s := strings.TrimSpace(f.text(name, maxFilter))
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		f.fail(name, filterNotANumber)
		return 0
	case n < 1 || n > most:
		f.fail(name, outOfRange, "min", "1", "max", strconv.FormatInt(most, 10))
		return 0
	}
	return n
}

// when is a time; nil when absent.
func (f *filters) when(name string) *timestamppb.Timestamp {
	s := f.text(name, maxFilter)
	if strings.TrimSpace(s) == "" {
		return nil
	}
	t, why := parseTime(s)
	if i := strings.LastIndexByte(s, ' '); why != "" && i > 0 {
		t, why = parseTime(s[:i] + "+" + s[i+1:]) // a plus sign that was not escaped arrives as a space
	}
	if why != "" {
		f.fail(name, filterNotATime)
		return nil
	}
	return timestamppb.New(t)
}

// oneOf is one of some names; the zero value when absent.
func oneOf[V any](f *filters, name string, values map[string]V) V {
	var none V
	s := f.text(name, maxFilter)
	if s == "" {
		return none
	}
	v, known := values[s]
	if !known {
		f.fail(name, filterNotAChoice, "value", printable(s))
		return none
	}
	return v
}

// Paging of a list.
const (
	meetingsPage = 100  // of meetings and events, when nothing is asked
	wholePage    = 1000 // of lists that always came whole
	maxPage      = 1000
	maxToken     = 512
)

// page is the size asked for, or otherwise.
func (f *filters) page(otherwise int32) int32 {
	if n := f.number("limit", maxPage); n != 0 {
		return int32(n)
	}
	return otherwise
}

func (f *filters) token() string { return f.text("page_token", maxToken) }

// next links the following page: the same query with its token. The body of a list stays an array.
func (x *exchange) next(token string) {
	if token == "" {
		return
	}
	query := maps.Clone(x.query)
	query.Set("page_token", token)
	x.w.Header().Set("Link", "<"+x.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
}

// How parameters show in the schema.

func queryParam(name, doc string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: schema}
}

func stringSchema(format string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: format}
}

func namesSchema[V any](values map[string]V) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: anys(slices.Sorted(maps.Keys(values)))}
}

func idSchema() *huma.Schema {
	least := 1.0
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &least}
}

func pageParams(otherwise int) []*huma.Param {
	least, most := 1.0, float64(maxPage)
	length := maxToken
	return []*huma.Param{
		queryParam("limit", "Rows of a page.", &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: otherwise}),
		queryParam("page_token", "From the Link of the page before, with the same filters.", &huma.Schema{Type: huma.TypeString, MaxLength: &length}),
	}
}
