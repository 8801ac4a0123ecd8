package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// maxBody is the largest body, in bytes.
const maxBody = 1 << 20

// object is a JSON object whose values are not looked at yet: what is missing, null and wrong stay three different things.
type object map[string]json.RawMessage

// body reads the request's JSON object. None at all is an empty one.
func (x *exchange) body() (object, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		return nil, readFailure(err)
	}
	if len(raw) == 0 {
		return object{}, nil
	}
	if err := jsonType(x.r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	return parseObject(raw)
}

// jsonType refuses what says that it is not JSON in UTF-8.
func jsonType(contentType string) error {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && media == "application/json" {
		if charset := params["charset"]; charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8") || strings.EqualFold(charset, "us-ascii") {
			return nil
		}
	}
	return refuse(http.StatusUnsupportedMediaType, unsupportedMedia, "media_type", printable(contentType))
}

// printable is text from outside fit to be repeated in a sentence.
func printable(s string) string {
	const most = 100
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func parseObject(raw []byte) (object, error) {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(raw) || loneSurrogate(raw) {
		return nil, refuse(http.StatusBadRequest, malformedText)
	}
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, refuse(http.StatusBadRequest, malformedJSON, "offset", strconv.FormatInt(syntax.Offset, 10))
		}
		return nil, fault.InvalidFields(wrong("", notAnObject, "type", typeName(bytes.TrimSpace(raw))))
	}
	if o == nil {
		return nil, fault.InvalidFields(wrong("", notAnObject, "type", "NoneType"))
	}
	return o, nil
}

// escapes are the \u sequences of JSON, and \\ so that an escaped backslash is not taken for the start of one.
var escapes = regexp.MustCompile(`\\(?:\\|u([0-9a-fA-F]{4})(?:\\u([0-9a-fA-F]{4}))?)`)

// loneSurrogate tells whether raw has half of a UTF-16 pair as a \u escape: no text has that, and it would be replaced silently.
func loneSurrogate(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`\u`)) {
		return false
	}
	for len(raw) > 0 {
		m := escapes.FindSubmatchIndex(raw)
		if m == nil {
			return false
		}
		next := m[1]
		if m[2] >= 0 {
			first := codeUnit(raw[m[2]:m[3]])
			switch {
			case first >= 0xdc00 && first <= 0xdfff:
				return true
			case first >= 0xd800 && first <= 0xdbff:
				if m[4] < 0 {
					return true
				}
				if second := codeUnit(raw[m[4]:m[5]]); second < 0xdc00 || second > 0xdfff {
					return true
				}
			default:
				next = m[3] // the second escape is looked at by itself
			}
		}
		raw = raw[next:]
	}
	return false
}

func codeUnit(hex []byte) uint64 {
	n, _ := strconv.ParseUint(string(hex), 16, 16) // four hex digits by the expression
	return n
}

// typeName is what Django REST Framework calls the type of a JSON value.
func typeName(raw []byte) string {
	if len(raw) == 0 {
		return "NoneType"
	}
	switch raw[0] {
	case '"':
		return "str"
	case '{':
		return "dict"
	case '[':
		return "list"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	}
	if bytes.ContainsAny(raw, ".eE") {
		return "float"
	}
	return "int"
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == 'n' }

// field is one field of a body: how it is read into T, a protobuf request, and how the schema shows it. The limits of its
// value are not here but in the .proto, where every surface finds them.
type field[T any] struct {
	name string
	doc  string
	// target is the path in the protobuf message that its rules stand at; empty: it has none.
	target string
	// required where the rules of target do not say so.
	required bool
	// read puts raw into dst and returns what is wrong; paths are relative to the field.
	read   func(raw json.RawMessage, dst T) []fault.Field
	schema huma.Schema
}

func bad(why reason, params ...string) []fault.Field { return []fault.Field{wrong("", why, params...)} }

// read puts o's fields into dst, in the order of the table; unknown ones are ignored. What is wrong is returned, all of it.
func read[T any](o object, fields []field[T], dst T) []fault.Field {
	var faults []fault.Field
	for i := range fields {
		f := &fields[i]
		raw, there := o[f.name]
		if !there {
			if f.required {
				faults = append(faults, wrong(f.name, required))
			}
			continue
		}
		for _, failed := range f.read(raw, dst) {
			failed.Path = joinPath(f.name, failed.Path)
			faults = append(faults, failed)
		}
	}
	return faults
}

func joinPath(name, rest string) string {
	switch {
	case rest == "":
		return name
	case rest[0] == '[':
		return name + rest
	}
	return name + "." + rest
}

// asText reads what Django REST Framework's CharField takes: a string, or a number as its digits; spaces around it do not count.
func asText(raw json.RawMessage) (string, reason) {
	s, why := verbatim(raw)
	return strings.TrimSpace(s), why
}

// verbatim is asText with its spaces.
func verbatim(raw json.RawMessage) (string, reason) {
	switch typeName(raw) {
	case "NoneType":
		return "", null
	case "int", "float":
		return string(raw), ""
	case "str":
	default:
		return "", notAString
	}
	s := string(raw[1 : len(raw)-1])
	if strings.IndexByte(s, '\\') >= 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", notAString
		}
	}
	return s, checkCharacters(s)
}

// checkCharacters refuses what no text of ours has: Postgres takes no NUL, and other control characters only hide things.
func checkCharacters(s string) reason {
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			return nullCharacter
		case c < ' ' && c != '\n' && c != '\r' && c != '\t':
			return controlCharacter
		}
	}
	return ""
}

// text is a field with a string that may be blank.
func text[T any](name, target, doc string, at func(T) *string) field[T] {
	return field[T]{
		name: name, target: target, doc: doc, schema: huma.Schema{Type: huma.TypeString},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			s, why := asText(raw)
			if why != "" {
				return bad(why)
			}
			*at(dst) = s
			return nil
		},
	}
}

// filled is a field with a string that may not be blank.
func filled[T any](name, target, doc string, at func(T) *string) field[T] {
	f := text(name, target, doc, at)
	inner := f.read
	f.read = func(raw json.RawMessage, dst T) []fault.Field {
		if faults := inner(raw, dst); faults != nil {
			return faults
		}
		if *at(dst) == "" {
			return bad(blank)
		}
		return nil
	}
	return f
}

// email is a field with one address.
func email[T any](name, target, doc string, at func(T) *string) field[T] {
	f := filled(name, target, doc, at)
	inner := f.read
	f.schema.Format = "email"
	f.read = func(raw json.RawMessage, dst T) []fault.Field {
		if faults := inner(raw, dst); faults != nil {
			return faults
		}
		if !isEmail(*at(dst)) {
			return bad(invalidEmail)
		}
		return nil
	}
	return f
}

// emails is a field with a list of addresses.
func emails[T any](name, target, doc string, at func(T) *[]string) field[T] {
	return field[T]{
		name: name, target: target, doc: doc,
		schema: huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Format: "email"}},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			addresses, faults := readEmails(raw)
			*at(dst) = addresses
			return faults
		},
	}
}

func readEmails(raw json.RawMessage) ([]string, []fault.Field) {
	if isNull(raw) {
		return nil, bad(null)
	}
	if raw[0] != '[' {
		return nil, bad(notAList, "type", typeName(raw))
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, bad(notAList, "type", typeName(raw))
	}
	if len(items) == 0 {
		return nil, bad(emptyList)
	}
	addresses := make([]string, 0, len(items))
	var faults []fault.Field
	for i, item := range items {
		s, why := asText(item)
		switch {
		case why != "":
		case s == "":
			why = blank
		case !isEmail(s):
			why = invalidEmail
		}
		if why != "" {
			faults = append(faults, wrong("["+strconv.Itoa(i)+"]", why))
			continue
		}
		addresses = append(addresses, s)
	}
	return addresses, faults
}

// The parts of an address as Django's EmailValidator wants them, without quoted names and address literals, which Google
// takes for no address either.
var (
	localPart  = regexp.MustCompile("^[-!#$%&'*+/=?^_`{}|~0-9A-Za-z]+(?:\\.[-!#$%&'*+/=?^_`{}|~0-9A-Za-z]+)*$")
	domainPart = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{1,62}[A-Za-z0-9]$`)
)

// maxEmail is how far an address is looked at; how long it may be is a rule of the .proto.
const maxEmail = 1024

func isEmail(s string) bool {
	local, domain, ok := cutLast(s, '@')
	if !ok || len(s) > maxEmail {
		return false
	}
	return localPart.MatchString(local) && (domainPart.MatchString(domain) || strings.EqualFold(domain, "localhost"))
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// when is a field with a time or null.
func when[T any](name, target, doc string, set func(T, *timestamppb.Timestamp)) field[T] {
	return field[T]{
		name: name, target: target, doc: doc, schema: huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			if isNull(raw) {
				set(dst, nil)
				return nil
			}
			if raw[0] != '"' {
				return bad(notATime)
			}
			s, why := asText(raw)
			if why != "" {
				return bad(notATime)
			}
			t, why := parseTime(s)
			if why != "" {
				return bad(why)
			}
			set(dst, timestamppb.New(t))
			return nil
		},
	}
}

// truths are the booleans that Django REST Framework takes, as JSON.
var truths = map[string]bool{
	`true`: true, `1`: true, `1.0`: true, `"true"`: true, `"True"`: true, `"TRUE"`: true, `"t"`: true, `"T"`: true, `"y"`: true, `"Y"`: true,
	`"yes"`: true, `"Yes"`: true, `"YES"`: true, `"on"`: true, `"On"`: true, `"ON"`: true, `"1"`: true,
	`false`: false, `0`: false, `0.0`: false, `"false"`: false, `"False"`: false, `"FALSE"`: false, `"f"`: false, `"F"`: false, `"n"`: false, `"N"`: false,
	`"no"`: false, `"No"`: false, `"NO"`: false, `"off"`: false, `"Off"`: false, `"OFF"`: false, `"0"`: false,
}

// yesNo is a field with a boolean.
func yesNo[T any](name, doc string, set func(T, bool)) field[T] {
	return field[T]{
		name: name, doc: doc, schema: huma.Schema{Type: huma.TypeBoolean},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			if isNull(raw) {
				return bad(null)
			}
			value, known := truths[string(raw)]
			if !known {
				return bad(notABoolean)
			}
			set(dst, value)
			return nil
		},
	}
}

// whole is a field with a whole number from 0 on, or its digits as text; null is as good as none.
func whole[T any](name, doc string, set func(T, int32)) field[T] {
	least, most := 0.0, float64(math.MaxInt32)
	return field[T]{
		name: name, doc: doc, schema: huma.Schema{Type: huma.TypeInteger, Format: "int32", Nullable: true, Minimum: &least, Maximum: &most},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			if isNull(raw) {
				return nil
			}
			s, why := asText(raw)
			n, err := strconv.ParseInt(s, 10, 64)
			switch {
			case why == "" && errors.Is(err, strconv.ErrRange) && s[0] != '-', err == nil && n > math.MaxInt32:
				return bad(tooLarge, "max", strconv.Itoa(math.MaxInt32))
			case why == "" && errors.Is(err, strconv.ErrRange), err == nil && n < 0:
				return bad(tooSmall, "min", "0")
			case why != "" || err != nil:
				return bad(notAnInteger)
			}
			set(dst, int32(n))
			return nil
		},
	}
}

// choice is a field with one of some names.
func choice[T, V any](name, doc string, values map[string]V, order []string, set func(T, V)) field[T] {
	return field[T]{
		name: name, doc: doc, schema: huma.Schema{Type: huma.TypeString, Enum: anys(order)},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			if isNull(raw) {
				return bad(null)
			}
			s, why := asText(raw)
			value, known := values[s]
			if why != "" || !known {
				shown := s
				if why != "" {
					shown = strings.Trim(string(raw), `"`)
				}
				return bad(invalidChoice, "value", printable(shown))
			}
			set(dst, value)
			return nil
		},
	}
}

func anys(names []string) []any {
	out := make([]any, 0, len(names))
	for _, name := range names {
		out = append(out, name)
	}
	return out
}
