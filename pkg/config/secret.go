package config

import (
	"fmt"
	"log/slog"
)

// mask stands for a secret wherever it would be shown.
const mask = "***"

// Secret is a text that masks itself in fmt, slog and JSON. [Secret.Reveal] is the only way to it.
// An empty one shows as empty: that it is not set is worth seeing.
type Secret string

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format masks every verb, %x and %#v included.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		text = `"` + text + `"`
	}
	_, _ = f.Write([]byte(text)) // a fmt.State has no error to give
}

// LogValue masks it in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks it in JSON. (encoding/json writes a map key of string kind as it is: never use a
// secret as one.)
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
