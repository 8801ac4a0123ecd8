package logging

import (
	"log/slog"
	"regexp"
	"strings"
	"unicode/utf8"
)

// address finds e-mail addresses, also where a URL carries them.
var address = regexp.MustCompile(`[\p{L}\p{N}._+'-]+(?:@|%40)(?:[\p{L}\p{N}-]+\.)*[\p{L}\p{N}-]+`)

// version is what follows the @ in the path of a module, as stacks show it.
var version = regexp.MustCompile(`^v\d+\.\d+\.\d+`)

// MaskAddresses replaces each e-mail address in text by its first letter and its domain, such as p***@mail.example: enough to
// follow one case through a log, and nobody's address. Every line of a log made by [New] is treated so.
func MaskAddresses(text string) string {
	if !strings.Contains(text, "@") && !strings.Contains(text, "%40") {
		return text
	}
	return address.ReplaceAllStringFunc(text, func(found string) string {
		at, width := strings.LastIndex(found, "@"), 1
		if at < 0 {
			at, width = strings.LastIndex(found, "%40"), 3
		}
		domain := found[at+width:]
		if version.MatchString(domain) {
			return found
		}
		_, first := utf8.DecodeRuneInString(found)
		return found[:first] + "***@" + domain
	})
}

// masked is an attribute's value without addresses. Values that are neither text nor lists of it nor errors stay as they are:
// numbers, times, and what masks itself.
func masked(v slog.Value) slog.Value {
	switch v.Kind() { //nolint:exhaustive // the others hold no text
	case slog.KindString:
		return slog.StringValue(MaskAddresses(v.String()))
	case slog.KindAny:
		switch any := v.Any().(type) {
		case error:
			return slog.StringValue(MaskAddresses(any.Error()))
		case []string:
			texts := make([]string, len(any))
			for i, text := range any {
				texts[i] = MaskAddresses(text)
			}
			return slog.AnyValue(texts)
		}
	}
	return v
}
