package export

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultKey is the template where none is set.
const DefaultKey = "{year}/{month}/{day}/{meeting_uid}/{recording_id}{ext}"

const (
	// maxKey is the longest key of S3 and of Google Cloud Storage, in bytes.
	maxKey = 1024
	// maxValue bounds what stands for one placeholder, so that a path's part fits in a file name of 255 bytes.
	maxValue = 80
	maxPart  = 255
)

// Key makes object keys of a checked template. The zero Key is of [DefaultKey].
type Key struct{ parts []part }

type part struct {
	text        string
	placeholder bool
}

// Source is what a key is made of.
type Source struct {
	// At is when the recording began, in the zone that days are of.
	At                               time.Time
	RecordingID                      int64
	MeetingID                        int64
	MeetingUID, Organizer, Reference string
	// FileName is the file's own in Drive; only its extension is used.
	FileName, MimeType string
}

// placeholders says what each stands for.
var placeholders = map[string]func(*Source) string{
	"year":               func(s *Source) string { return s.At.Format("2006") },
	"month":              func(s *Source) string { return s.At.Format("01") },
	"day":                func(s *Source) string { return s.At.Format("02") },
	"hour":               func(s *Source) string { return s.At.Format("15") },
	"minute":             func(s *Source) string { return s.At.Format("04") },
	"organizer":          func(s *Source) string { return s.Organizer },
	"meeting_id":         func(s *Source) string { return strconv.FormatInt(s.MeetingID, 10) },
	"meeting_uid":        func(s *Source) string { return s.MeetingUID },
	"external_reference": func(s *Source) string { return s.Reference },
	"recording_id":       func(s *Source) string { return strconv.FormatInt(s.RecordingID, 10) },
	"ext":                extension,
}

const extPlaceholder, idPlaceholder = "ext", "recording_id"

// ParseKey checks a template: text of letters, digits and - _ . = + @ /, with placeholders in braces. {recording_id} must be among
// them, so that no two recordings have one key.
func ParseKey(template string) (Key, error) {
	var k Key
	rest, unique := template, false
	for rest != "" {
		text, after, opened := strings.Cut(rest, "{")
		if i := strings.IndexFunc(text, func(r rune) bool { return !plain(r) && r != '/' }); i >= 0 {
			r, _ := utf8.DecodeRuneInString(text[i:])
			return Key{}, fmt.Errorf("has %q, which no key may have", r)
		}
		if text != "" {
			k.parts = append(k.parts, part{text: text})
		}
		if !opened {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed {
			return Key{}, errors.New("has a { without its }")
		}
		if placeholders[name] == nil {
			return Key{}, fmt.Errorf("has {%s}, which is not known", name)
		}
		unique = unique || name == idPlaceholder
		k.parts, rest = append(k.parts, part{name, true}), next
	}
	if !unique {
		return Key{}, errors.New("lacks {recording_id}, without which two recordings could have one key")
	}
	long := strings.Repeat("x", maxValue)
	for _, s := range []Source{
		{At: time.Unix(0, 0)},
		{At: time.Unix(0, 0), RecordingID: 1<<63 - 1, MeetingID: 1<<63 - 1, MeetingUID: long, Organizer: long, Reference: long, FileName: "f.mp4"},
	} {
		if err := checkKey(k.Of(&s)); err != nil {
			return Key{}, err
		}
	}
	return k, nil
}

func checkKey(key string) error {
	if strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") || path.Clean(key) != key {
		return errors.New("has an empty part, or a part that only leads elsewhere")
	}
	if len(key) > maxKey {
		return fmt.Errorf("makes keys longer than %d bytes", maxKey)
	}
	for p := range strings.SplitSeq(key, "/") {
		if strings.Trim(p, ".") == "" {
			return errors.New("has an empty part, or one of dots alone")
		}
		if len(p) > maxPart {
			return fmt.Errorf("makes parts longer than %d bytes", maxPart)
		}
	}
	return nil
}

// Of is the key of a recording. Whatever the source holds, it stays below the place of the exports and its parts are plain text.
func (k Key) Of(s *Source) string {
	if len(k.parts) == 0 {
		k, _ = ParseKey(DefaultKey) // a constant that a test parses
	}
	var b strings.Builder
	for _, p := range k.parts {
		switch {
		case !p.placeholder:
			b.WriteString(p.text)
		case p.text == extPlaceholder:
			b.WriteString(extension(s))
		default:
			b.WriteString(plainText(placeholders[p.text](s)))
		}
	}
	return b.String()
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.=+@", r)
}

// plainText is never empty, never begins with a dot, and holds nothing that parts a path.
func plainText(text string) string {
	out := strings.Map(func(r rune) rune {
		if plain(r) {
			return r
		}
		return '_'
	}, text)
	if len(out) > maxValue {
		out = out[:maxValue]
	}
	if out == "" {
		return "_"
	}
	if out[0] == '.' {
		return "_" + out[1:]
	}
	return out
}

// extension is with its dot, or empty.
func extension(s *Source) string {
	ext := path.Ext(s.FileName)
	if ext == "" && s.MimeType == "video/mp4" { // what Meet records
		return ".mp4"
	}
	if len(ext) < 2 || len(ext) > 9 || strings.ContainsFunc(ext[1:], func(r rune) bool { return !plain(r) || r == '.' }) {
		return ""
	}
	return ext
}
